/*
 * dyn_compat_acl.h
 *	  Where PostgreSQL 15 to 18 differ in checks of rights.
 */
#ifndef DYN_COMPAT_ACL_H
#define DYN_COMPAT_ACL_H

#include <catalog/pg_class.h>
#include <utils/acl.h>

/* Ownership checks became generic in 16. */
#if PG_VERSION_NUM >= 160000
#define dyn_owns_relation(relid, role) object_ownercheck(RelationRelationId, (relid), (role))
#else
#define dyn_owns_relation(relid, role) pg_class_ownercheck((relid), (role))
#endif

/* The right to maintain came in 17. */
#if PG_VERSION_NUM >= 170000
#define dyn_may_refresh(relid, role) \
	(dyn_owns_relation(relid, role) || \
	 pg_class_aclcheck((relid), (role), ACL_MAINTAIN) == ACLCHECK_OK)
#else
#define dyn_may_refresh(relid, role) dyn_owns_relation(relid, role)
#endif

#endif							/* DYN_COMPAT_ACL_H */

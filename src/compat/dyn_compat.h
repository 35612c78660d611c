/*
 * dyn_compat.h
 *	  Where PostgreSQL 15 to 18 differ.
 *
 * The only file that looks at PG_VERSION_NUM.  Names follow the newest
 * server; older ones are adapted to them.
 */
#ifndef DYN_COMPAT_H
#define DYN_COMPAT_H

#include <access/relation.h>
#include <access/transam.h>
#include <access/xlog_internal.h>
#include <miscadmin.h>
#include <parser/parse_type.h>
#include <replication/message.h>
#include <replication/origin.h>
#include <replication/reorderbuffer.h>
#include <replication/slot.h>
#include <utils/acl.h>
#include <utils/lsyscache.h>
#include <utils/relcache.h>

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "dyntable needs PostgreSQL 15 to 18"
#endif

/* Ownership checks became generic in 16. */
#if PG_VERSION_NUM >= 160000
#define dyn_owns_relation(relid, role) object_ownercheck(RelationRelationId, (relid), (role))
#else
#define dyn_owns_relation(relid, role) pg_class_ownercheck((relid), (role))
#endif

/* And so did checks of rights on other objects than relations. */
#if PG_VERSION_NUM >= 160000
#define dyn_schema_aclcheck(schema, role, right) \
	object_aclcheck(NamespaceRelationId, (schema), (role), (right))
#define dyn_database_aclcheck(database, role, right) \
	object_aclcheck(DatabaseRelationId, (database), (role), (right))
#else
#define dyn_schema_aclcheck(schema, role, right) pg_namespace_aclcheck((schema), (role), (right))
#define dyn_database_aclcheck(database, role, right) pg_database_aclcheck((database), (role), (right))
#endif

/* To give something to a role takes membership; since 16, one with SET. */
#if PG_VERSION_NUM >= 160000
#define dyn_check_can_set_role(member, role) check_can_set_role((member), (role))
#else
#define dyn_check_can_set_role(member, role) check_is_member_of_role((member), (role))
#endif

/* The right to maintain came in 17. */
#if PG_VERSION_NUM >= 170000
#define dyn_may_refresh(relid, role) \
	(dyn_owns_relation(relid, role) || \
	 pg_class_aclcheck((relid), (role), ACL_MAINTAIN) == ACLCHECK_OK)
#else
#define dyn_may_refresh(relid, role) dyn_owns_relation(relid, role)
#endif

/* The number of a backend, from 0. */
#if PG_VERSION_NUM >= 170000
#include <storage/procnumber.h>
#define dyn_backend_number() ((int) MyProcNumber)
#else
#include <storage/backendid.h>
#define dyn_backend_number() ((int) MyBackendId - 1)
#endif

/* Slots learned of failover in 17, acquisition of invalidation in 18. */
#if PG_VERSION_NUM >= 170000
#define dyn_slot_create(name) ReplicationSlotCreate((name), true, RS_EPHEMERAL, false, false, false)
#else
#define dyn_slot_create(name) ReplicationSlotCreate((name), true, RS_EPHEMERAL, false)
#endif

#if PG_VERSION_NUM >= 180000
#define dyn_slot_acquire(name) ReplicationSlotAcquire((name), true, false)
#else
#define dyn_slot_acquire(name) ReplicationSlotAcquire((name), true)
#endif

/* 15 empties restart_lsn of an invalidated slot, 16 notes the cause. */
#if PG_VERSION_NUM >= 160000
#define dyn_slot_invalidated(slot) ((slot)->data.invalidated != RS_INVAL_NONE || \
									XLogRecPtrIsInvalid((slot)->data.restart_lsn))
#else
#define dyn_slot_invalidated(slot) XLogRecPtrIsInvalid((slot)->data.restart_lsn)
#endif

/* Origins can be shared between processes since 16. */
#if PG_VERSION_NUM >= 160000
#define dyn_origin_setup(origin) replorigin_session_setup((origin), 0)
#else
#define dyn_origin_setup(origin) replorigin_session_setup((origin))
#endif

/* The expression of a generated column can be changed since 17. */
#if PG_VERSION_NUM >= 170000
#define dyn_sets_expression(subtype) ((subtype) == AT_SetExpression)
#else
#define dyn_sets_expression(subtype) false
#endif

/* Names of relation options became const in 18. */
#if PG_VERSION_NUM >= 180000
typedef const char *DynOptionSpace;
#else
typedef char *DynOptionSpace;
#endif

/* A logical message in the current transaction; since 17 it can be flushed at once. */
#if PG_VERSION_NUM >= 170000
#define dyn_emit_message(prefix, message, size) \
	LogLogicalMessage((prefix), (const char *) (message), (size), true, false)
#else
#define dyn_emit_message(prefix, message, size) \
	LogLogicalMessage((prefix), (const char *) (message), (size), true)
#endif

/* The number of a relation's file changed its name in 16. */
#if PG_VERSION_NUM >= 160000
#define dyn_storage(rel) ((rel)->rd_locator.relNumber)
#else
#define dyn_storage(rel) ((rel)->rd_node.relNode)
#endif

/* Giving a relation an empty file, for this transaction to undo. */
#if PG_VERSION_NUM >= 160000
#define dyn_set_new_storage(rel) RelationSetNewRelfilenumber((rel), (rel)->rd_rel->relpersistence)
#else
#define dyn_set_new_storage(rel) RelationSetNewRelfilenode((rel), (rel)->rd_rel->relpersistence)
#endif

/* The tuples of a decoded change lost their wrapper in 17. */
#if PG_VERSION_NUM >= 170000
#define dyn_change_tuple(tuple) (tuple)
#else
#define dyn_change_tuple(buffer) ((buffer) ? &(buffer)->tuple : NULL)
#endif

/* Types from text can be refused softly since 16. */
#if PG_VERSION_NUM >= 160000
#define dyn_parse_type(text, type, typmod) ((void) parseTypeString((text), (type), (typmod), NULL))
#else
#define dyn_parse_type(text, type, typmod) parseTypeString((text), (type), (typmod), false)
#endif

/* What does not return is said before its name since 18. */
#if PG_VERSION_NUM >= 180000
#define dyn_noreturn pg_noreturn
#else
#define dyn_noreturn __attribute__((noreturn))
#endif

/* One mode exactly; 17 can ask for stronger ones too. */
#if PG_VERSION_NUM >= 170000
#define dyn_lock_held(tag, mode) LockHeldByMe((tag), (mode), false)
#else
#define dyn_lock_held(tag, mode) LockHeldByMe((tag), (mode))
#endif

/* As what an operator compares: a list; strategies of btree.  It became a question about any ordered index in 18. */
#if PG_VERSION_NUM >= 180000
typedef OpIndexInterpretation DynComparison;
#define dyn_comparisons(op) get_op_index_interpretation(op)
#define dyn_comparison_strategy(comparison) ((int) (comparison)->cmptype)
#else
typedef OpBtreeInterpretation DynComparison;
#define dyn_comparisons(op) get_op_btree_interpretation(op)
#define dyn_comparison_strategy(comparison) ((comparison)->strategy)
#endif

/* What is counted by transactions changed its name in 17. */
#if PG_VERSION_NUM >= 170000
#define dyn_ended_transactions() (TransamVariables->xactCompletionCount)
#else
#define dyn_ended_transactions() (ShmemVariableCache->xactCompletionCount)
#endif

/* Into which indexes an updated row has to be entered: all or none, since 16 perhaps only those that summarize. */
#if PG_VERSION_NUM >= 160000
#include <access/tableam.h>
typedef TU_UpdateIndexes DynIndexUpdate;
#define dyn_index_any(update) ((update) != TU_None)
#define dyn_index_wants(update, info) ((update) == TU_All || ((update) == TU_Summarizing && (info)->ii_Summarizing))
#else
typedef bool DynIndexUpdate;
#define dyn_index_any(update) (update)
#define dyn_index_wants(update, info) (update)
#endif

#endif							/* DYN_COMPAT_H */

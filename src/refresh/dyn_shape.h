/*
 * dyn_shape.h
 *	  A dynamic table that gets the columns of another query.
 */
#ifndef DYN_SHAPE_H
#define DYN_SHAPE_H

#include <nodes/parsenodes.h>

#include "refresh/dyn_execute.h"

/* A column as the query has it. */
typedef struct DynShapeColumn
{
	char	   *name;
	Oid			type;
	int32		typmod;
	Oid			collation;
	AttrNumber	attnum;			/* its number in the table, from now on */
	AttrNumber	moved;			/* its number until now, if that is another; else 0 */
	bool		kept;			/* it was there under that number */
	bool		retyped;
} DynShapeColumn;

typedef struct DynShape
{
	Oid			relid;
	List	   *columns;		/* of DynShapeColumn *, in the order of the query */
	List	   *gone;			/* of int: numbers of columns that go, those that move among them */
	AttrNumber	natts;			/* of the table until now */
} DynShape;

/* NULL: the table has the query's columns by name, number and order; with types: by type too. */
extern DynShape *dyn_shape_find(Oid relid, Query *query, bool types);

/* Raise an error that names what depends on columns that go. */
extern void dyn_shape_check(const DynShape *shape);

/* An empty table for the new rows; in it the columns have their names. */
extern Oid	dyn_shape_begin(const DynShape *shape);

/* Put rows of the table as they are, those that satisfy a condition, into the new one: NULL in columns that are added. */
extern void dyn_shape_keep(const DynShape *shape, Oid filled, DynExecution *execution, const char *condition);

/*
 * Let the dynamic table have the columns, and the rows that were put into the
 * new table, which goes.  Takes ACCESS EXCLUSIVE at this moment.
 */
extern void dyn_shape_end(const DynShape *shape, Oid filled);

/* Before that: what changes for those that read the table, for its log. */
extern void dyn_shape_log(const DynShape *shape, Oid filled, DynExecution *execution, int64 refresh_no);

#endif							/* DYN_SHAPE_H */

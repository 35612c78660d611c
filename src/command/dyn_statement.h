/*
 * dyn_statement.h
 *	  What a command of dyntable_exec says, as read (dyn_parse*.c) and not yet done
 *	  (dyn_exec*.c).
 */
#ifndef DYN_STATEMENT_H
#define DYN_STATEMENT_H

#include <nodes/pg_list.h>

#include "query/dyn_words.h"

typedef enum DynStatementKind
{
	DYN_CREATE_TABLE,
	DYN_CLONE_TABLE,
	DYN_ALTER_SUSPEND,
	DYN_ALTER_RESUME,
	DYN_ALTER_REFRESH,
	DYN_ALTER_SET,				/* also UNSET, CLUSTER BY, COMMENT of columns */
	DYN_ALTER_RENAME,
	DYN_ALTER_SWAP,
	DYN_ALTER_NOTHING,			/* what has no meaning here */
	DYN_DROP_TABLE,
	DYN_SHOW_TABLES,
	DYN_DESCRIBE_TABLE,
	DYN_CREATE_WAREHOUSE,
	DYN_ALTER_WAREHOUSE,
	DYN_DROP_WAREHOUSE,
	DYN_SHOW_WAREHOUSES,
	DYN_DESCRIBE_WAREHOUSE,
} DynStatementKind;

/* A name of an object. */
typedef struct DynName
{
	char	   *text;			/* of tables qualified and quoted, of warehouses as it is */
	int			at;				/* byte in the command */
} DynName;

/* An argument of the function that the statement stands for. */
typedef struct DynArgument
{
	const char *name;
	char	   *value;			/* as text, of which the function's type is made */
	int			at;
} DynArgument;

/* A column in the list behind a table's name, or of ALTER COLUMN ... COMMENT. */
typedef struct DynColumn
{
	char	   *name;
	char	   *type;			/* or NULL */
	char	   *comment;		/* or NULL */
	int			at;
} DynColumn;

typedef enum DynClustering
{
	DYN_CLUSTER_KEEP,
	DYN_CLUSTER_BY,
	DYN_CLUSTER_DROP,
} DynClustering;

typedef struct DynStatement
{
	DynStatementKind kind;
	bool		or_replace;
	bool		or_alter;
	bool		if_not_exists;
	bool		if_exists;
	bool		cascade;
	bool		copy_grants;
	bool		clear_settings;	/* of a warehouse */
	List	   *names;			/* of DynName */
	DynName    *other;			/* source of a clone, new name, other table of a swap */
	List	   *arguments;		/* of DynArgument */
	List	   *columns;		/* of DynColumn */
	char	   *query;
	int			query_at;		/* byte in the command */
	List	   *boundaries;		/* of DynName: what the query reads as it is */
	DynClustering clustering;
	List	   *cluster_keys;	/* of char *: elements as CREATE INDEX takes them */
	int			cluster_at;

	/* SHOW */
	char	   *like;			/* NULL: all; so below */
	char	   *in_schema;
	char	   *in_database;
	char	   *starts_with;
	char	   *limit;
	char	   *from;
} DynStatement;

/* Where the reader is. */
typedef struct DynParser
{
	DynWords   *words;
	int			next;			/* index of the next word */
	int			blame;			/* byte in the command that an error without a place is about, or -1 */
} DynParser;

/* The next statement, up to its semicolon or the end; NULL when there is none.  Errors have their position. */
extern DynStatement *dyn_parse_statement(DynParser *parser);

#endif							/* DYN_STATEMENT_H */

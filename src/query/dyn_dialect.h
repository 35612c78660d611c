/*
 * dyn_dialect.h
 *	  Words of other SQL dialects in a defining query, and what PostgreSQL has for them.
 */
#ifndef DYN_DIALECT_H
#define DYN_DIALECT_H

/*
 * A hint for an error of the parser (its SQLSTATE as ereport's code) at this
 * byte of the text, or NULL.  Raises nothing.
 */
extern const char *dyn_dialect_hint(const char *text, int offset, int sqlerrcode);

#endif							/* DYN_DIALECT_H */

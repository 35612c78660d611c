/*
 * dyn_transaction.h
 *	  What commands leave for the end of their transaction.
 */
#ifndef DYN_TRANSACTION_H
#define DYN_TRANSACTION_H

/* Refuse PREPARE TRANSACTION from here on to the end of this transaction. */
extern void dyn_forbid_prepare(void);

/* At commit, have scheduler and capture look at the catalog again. */
extern void dyn_wake_at_commit(void);

#endif							/* DYN_TRANSACTION_H */

/*
 * dyn_transaction.h
 *	  What commands leave for the end of their transaction.
 */
#ifndef DYN_TRANSACTION_H
#define DYN_TRANSACTION_H

/* Refuse PREPARE TRANSACTION from here on to the end of this transaction. */
extern void dyn_forbid_prepare(void);

/* At commit, have the scheduler look at the catalog again; at commit or rollback, capture. */
extern void dyn_wake_at_end(void);

#endif							/* DYN_TRANSACTION_H */

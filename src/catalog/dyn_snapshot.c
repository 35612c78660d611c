/*
 * dyn_snapshot.c
 *	  Snapshots in the form that is stored: what a position means.
 *
 * Only top-level transactions are named.  The change log carries top-level
 * xids, so subtransactions need not be listed (nor does pg_snapshot list
 * them), and a snapshot whose subtransactions overflowed is as good as any.
 */
#include <postgres.h>

#include <access/transam.h>
#include <access/xact.h>

#include "catalog/dyn_catalog.h"

static int
xid_compare(const void *a, const void *b)
{
	uint64		left = *(const uint64 *) a;
	uint64		right = *(const uint64 *) b;

	return left < right ? -1 : left > right ? 1 : 0;
}

/*
 * An xid of a snapshot at full width.  Snapshots hold no xid that has not been
 * given out, but for an xmax that equals the next one: so whatever exceeds the
 * next xid belongs to the epoch before.
 */
static uint64
xid_widen(TransactionId xid, FullTransactionId next)
{
	uint64		epoch = EpochFromFullTransactionId(next);

	if (!TransactionIdIsNormal(xid))
		return xid;
	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return (epoch << 32) | xid;
}

/*
 * A snapshot does not list its own transaction, and calls it completed as soon
 * as a later one has completed.  To a reader of the position it is running:
 * what it wrote must come with the next delta.  An own xid at or above xmax is
 * running already.
 */
DynSnapshot *
dyn_snapshot_from_live(Snapshot snapshot)
{
	FullTransactionId next = ReadNextFullTransactionId();
	FullTransactionId own = GetTopFullTransactionIdIfAny();
	DynSnapshot *result = palloc0(sizeof(DynSnapshot));

	if (snapshot->snapshot_type != SNAPSHOT_MVCC || snapshot->takenDuringRecovery)
		elog(ERROR, "snapshot cannot be stored as a position");
	result->xmin = xid_widen(snapshot->xmin, next);
	result->xmax = xid_widen(snapshot->xmax, next);
	result->xip = palloc(sizeof(uint64) * (snapshot->xcnt + 1));
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		result->xip[result->nxip++] = xid_widen(snapshot->xip[i], next);
	if (FullTransactionIdIsValid(own) && U64FromFullTransactionId(own) < result->xmax)
	{
		uint64		xid = U64FromFullTransactionId(own);

		result->xip[result->nxip++] = xid;
		result->xmin = Min(result->xmin, xid);
	}
	qsort(result->xip, result->nxip, sizeof(uint64), xid_compare);
	return result;
}

bool
dyn_snapshot_sees(const DynSnapshot *snapshot, uint64 xid)
{
	if (xid < snapshot->xmin)
		return true;
	if (xid >= snapshot->xmax)
		return false;
	return bsearch(&xid, snapshot->xip, snapshot->nxip, sizeof(uint64), xid_compare) == NULL;
}

/* pg_snapshot's form: xmin:xmax:xip,xip,... */
char *
dyn_snapshot_to_text(const DynSnapshot *snapshot)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, UINT64_FORMAT ":" UINT64_FORMAT ":", snapshot->xmin, snapshot->xmax);
	for (int i = 0; i < snapshot->nxip; i++)
		appendStringInfo(&text, "%s" UINT64_FORMAT, i > 0 ? "," : "", snapshot->xip[i]);
	return text.data;
}

DynSnapshot *
dyn_snapshot_from_text(const char *text)
{
	DynSnapshot *result = palloc0(sizeof(DynSnapshot));
	int			limit = 1;
	char	   *rest;

	for (const char *p = text; *p; p++)
		if (*p == ',')
			limit++;
	result->xip = palloc(sizeof(uint64) * limit);

	result->xmin = strtou64(text, &rest, 10);
	if (*rest != ':')
		elog(ERROR, "malformed snapshot \"%s\"", text);
	result->xmax = strtou64(rest + 1, &rest, 10);
	if (*rest != ':')
		elog(ERROR, "malformed snapshot \"%s\"", text);
	rest++;
	while (*rest != '\0')
	{
		if (result->nxip == limit)
			elog(ERROR, "malformed snapshot \"%s\"", text);
		result->xip[result->nxip++] = strtou64(rest, &rest, 10);
		if (*rest == ',')
			rest++;
		else if (*rest != '\0')
			elog(ERROR, "malformed snapshot \"%s\"", text);
	}
	return result;
}

-- staging: a graph as of a staging layer, of four tables: a crosswalk of two systems, merged
-- entities, a fact table with a sequence, a summary of both.  No ideal.
-- @source landing
-- @query crosswalk key facility
SELECT coalesce(o.key, v.key) AS facility, o.id AS oms_id, v.id AS vems_id, greatest(o.at, v.at) AS last_updated,
    CASE WHEN v.key IS NULL THEN 'OMS_ONLY' WHEN o.key IS NULL THEN 'VEMS_ONLY' ELSE 'BOTH' END AS systems
FROM (SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY key ORDER BY at DESC, id DESC) AS place FROM facility
        WHERE system = 'OMS' AND at >= now() - interval '7 days') x WHERE place = 1) o
FULL JOIN (SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY key ORDER BY at DESC, id DESC) AS place FROM facility
        WHERE system = 'VEMS' AND at >= now() - interval '7 days') x WHERE place = 1) v ON v.key = o.key
-- @query merged key facility
SELECT x.facility, x.systems, x.last_updated, upper(trim(coalesce(o.name, v.name))) AS name, coalesce(o.state, v.state) AS state,
    CASE WHEN o.name <> v.name THEN 'NAME_MISMATCH' WHEN o.state <> v.state THEN 'STATE_MISMATCH' END AS conflict,
    CASE WHEN coalesce(o.state, v.state) IS NOT NULL THEN 100 ELSE 60 END AS score
FROM crosswalk x LEFT JOIN facility o ON o.id = x.oms_id LEFT JOIN facility v ON v.id = x.vems_id
-- @query facts key visit
SELECT e.key AS visit, e.appointment, e.event_at, e.kind, e.minutes, e.sequence, x.facility, CASE WHEN x.facility IS NULL THEN 60 ELSE 100 END AS score
FROM (SELECT l.*, row_number() OVER (PARTITION BY appointment ORDER BY event_at, key) AS sequence
    FROM (SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY key ORDER BY at DESC, id DESC) AS place FROM visit
            WHERE system = 'VEMS' AND at >= now() - interval '7 days') r WHERE place = 1) l) e
LEFT JOIN crosswalk x ON x.facility = e.facility
-- @query summary key table_name
SELECT 'merged' AS table_name, count(*) AS records, round(avg(score), 2) AS score, count(*) FILTER (WHERE conflict IS NOT NULL) AS conflicts FROM merged
UNION ALL
SELECT 'facts', count(*), round(avg(score), 2), 0 FROM facts

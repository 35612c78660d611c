-- 02: a generator of landing data.
--
--     SELECT * FROM generator.fill(scale => 1, seed => 42);
--
-- scale multiplies the amounts (1: about 24,000 rows).  The same scale, seed
-- and anchor give the same rows: every draw is a hash of the seed, what is
-- drawn and for which record.
--
-- The rows came in by nine daily batches, BATCH_YYYYMMDD_001, the oldest eight
-- days before the anchor (default: now), each within an hour around the
-- anchor's time of day.  So one batch is outside the window of seven days, and
-- one is leaving it row by row just now.
--
-- Among them are: records that both systems have and records that only one has
-- (and facts that refer to nobody), names and states that the systems disagree about,
-- the same entity under two record ids, ties of ingestion time and of event
-- time, NULL keys, missing fields, rows that came in days after their batch,
-- records extracted again with and without a change.
--
-- JIT is off in these functions: compiling their statements takes longer than they do.
\set ON_ERROR_STOP on

CREATE SCHEMA generator;
COMMENT ON SCHEMA generator IS 'makes landing data for the staging layer';

-- What was generated; the feeder goes on from here.
CREATE TABLE generator.state (
    seed         bigint      NOT NULL,
    anchor       timestamptz NOT NULL,
    facilities   integer     NOT NULL,
    veterans     integer     NOT NULL,
    evaluators   integer     NOT NULL,
    appointments integer     NOT NULL,
    evaluations  integer     NOT NULL,
    batches_fed  integer     NOT NULL DEFAULT 0,
    events_fed   integer     NOT NULL DEFAULT 0
);

-- A draw from [0, 1) for record i.
CREATE FUNCTION generator.draw(seed bigint, what text, i bigint) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (hashtextextended(what || i::text, seed) & 1099511627775)::double precision / 1099511627776;

-- One of several values, evenly.
CREATE FUNCTION generator.pick(choices text[], draw double precision) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN choices[1 + floor(draw * cardinality(choices))::integer];

-- The natural keys, as both systems know them.
CREATE FUNCTION generator.ssn(i bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '9' || lpad((i / 1000000)::text, 2, '0') || '-' || lpad((i / 10000 % 100)::text, 2, '0')
        || '-' || lpad((i % 10000)::text, 4, '0');
CREATE FUNCTION generator.npi(i bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN (1000000000 + i)::text;
CREATE FUNCTION generator.facility(i bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 'FAC-' || lpad(i::text, 5, '0');

CREATE FUNCTION generator.batch(day date, no integer DEFAULT 1) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN 'BATCH_' || to_char(day, 'YYYYMMDD') || '_' || lpad(no::text, 3, '0');

-- A moment of the batch so many days ago: within half an hour of the anchor's
-- time of day, for today's batch in the half hour before.
CREATE FUNCTION generator.moment(days_ago integer, draw double precision, anchor timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN anchor - make_interval(days => days_ago) - interval '30 minutes'
        + draw * CASE WHEN days_ago = 0 THEN interval '25 minutes' ELSE interval '1 hour' END;

-- The extractions of n records of a kind: which system, which record id, when.
--
-- A record is matched (both systems, 80 %) or an orphan of one system; it is
-- extracted one to three times on different days; 3 % come under a second
-- record id as well, a third of those at the very same moment; 3 % of the rows
-- come in one or two days after the day their batch is named after.
CREATE FUNCTION generator.extractions(kind text, n integer, seed bigint, anchor timestamptz)
    RETURNS TABLE (i bigint, x bigint, source_system text, source_record_id text, batch_id text,
                   ingestion_timestamp timestamptz)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH record AS (
        SELECT i, generator.draw(seed, kind || ' where', i) AS systems, generator.draw(seed, kind || ' day', i) AS day,
               generator.draw(seed, kind || ' times', i) AS times, generator.draw(seed, kind || ' twin', i) AS twin
        FROM generate_series(1, n) i
    ),
    extraction AS (
        SELECT r.*, s.source_system, t.no, c.copy,
               -- x tells the extractions of a record apart in later draws
               r.i * 100 + t.no * 10 + CASE s.source_system WHEN 'OMS' THEN 0 ELSE 4 END + c.copy AS x,
               greatest(0, floor(r.day * 9)::integer - t.no * 2) AS days_ago
        FROM record r
        CROSS JOIN (VALUES ('OMS'), ('VEMS')) s(source_system)
        CROSS JOIN LATERAL generate_series(0, CASE WHEN r.times < 0.6 THEN 0 WHEN r.times < 0.85 THEN 1 ELSE 2 END) t(no)
        CROSS JOIN LATERAL generate_series(0, CASE WHEN r.twin < 0.03 THEN 1 ELSE 0 END) c(copy)
        WHERE r.systems < 0.8 OR (r.systems < 0.9) = (s.source_system = 'OMS')
    ),
    timed AS (
        SELECT e.*, generator.draw(seed, kind || ' late', e.x) < 0.03 AS late,
               CASE WHEN e.copy = 1 AND e.twin < 0.01 THEN e.x - 1 ELSE e.x END AS moment
        FROM extraction e
    ),
    came AS (
        SELECT t.*, greatest(0, t.days_ago - CASE WHEN t.late THEN 2 ELSE 0 END) AS came_days_ago
        FROM timed t
    )
    SELECT i, x, source_system,
           source_system || '-' || upper(kind) || '-' || i || CASE WHEN copy = 1 THEN '-B' ELSE '' END,
           generator.batch((anchor - make_interval(days => days_ago))::date),
           generator.moment(came_days_ago, generator.draw(seed, kind || ' moment', moment), anchor)
               + no * interval '1 millisecond'
    FROM came;
END;

CREATE FUNCTION generator.add_facilities(n integer, seed bigint, anchor timestamptz) RETURNS bigint
    LANGUAGE plpgsql SET jit = off AS $$
DECLARE
    added bigint;
BEGIN
    INSERT INTO ods_raw.ods_facilities_source
    SELECT e.source_system, e.source_record_id, e.batch_id, e.ingestion_timestamp,
           CASE WHEN generator.draw(seed, 'fac null', e.i) >= 0.02 THEN generator.facility(e.i) END,
           CASE WHEN generator.draw(seed, 'fac noname', e.x) >= 0.01 THEN
               CASE WHEN generator.draw(seed, 'fac rename', e.x) < 0.05 THEN 'The New ' ELSE '' END
               || generator.pick(ARRAY['Cedar', 'Lakeside', 'Fort Hill', 'Riverbend', 'Summit', 'Prairie', 'Harbor', 'Mesa'],
                                 generator.draw(seed, 'fac name', e.i))
               || generator.pick(ARRAY[' Medical Center', ' Clinic', ' Exam Center ', ' Health Campus'],
                                 generator.draw(seed, 'fac kind', e.i)) || ' ' || e.i END,
           generator.pick(ARRAY['VAMC', 'CBOC', 'CONTRACT', 'MOBILE'], generator.draw(seed, 'fac type', e.i)),
           (100 + floor(generator.draw(seed, 'fac no', e.i) * 9900))::integer || ' '
               || generator.pick(ARRAY['Main St', 'Oak Ave', 'Veterans Way', 'Liberty Rd'], generator.draw(seed, 'fac street', e.i)),
           CASE WHEN generator.draw(seed, 'fac suite', e.i) < 0.2 THEN 'Suite ' || e.i % 40
                WHEN generator.draw(seed, 'fac suite', e.i) < 0.3 THEN '' END,
           CASE WHEN generator.draw(seed, 'fac nocity', e.x) >= 0.1 THEN
               generator.pick(ARRAY['Austin', 'Denver', 'Tampa', 'Boise', 'Omaha', 'Albany'], generator.draw(seed, 'fac city', e.i)) END,
           CASE WHEN generator.draw(seed, 'fac move', e.x) < 0.02 THEN 'WY'
                WHEN generator.draw(seed, 'fac nostate', e.x) >= 0.05 THEN
               generator.pick(ARRAY['TX', 'CO', 'FL', 'ID', 'NE', 'NY'], generator.draw(seed, 'fac city', e.i)) END,
           lpad((10000 + e.i * 7 % 89999)::text, 5, '0'),
           generator.pick(ARRAY['Travis', 'Adams', 'Pinellas', 'Ada', 'Douglas'], generator.draw(seed, 'fac county', e.i)),
           'V' || lpad((1 + e.i % 23)::text, 2, '0'), 'VISN ' || 1 + e.i % 23,
           CASE WHEN e.i % 7 = 0 THEN generator.facility(1 + e.i / 7) END,
           CASE WHEN generator.draw(seed, 'fac nophone', e.x) >= 0.15 THEN '555-' || lpad((e.i * 37 % 10000)::text, 4, '0') END,
           CASE WHEN e.i % 3 = 0 THEN '555-' || lpad((e.i * 41 % 10000)::text, 4, '0') END,
           CASE WHEN generator.draw(seed, 'fac mail', e.x) < 0.7 THEN ' Desk' || e.i || '@Example.ORG ' END,
           CASE WHEN e.i % 4 = 0 THEN 'https://example.org/f/' || e.i END,
           CASE WHEN generator.draw(seed, 'fac active', e.x) < 0.85 THEN true
                WHEN generator.draw(seed, 'fac active', e.x) < 0.92 THEN false END,
           '08:00-17:00', CASE WHEN e.i % 5 = 0 THEN '09:00-12:00' END,
           CASE WHEN generator.draw(seed, 'fac nocapacity', e.x) >= 0.15
                THEN (5 + floor(generator.draw(seed, 'fac capacity', e.x) * 200))::integer END
    FROM generator.extractions('fac', n, seed, anchor) e;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;

CREATE FUNCTION generator.add_veterans(n integer, seed bigint, anchor timestamptz) RETURNS bigint
    LANGUAGE plpgsql SET jit = off AS $$
DECLARE
    added bigint;
BEGIN
    INSERT INTO ods_raw.ods_veterans_source
    SELECT e.source_system, e.source_record_id, e.batch_id, e.ingestion_timestamp,
           CASE WHEN generator.draw(seed, 'vet null', e.i) >= 0.02 THEN generator.ssn(e.i) END,
           generator.pick(ARRAY['James', 'Maria', 'Robert', 'Linda', 'Wei', 'Aisha', 'Carlos', 'Ruth'],
                          generator.draw(seed, 'vet first', e.i))
               || CASE WHEN generator.draw(seed, 'vet initial', e.x) < 0.05 THEN ' J.' ELSE '' END,
           generator.pick(ARRAY['Smith', 'Nguyen', 'Garcia', 'Johnson', 'O''Neil', 'Kowalski', 'Lee', 'Brown'],
                          generator.draw(seed, 'vet last', e.i)),
           date '1940-01-01' + floor(generator.draw(seed, 'vet born', e.i) * 23000)::integer,
           generator.pick(ARRAY['F', 'M', 'M', 'M'], generator.draw(seed, 'vet gender', e.i)),
           CASE WHEN generator.draw(seed, 'vet mail', e.x) < 0.6 THEN 'v' || e.i || '@example.com' END,
           CASE WHEN generator.draw(seed, 'vet phone', e.x) < 0.9 THEN '555-' || lpad((e.i * 53 % 10000)::text, 4, '0') END,
           1 + e.i * 13 % 9000 || ' Elm St',
           generator.pick(ARRAY['Austin', 'Denver', 'Tampa', 'Boise', 'Omaha', 'Albany'], generator.draw(seed, 'vet city', e.i)),
           CASE WHEN generator.draw(seed, 'vet move', e.x) < 0.03 THEN 'WY' ELSE
               generator.pick(ARRAY['TX', 'CO', 'FL', 'ID', 'NE', 'NY'], generator.draw(seed, 'vet city', e.i)) END,
           lpad((10000 + e.i * 11 % 89999)::text, 5, '0'),
           10 * floor(generator.draw(seed, 'vet rating', e.x) * 11)::integer,
           generator.pick(ARRAY['ARMY', 'NAVY', 'AIR FORCE', 'MARINES', 'COAST GUARD'], generator.draw(seed, 'vet branch', e.i)),
           date '1965-01-01' + floor(generator.draw(seed, 'vet left', e.i) * 20000)::integer
    FROM generator.extractions('vet', n, seed, anchor) e;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;

CREATE FUNCTION generator.add_evaluators(n integer, seed bigint, anchor timestamptz) RETURNS bigint
    LANGUAGE plpgsql SET jit = off AS $$
DECLARE
    added bigint;
BEGIN
    INSERT INTO ods_raw.ods_evaluators_source
    SELECT e.source_system, e.source_record_id, e.batch_id, e.ingestion_timestamp,
           CASE WHEN generator.draw(seed, 'eva null', e.i) >= 0.02 THEN generator.npi(e.i) END,
           generator.pick(ARRAY['Ana', 'David', 'Grace', 'Omar', 'Susan', 'Tom'], generator.draw(seed, 'eva first', e.i)),
           generator.pick(ARRAY['Adams', 'Chen', 'Patel', 'Rossi', 'Young'], generator.draw(seed, 'eva last', e.i)),
           generator.pick(ARRAY['MD', 'DO', 'NP', 'PA', 'PhD'], generator.draw(seed, 'eva credential', e.i)),
           'S' || 10 + e.i % 40, 'L' || 100000 + e.i,
           generator.pick(ARRAY['TX', 'CO', 'FL', 'ID', 'NE', 'NY'], generator.draw(seed, 'eva state', e.i)),
           'e' || e.i || '@example.net', '555-' || lpad((e.i * 59 % 10000)::text, 4, '0'),
           generator.draw(seed, 'eva active', e.x) < 0.95
    FROM generator.extractions('eva', n, seed, anchor) e;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;

-- The events of appointments first .. last.  Each has one to four; 8 % of the
-- rows are extracted again, 5 % are copies that OMS keeps of them, 6 % refer to
-- a veteran whom neither system knows, some share their event time.
CREATE FUNCTION generator.add_appointment_events(first integer, last integer, seed bigint, anchor timestamptz,
                                                 batch text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql SET jit = off AS $$
DECLARE
    s     generator.state;
    added bigint;
BEGIN
    SELECT * INTO STRICT s FROM generator.state;
    INSERT INTO ods_raw.ods_appointment_events_source
    SELECT p.source_system, p.source_system || '-EVT-' || p.x, p.batch_id,
           p.at + p.copy * interval '2 minutes',
           CASE WHEN generator.draw(seed, 'evt null', p.x) >= 0.01 THEN 'EVT-' || p.x END,
           CASE WHEN generator.draw(seed, 'evt noapp', p.x) >= 0.01 THEN 'APT-' || p.a END,
           'EXM-' || p.a / 2,
           CASE WHEN generator.draw(seed, 'apt orphan', p.a) < 0.06
                THEN generator.ssn(s.veterans + p.a)
                ELSE generator.ssn(1 + floor(generator.draw(seed, 'apt vet', p.a) * s.veterans)::bigint) END,
           CASE WHEN generator.draw(seed, 'apt noeva', p.a) >= 0.05
                THEN generator.npi(1 + floor(generator.draw(seed, 'apt eva', p.a) * s.evaluators)::bigint) END,
           generator.facility(1 + floor(generator.draw(seed, 'apt fac', p.a) * s.facilities)::bigint),
           CASE WHEN generator.draw(seed, 'evt notime', p.x) >= 0.03 THEN
               p.at - interval '3 hours'
               + CASE WHEN generator.draw(seed, 'evt tie', p.x) < 0.1 THEN 1 ELSE p.k END * interval '20 minutes' END,
           CASE WHEN generator.draw(seed, 'evt notype', p.x) >= 0.04 THEN p.type END,
           CASE WHEN p.copy = 0 THEN 'RECORDED' ELSE 'AMENDED' END,
           CASE WHEN p.type = 'RESCHEDULED' THEN 'APT-' || p.a - 1 END,
           CASE WHEN p.type = 'RESCHEDULED' THEN 'APT-' || p.a + 1 END,
           CASE WHEN p.type = 'RESCHEDULED' THEN 'conflict' END,
           CASE WHEN p.type = 'CANCELLED' THEN 'illness' END,
           CASE WHEN p.type = 'CANCELLED' THEN generator.pick(ARRAY['VETERAN', 'CLINIC'], generator.draw(seed, 'evt by', p.x)) END,
           CASE WHEN p.type = 'NO_SHOW' THEN generator.pick(ARRAY['unknown', 'transport', 'forgot'], generator.draw(seed, 'evt why', p.x)) END,
           generator.pick(ARRAY['ON_SITE', 'TELEHEALTH'], generator.draw(seed, 'apt where', p.a)), 'Room ' || p.a % 30,
           CASE WHEN generator.draw(seed, 'apt nodate', p.a) >= 0.2 THEN (p.at + interval '14 days')::date END,
           time '08:00' + (p.a % 18) * interval '30 minutes',
           CASE WHEN p.type = 'COMPLETED' THEN p.at END,
           CASE WHEN p.type = 'COMPLETED' THEN 20 + (p.x % 70)::integer END,
           true, p.at::date, p.type <> 'SCHEDULED'
    FROM (
        SELECT e.*, generator.pick(
                   CASE e.k WHEN 1 THEN ARRAY['SCHEDULED'] WHEN 2 THEN ARRAY['CONFIRMED', 'RESCHEDULED']
                       ELSE ARRAY['COMPLETED', 'COMPLETED', 'COMPLETED', 'NO_SHOW', 'CANCELLED'] END,
                   generator.draw(seed, 'evt type', e.x)) AS type,
               coalesce(batch, generator.batch((anchor - make_interval(days => e.days_ago))::date)) AS batch_id,
               CASE WHEN batch IS NOT NULL THEN clock_timestamp() - interval '4 minutes'
                    ELSE generator.moment(e.days_ago, generator.draw(seed, 'evt moment', e.x), anchor) END AS at
        FROM (
            SELECT a, k, c AS copy, y.source_system, a::bigint * 10 + k AS x,
                   floor(generator.draw(seed, 'apt day', a) * 9)::integer AS days_ago
            FROM generate_series(first, last) a
            CROSS JOIN LATERAL generate_series(1, 1 + floor(generator.draw(seed, 'apt events', a) * 4)::integer) k
            CROSS JOIN LATERAL generate_series(0, CASE WHEN generator.draw(seed, 'evt again', a * 10 + k) < 0.08 THEN 1 ELSE 0 END) c
            CROSS JOIN (VALUES ('VEMS'), ('OMS')) y(source_system)
            WHERE y.source_system = 'VEMS' OR generator.draw(seed, 'evt oms', a * 10 + k) < 0.05
        ) e
    ) p
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;

-- The events of quality reviews first .. last, one to four each.
CREATE FUNCTION generator.add_qa_events(first integer, last integer, seed bigint, anchor timestamptz,
                                        batch text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql SET jit = off AS $$
DECLARE
    s     generator.state;
    added bigint;
BEGIN
    SELECT * INTO STRICT s FROM generator.state;
    INSERT INTO ods_raw.ods_qa_events_source
    SELECT p.source_system, p.source_system || '-QA-' || p.x, p.batch_id,
           p.at + p.copy * interval '2 minutes',
           CASE WHEN generator.draw(seed, 'qa null', p.x) >= 0.01 THEN 'QA-' || p.x END,
           CASE WHEN generator.draw(seed, 'qa noeval', p.x) >= 0.02 THEN 'EVAL-' || p.a END,
           CASE WHEN generator.draw(seed, 'qa orphan', p.a) < 0.08 THEN generator.npi(s.evaluators + p.a)
                ELSE generator.npi(1 + floor(generator.draw(seed, 'qa eva', p.a) * s.evaluators)::bigint) END,
           CASE WHEN generator.draw(seed, 'qa notime', p.x) >= 0.03 THEN p.at - interval '1 hour' + p.k * interval '10 minutes' END,
           CASE WHEN generator.draw(seed, 'qa notype', p.x) >= 0.03 THEN p.type END,
           CASE WHEN p.copy = 0 THEN 'RECORDED' ELSE 'AMENDED' END,
           1 + (p.k - 1) / 2,
           CASE WHEN p.type IN ('APPROVED', 'REJECTED') THEN p.type END,
           CASE WHEN generator.draw(seed, 'qa noscore', p.x) >= 0.1 THEN p.score END,
           CASE WHEN generator.draw(seed, 'qa noscore', p.x) >= 0.05 THEN p.score - 3 END,
           least(100, p.score + 2), p.score - 5,
           CASE WHEN generator.draw(seed, 'qa nodef', p.x) >= 0.1 THEN p.deficiencies END,
           CASE WHEN p.deficiencies > 0 THEN generator.pick(ARRAY['NEXUS', 'RATIONALE', 'FORMAT'], generator.draw(seed, 'qa cat', p.x)) END,
           CASE WHEN p.deficiencies > 0 THEN 'see section ' || p.k END,
           p.type = 'CLARIFICATION_REQUESTED',
           CASE WHEN p.type = 'CLARIFICATION_REQUESTED' THEN 'OPINION' END,
           CASE WHEN p.type = 'CLARIFICATION_REQUESTED' THEN 'please state the rationale' END,
           CASE WHEN p.type = 'CLARIFICATION_REQUESTED' THEN (p.at + interval '5 days')::date END,
           CASE WHEN p.type IN ('APPROVED', 'REJECTED') THEN p.type = 'APPROVED' END,
           CASE WHEN p.type = 'APPROVED' THEN p.at END,
           p.at - interval '1 hour' - generator.draw(seed, 'qa start', p.a) * interval '20 hours',
           p.at - interval '30 hours' - generator.draw(seed, 'qa submit', p.a) * interval '5 days'
    FROM (
        SELECT e.*, generator.pick(
                   CASE e.k WHEN 1 THEN ARRAY['REVIEW_STARTED', 'APPROVED'] WHEN 2 THEN ARRAY['DEFICIENCY_FOUND', 'APPROVED']
                       WHEN 3 THEN ARRAY['CLARIFICATION_REQUESTED', 'APPROVED'] ELSE ARRAY['APPROVED', 'REJECTED'] END,
                   generator.draw(seed, 'qa type', e.x)) AS type,
               round((60 + 40 * generator.draw(seed, 'qa score', e.x))::numeric, 2) AS score,
               floor(generator.draw(seed, 'qa def', e.x) ^ 2 * 9)::integer AS deficiencies,
               coalesce(batch, generator.batch((anchor - make_interval(days => e.days_ago))::date)) AS batch_id,
               CASE WHEN batch IS NOT NULL THEN clock_timestamp() - interval '4 minutes'
                    ELSE generator.moment(e.days_ago, generator.draw(seed, 'qa moment', e.x), anchor) END AS at
        FROM (
            SELECT a, k, c AS copy, y.source_system, a::bigint * 10 + k AS x,
                   floor(generator.draw(seed, 'eval day', a) * 9)::integer AS days_ago
            FROM generate_series(first, last) a
            CROSS JOIN LATERAL generate_series(1, 1 + floor(generator.draw(seed, 'eval events', a) * 4)::integer) k
            CROSS JOIN LATERAL generate_series(0, CASE WHEN generator.draw(seed, 'qa again', a * 10 + k) < 0.08 THEN 1 ELSE 0 END) c
            CROSS JOIN (VALUES ('OMS'), ('VEMS')) y(source_system)
            WHERE y.source_system = 'OMS' OR generator.draw(seed, 'qa vems', a * 10 + k) < 0.05
        ) e
    ) p
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;

-- Fill the landing tables; returns how many rows each got.
CREATE FUNCTION generator.fill(scale numeric DEFAULT 1, seed bigint DEFAULT 42, anchor timestamptz DEFAULT now())
    RETURNS TABLE (landing_table text, rows_added bigint)
    LANGUAGE plpgsql SET jit = off AS $$
DECLARE
    s generator.state;
BEGIN
    IF EXISTS (SELECT FROM generator.state) THEN
        RAISE EXCEPTION 'the landing tables have been filled already';
    END IF;
    INSERT INTO generator.state (seed, anchor, facilities, veterans, evaluators, appointments, evaluations)
    VALUES (fill.seed, fill.anchor, ceil(300 * scale), ceil(2500 * scale), ceil(200 * scale),
            ceil(4000 * scale), ceil(1500 * scale))
    RETURNING * INTO s;
    RETURN QUERY
        SELECT 'ods_facilities_source', generator.add_facilities(s.facilities, s.seed, s.anchor)
        UNION ALL
        SELECT 'ods_veterans_source', generator.add_veterans(s.veterans, s.seed, s.anchor)
        UNION ALL
        SELECT 'ods_evaluators_source', generator.add_evaluators(s.evaluators, s.seed, s.anchor)
        UNION ALL
        SELECT 'ods_appointment_events_source', generator.add_appointment_events(1, s.appointments, s.seed, s.anchor)
        UNION ALL
        SELECT 'ods_qa_events_source', generator.add_qa_events(1, s.evaluations, s.seed, s.anchor);
    ANALYZE ods_raw.ods_facilities_source, ods_raw.ods_veterans_source, ods_raw.ods_evaluators_source,
        ods_raw.ods_appointment_events_source, ods_raw.ods_qa_events_source;
END
$$;

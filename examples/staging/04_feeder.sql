-- 04: a feeder, which goes on where the generator ended.
--
--     SELECT generator.feed_batch();               a batch of all five kinds
--     SELECT generator.feed_event();               a single appointment event
--     SELECT generator.correct(10);                corrections in place
--     SELECT generator.remove(5);                  rows taken back
--     CALL generator.feed(interval '1 minute');    all of these, one after another
--
-- Each returns what it did.  What is chosen follows from the seed and from how
-- often the feeder has been called.
\set ON_ERROR_STOP on

-- The next call's number; draws are made for it.
CREATE FUNCTION generator.next_feed() RETURNS generator.state
    LANGUAGE sql
BEGIN ATOMIC
    UPDATE generator.state SET events_fed = events_fed + 1 RETURNING *;
END;

-- A new batch: new appointments and reviews with their events, new veterans,
-- and facilities extracted again, some of them renamed or moved.
CREATE FUNCTION generator.feed_batch(appointments integer DEFAULT 30) RETURNS text
    LANGUAGE plpgsql SET jit = off AS $$
DECLARE
    s          generator.state := generator.next_feed();
    today      timestamptz := clock_timestamp();
    batch      text;
    reviews    integer := appointments / 3;
    newcomers  integer := 1 + appointments / 10;
    events     bigint;
    qa         bigint;
    facilities bigint;
BEGIN
    UPDATE generator.state g
    SET batches_fed = g.batches_fed + 1, veterans = g.veterans + newcomers,
        appointments = g.appointments + feed_batch.appointments, evaluations = g.evaluations + reviews;
    batch := generator.batch(today::date, 2 + s.batches_fed);

    INSERT INTO ods_raw.ods_veterans_source
        (source_system, source_record_id, batch_id, ingestion_timestamp, veteran_ssn, first_name, last_name, state)
    SELECT system, system || '-VET-' || i, batch, today, generator.ssn(i), 'New', 'Veteran ' || i,
           generator.pick(ARRAY['TX', 'CO', 'FL'], generator.draw(s.seed, 'new vet', i))
    FROM generate_series(s.veterans + 1, s.veterans + newcomers) i
    CROSS JOIN (VALUES ('OMS'), ('VEMS')) y(system)
    WHERE system = 'VEMS' OR i % 3 > 0;

    events := generator.add_appointment_events(s.appointments + 1, s.appointments + appointments, s.seed, s.anchor, batch);
    qa := generator.add_qa_events(s.evaluations + 1, s.evaluations + reviews, s.seed, s.anchor, batch);

    INSERT INTO ods_raw.ods_facilities_source
        (source_system, source_record_id, batch_id, ingestion_timestamp, facility_id, facility_name, facility_type,
         city, state, phone, active_flag, capacity)
    SELECT system, system || '-FAC-' || i, batch, today, generator.facility(i),
           CASE WHEN generator.draw(s.seed, 'refac name', i + s.events_fed) < 0.5 THEN 'Renamed Clinic ' || i ELSE 'Clinic ' || i END,
           'CBOC', 'Austin',
           CASE WHEN generator.draw(s.seed, 'refac state', i + s.events_fed) < 0.8 THEN 'TX' END,
           '555-0000', true, 10 + i % 90
    FROM (SELECT DISTINCT 1 + floor(generator.draw(s.seed, 'refac', s.events_fed * 100 + k) * s.facilities)::bigint AS i
          FROM generate_series(1, 1 + feed_batch.appointments / 10) k) chosen
    CROSS JOIN (VALUES ('OMS'), ('VEMS')) y(system)
    WHERE system = 'OMS' OR i % 2 = 0;
    GET DIAGNOSTICS facilities = ROW_COUNT;

    RETURN format('%s: %s appointment events, %s QA events, %s facilities again, %s new veterans',
                  batch, events, qa, facilities, newcomers);
END
$$;

-- One more event of an appointment that exists.
CREATE FUNCTION generator.feed_event() RETURNS text
    LANGUAGE plpgsql SET jit = off AS $$
DECLARE
    s           generator.state := generator.next_feed();
    appointment bigint := 1 + floor(generator.draw(s.seed, 'feed appointment', s.events_fed) * s.appointments);
    type        text := generator.pick(ARRAY['CONFIRMED', 'COMPLETED', 'NO_SHOW', 'CANCELLED'],
                                       generator.draw(s.seed, 'feed type', s.events_fed));
BEGIN
    INSERT INTO ods_raw.ods_appointment_events_source
        (source_system, source_record_id, batch_id, ingestion_timestamp, event_id, appointment_id, veteran_ssn,
         evaluator_npi, facility_id, event_timestamp, event_type, event_status, scheduled_date)
    VALUES ('VEMS', 'VEMS-EVT-FED-' || s.events_fed, generator.batch(current_date, 999), clock_timestamp(),
            'EVT-FED-' || s.events_fed, 'APT-' || appointment,
            generator.ssn(1 + floor(generator.draw(s.seed, 'feed veteran', s.events_fed) * s.veterans)::bigint),
            generator.npi(1 + floor(generator.draw(s.seed, 'feed evaluator', s.events_fed) * s.evaluators)::bigint),
            generator.facility(1 + floor(generator.draw(s.seed, 'feed facility', s.events_fed) * s.facilities)::bigint),
            clock_timestamp(), type, 'RECORDED', current_date);
    RETURN format('a single event: appointment APT-%s is %s', appointment, type);
END
$$;

-- Corrections in place, of facts, of what decides "latest", and of keys.
CREATE FUNCTION generator.correct(n integer DEFAULT 10) RETURNS text
    LANGUAGE plpgsql SET jit = off AS $$
DECLARE
    s          generator.state := generator.next_feed();
    events     bigint;
    reviews    bigint;
    facilities bigint;
BEGIN
    UPDATE ods_raw.ods_appointment_events_source
    SET event_type = 'NO_SHOW', no_show_reason = 'corrected',
        scheduled_date = CASE WHEN scheduled_date IS NULL THEN current_date END,
        appointment_id = coalesce(appointment_id, 'APT-' || s.appointments)
    WHERE appointment_id IN (
        SELECT 'APT-' || 1 + floor(generator.draw(s.seed, 'fix appointment', s.events_fed * 1000 + k) * s.appointments)::bigint
        FROM generate_series(1, n) k);
    GET DIAGNOSTICS events = ROW_COUNT;
    UPDATE ods_raw.ods_qa_events_source
    SET overall_quality_score = CASE WHEN qa_cycle_number < 3 THEN NULL ELSE 40 END, deficiency_count = 7, qa_cycle_number = qa_cycle_number + 1
    WHERE qa_event_id IN (
        SELECT 'QA-' || (1 + floor(generator.draw(s.seed, 'fix review', s.events_fed * 1000 + k) * s.evaluations)::bigint) * 10 + 1
        FROM generate_series(1, n) k);
    GET DIAGNOSTICS reviews = ROW_COUNT;
    UPDATE ods_raw.ods_facilities_source
    SET state = CASE WHEN state = 'WY' THEN NULL ELSE 'WY' END,
        city = nullif(city, 'Austin'),
        facility_id = CASE WHEN capacity % 10 = 0 THEN NULL ELSE facility_id END
    WHERE source_system = 'OMS' AND facility_id IN (
        SELECT generator.facility(1 + floor(generator.draw(s.seed, 'fix facility', s.events_fed * 1000 + k) * s.facilities)::bigint)
        FROM generate_series(1, 1 + n / 5) k);
    GET DIAGNOSTICS facilities = ROW_COUNT;
    RETURN format('corrected in place: %s appointment events, %s QA events, %s facility rows', events, reviews, facilities);
END
$$;

-- Rows taken back: events of an appointment, a review, a veteran in one system.
CREATE FUNCTION generator.remove(n integer DEFAULT 5) RETURNS text
    LANGUAGE plpgsql SET jit = off AS $$
DECLARE
    s        generator.state := generator.next_feed();
    events   bigint;
    reviews  bigint;
    veterans bigint;
BEGIN
    DELETE FROM ods_raw.ods_appointment_events_source
    WHERE appointment_id IN (
        SELECT 'APT-' || 1 + floor(generator.draw(s.seed, 'drop appointment', s.events_fed * 1000 + k) * s.appointments)::bigint
        FROM generate_series(1, n) k);
    GET DIAGNOSTICS events = ROW_COUNT;
    DELETE FROM ods_raw.ods_qa_events_source
    WHERE qa_event_id IN (
        SELECT 'QA-' || (1 + floor(generator.draw(s.seed, 'drop review', s.events_fed * 1000 + k) * s.evaluations)::bigint) * 10 + 1
        FROM generate_series(1, n) k);
    GET DIAGNOSTICS reviews = ROW_COUNT;
    DELETE FROM ods_raw.ods_veterans_source
    WHERE source_system = 'VEMS' AND veteran_ssn IN (
        SELECT generator.ssn(1 + floor(generator.draw(s.seed, 'drop veteran', s.events_fed * 1000 + k) * s.veterans)::bigint)
        FROM generate_series(1, n) k);
    GET DIAGNOSTICS veterans = ROW_COUNT;
    RETURN format('taken back: %s appointment events, %s QA events, %s veteran rows', events, reviews, veterans);
END
$$;

-- All of these in turn, each in a transaction of its own, saying what it does.
CREATE PROCEDURE generator.feed(duration interval, pause interval DEFAULT '200 ms', batch integer DEFAULT 30)
    LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz := clock_timestamp() + duration;
    turn  integer := 0;
    done  text;
BEGIN
    WHILE clock_timestamp() < until LOOP
        done := CASE turn % 10
                    WHEN 0 THEN generator.feed_batch(batch)
                    WHEN 4 THEN generator.correct(batch / 3)
                    WHEN 7 THEN generator.remove(batch / 6)
                    ELSE generator.feed_event() END;
        COMMIT;
        RAISE INFO '%', done;
        PERFORM pg_sleep(extract(epoch FROM pause));
        turn := turn + 1;
    END LOOP;
END
$$;

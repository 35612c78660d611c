-- The guide, "Architecture Overview"

--# 2.1 ODS_RAW to REFERENCE to STAGING to WAREHOUSE, by automatic refresh
SELECT dyntable.graph('text') ~ 'agg_daily_quality', dyntable.graph('mermaid') LIKE '%dt_crosswalk_facilities%';
--= t|t

--# 2.2 Component dt_crosswalk_facilities: 15 min, facilities matched between OMS and VEMS
SELECT t.target_lag, array_agg(DISTINCT x.match_method ORDER BY x.match_method)
FROM dyntable.dynamic_tables t, reference.dt_crosswalk_facilities x WHERE t.name = 'dt_crosswalk_facilities' GROUP BY 1;
--= 15 minutes|{FACILITY_ID_EXACT_MATCH,FACILITY_ID_OMS_ONLY,FACILITY_ID_VEMS_ONLY}

--# 2.3 Component dt_stg_facilities: 30 min, merged facilities
SELECT t.target_lag, array_agg(DISTINCT f.source_system ORDER BY f.source_system)
FROM dyntable.dynamic_tables t, staging.dt_stg_facilities f WHERE t.name = 'dt_stg_facilities' GROUP BY 1;
--= 30 minutes|{OMS,OMS_VEMS_MERGED,VEMS}

--# 2.4 Component dt_stg_fact_appointment_events: 20 min
SELECT t.target_lag, count(f.master_veteran_id) > 0, max(f.event_sequence_number) > 1
FROM dyntable.dynamic_tables t, staging.dt_stg_fact_appointment_events f WHERE t.name = 'dt_stg_fact_appointment_events' GROUP BY 1;
--= 20 minutes|t|t

--# 2.5 Component dt_stg_fact_qa_events: 30 min
SELECT t.target_lag, count(f.qa_reviewer_id) > 0, bool_or(f.first_pass_approval_flag)
FROM dyntable.dynamic_tables t, staging.dt_stg_fact_qa_events f WHERE t.name = 'dt_stg_fact_qa_events' GROUP BY 1;
--= 30 minutes|t|t

--# 2.6 Component dt_vw_staging_dq_summary: 10 min, less than what it reads
SELECT t.target_lag, s.table_name, s.total_records > 0
FROM dyntable.dynamic_tables t, staging.dt_vw_staging_dq_summary s WHERE t.name = 'dt_vw_staging_dq_summary' ORDER BY 2;
SELECT name, effective_target_lag FROM dyntable.dynamic_tables WHERE name = 'dt_stg_facilities';
--= 10 minutes|dt_stg_facilities|t
--= 10 minutes|dt_stg_fact_appointment_events|t
--= 10 minutes|dt_stg_fact_qa_events|t
--= dt_stg_facilities|10 minutes

--# 2.7 Four warehouse tables on top, incremental too
SELECT name, refresh_mode, target_lag FROM dyntable.dynamic_tables WHERE schema_name = 'warehouse' ORDER BY name;
--= agg_daily_quality|INCREMENTAL|30 minutes
--= dim_facility|INCREMENTAL|30 minutes
--= fact_appointment_events|INCREMENTAL|30 minutes
--= fact_qa_events|INCREMENTAL|30 minutes

-- What agents, bills and analytics read: views of the same names, in which a party who is restricted (Art. 18) is as blank as
-- one who was erased, and the record of other parties is whole. A row without another party is not there. Of each table one half
-- has the rows without a restricted party, by the table's indexes; the other the few that are left, by the numbers restricted. Each is a
-- barrier of its own, since PostgreSQL passes over that of a UNION ALL: a reader's own function would see rows before they are masked.
-- No function is called here: a reader of a view could call it too, and ask for one number after the other.
CREATE SCHEMA readable;

CREATE VIEW restricted AS SELECT coalesce(array_agg(DISTINCT number), '{}') AS numbers FROM restricted_number;

-- Each call with who is restricted in it at its time; that their number is listed at all is asked first, from memory.
CREATE VIEW acc_cdrs_parties AS SELECT c.*,
    (coalesce(c.caller_e164 IN (SELECT number FROM restricted_number), false) OR coalesce(c.pai IN (SELECT number FROM restricted_number), false)
            OR coalesce(c.caller_sip IN (SELECT number FROM restricted_number), false))
        AND EXISTS (SELECT FROM restricted_number r
                    WHERE r.number IN (c.caller_e164, c.pai, c.caller_sip) AND r.valid_from <= c.start_time AT TIME ZONE 'UTC'
                      AND (r.valid_to IS NULL OR c.start_time AT TIME ZONE 'UTC' < r.valid_to)) AS hides_caller,
    coalesce(coalesce(c.callee_e164, c.callee_sip) IN (SELECT number FROM restricted_number), false)
        AND EXISTS (SELECT FROM restricted_number r
                    WHERE r.number = coalesce(c.callee_e164, c.callee_sip) AND r.valid_from <= c.start_time AT TIME ZONE 'UTC'
                      AND (r.valid_to IS NULL OR c.start_time AT TIME ZONE 'UTC' < r.valid_to)) AS hides_callee
FROM acc_cdrs c;

CREATE VIEW acc_cdrs_unrestricted WITH (security_barrier) AS
SELECT id, start_time, end_time, duration, caller, callee, callid, src_ip, user_agent, pai, privacy,
    served_domain, region, caller_domain, callee_domain, caller_e164, callee_e164, caller_sip, callee_sip
FROM acc_cdrs_parties WHERE NOT (hides_caller OR hides_callee);

CREATE VIEW acc_cdrs_masked WITH (security_barrier) AS
SELECT id, start_time, end_time, duration,
    CASE WHEN hides_caller THEN '' ELSE caller END AS caller,
    CASE WHEN hides_callee THEN '' ELSE callee END AS callee,
    CASE WHEN hides_caller THEN '' ELSE callid END AS callid,
    CASE WHEN hides_caller THEN '' ELSE src_ip END AS src_ip,
    CASE WHEN hides_caller THEN '' ELSE user_agent END AS user_agent,
    CASE WHEN NOT hides_caller THEN pai END AS pai,
    CASE WHEN hides_caller THEN '' ELSE privacy END AS privacy,
    served_domain, region,
    CASE WHEN hides_caller THEN '' ELSE caller_domain END AS caller_domain,
    CASE WHEN hides_callee THEN '' ELSE callee_domain END AS callee_domain,
    CASE WHEN NOT hides_caller THEN caller_e164 END AS caller_e164,
    CASE WHEN NOT hides_callee THEN callee_e164 END AS callee_e164,
    CASE WHEN NOT hides_caller THEN caller_sip END AS caller_sip,
    CASE WHEN NOT hides_callee THEN callee_sip END AS callee_sip
FROM acc_cdrs_parties
WHERE (caller_e164 = ANY ((SELECT numbers FROM restricted)::text[]) OR callee_e164 = ANY ((SELECT numbers FROM restricted)::text[])
       OR pai = ANY ((SELECT numbers FROM restricted)::text[])
       OR caller_sip = ANY ((SELECT numbers FROM restricted)::text[]) OR callee_sip = ANY ((SELECT numbers FROM restricted)::text[]))
  AND (hides_caller OR hides_callee)
  AND ((NOT hides_caller AND (caller NOT IN ('', 'anonymous') OR pai IS NOT NULL)) OR (NOT hides_callee AND callee <> ''));

CREATE VIEW readable.acc_cdrs AS SELECT * FROM acc_cdrs_unrestricted UNION ALL SELECT * FROM acc_cdrs_masked;

DO $$
DECLARE
    of_calls CONSTANT text[] := ARRAY[$view$
CREATE VIEW TABLE_parties AS SELECT c.*,
    (coalesce(c.src_e164 IN (SELECT number FROM restricted_number), false) OR coalesce(c.src_pai IN (SELECT number FROM restricted_number), false)
            OR coalesce(c.src_sip IN (SELECT number FROM restricted_number), false))
        AND EXISTS (SELECT FROM restricted_number r
                    WHERE r.number IN (c.src_e164, c.src_pai, c.src_sip) AND r.valid_from <= c.time AT TIME ZONE 'UTC'
                      AND (r.valid_to IS NULL OR c.time AT TIME ZONE 'UTC' < r.valid_to)) AS hides_caller,
    coalesce(coalesce(c.dst_ouser_e164, c.dst_ouser_sip) IN (SELECT number FROM restricted_number), false)
        AND EXISTS (SELECT FROM restricted_number r
                    WHERE r.number = coalesce(c.dst_ouser_e164, c.dst_ouser_sip) AND r.valid_from <= c.time AT TIME ZONE 'UTC'
                      AND (r.valid_to IS NULL OR c.time AT TIME ZONE 'UTC' < r.valid_to)) AS hides_dialled,
    coalesce(coalesce(c.dst_e164, c.dst_sip) IN (SELECT number FROM restricted_number), false)
        AND EXISTS (SELECT FROM restricted_number r
                    WHERE r.number = coalesce(c.dst_e164, c.dst_sip) AND r.valid_from <= c.time AT TIME ZONE 'UTC'
                      AND (r.valid_to IS NULL OR c.time AT TIME ZONE 'UTC' < r.valid_to)) AS hides_callee
FROM TABLE c $view$, $view$
CREATE VIEW TABLE_unrestricted WITH (security_barrier) AS
SELECT id, method, from_tag, to_tag, callid, sip_code, sip_reason, time, src_user, src_domain, src_ip,
    dst_ouser, dst_user, dst_domain, src_pai, privacy, served_domain, region, dst_odomain, src_e164, dst_ouser_e164, dst_e164,
    src_sip, dst_ouser_sip, dst_sip
FROM TABLE_parties WHERE NOT (hides_caller OR hides_dialled OR hides_callee) $view$, $view$
CREATE VIEW TABLE_masked WITH (security_barrier) AS
SELECT id, method,
    CASE WHEN hides_caller THEN '' ELSE from_tag END AS from_tag,
    CASE WHEN hides_callee THEN '' ELSE to_tag END AS to_tag,
    CASE WHEN hides_caller THEN '' ELSE callid END AS callid,
    sip_code, sip_reason, time,
    CASE WHEN hides_caller THEN '' ELSE src_user END AS src_user,
    CASE WHEN hides_caller THEN '' ELSE src_domain END AS src_domain,
    CASE WHEN hides_caller THEN '' ELSE src_ip END AS src_ip,
    CASE WHEN hides_dialled THEN '' ELSE dst_ouser END AS dst_ouser,
    CASE WHEN hides_callee THEN '' ELSE dst_user END AS dst_user,
    CASE WHEN hides_callee THEN '' ELSE dst_domain END AS dst_domain,
    CASE WHEN NOT hides_caller THEN src_pai END AS src_pai,
    CASE WHEN hides_caller THEN '' ELSE privacy END AS privacy,
    served_domain, region,
    CASE WHEN hides_dialled THEN '' ELSE dst_odomain END AS dst_odomain,
    CASE WHEN NOT hides_caller THEN src_e164 END AS src_e164,
    CASE WHEN NOT hides_dialled THEN dst_ouser_e164 END AS dst_ouser_e164,
    CASE WHEN NOT hides_callee THEN dst_e164 END AS dst_e164,
    CASE WHEN NOT hides_caller THEN src_sip END AS src_sip,
    CASE WHEN NOT hides_dialled THEN dst_ouser_sip END AS dst_ouser_sip,
    CASE WHEN NOT hides_callee THEN dst_sip END AS dst_sip
FROM TABLE_parties
WHERE (src_e164 = ANY ((SELECT numbers FROM restricted)::text[]) OR dst_e164 = ANY ((SELECT numbers FROM restricted)::text[])
       OR dst_ouser_e164 = ANY ((SELECT numbers FROM restricted)::text[]) OR src_pai = ANY ((SELECT numbers FROM restricted)::text[])
       OR src_sip = ANY ((SELECT numbers FROM restricted)::text[]) OR dst_sip = ANY ((SELECT numbers FROM restricted)::text[])
       OR dst_ouser_sip = ANY ((SELECT numbers FROM restricted)::text[]))
  AND (hides_caller OR hides_dialled OR hides_callee)
  AND ((NOT hides_caller AND (src_user NOT IN ('', 'anonymous') OR src_pai IS NOT NULL))
       OR (NOT hides_dialled AND dst_ouser <> '') OR (NOT hides_callee AND dst_user <> '')) $view$, $view$
CREATE VIEW readable.TABLE AS SELECT * FROM TABLE_unrestricted UNION ALL SELECT * FROM TABLE_masked $view$];
    name text;
    statement text;
BEGIN
    FOREACH name IN ARRAY ARRAY['acc', 'missed_calls'] LOOP
        FOREACH statement IN ARRAY of_calls LOOP
            EXECUTE replace(statement, 'TABLE', name);
        END LOOP;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA readable TO cdr_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA readable TO cdr_reader;

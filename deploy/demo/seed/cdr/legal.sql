-- Restricted calls are read with consent, for legal claims, to protect another person, or for an important public interest (Art. 18(2)),
-- and by no other way than this one: the role cdr_legal states a reason and whose calls, commits that, and then reads. The reason is on
-- record whatever becomes of the reading: in one transaction with it, a rollback would take it away.
CREATE SCHEMA legal;

CREATE TABLE legal.reading (
    reading   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    stated_in xid8        NOT NULL DEFAULT pg_current_xact_id(),
    reader    text        NOT NULL DEFAULT session_user,
    reason    text        NOT NULL,
    whose     text        NOT NULL        -- a number, or the URI of a SIP user
);

CREATE FUNCTION legal.state_reason(reason text, whose text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    stated bigint;
    known  CONSTANT text := CASE
        WHEN whose ~ '^sip:[^@:;]+@[^@:;]+$' THEN split_part(whose, '@', 1) || '@' || lower(split_part(whose, '@', 2))
        ELSE public.e164(whose, '') END;
BEGIN
    IF coalesce(btrim(reason), '') = '' THEN
        RAISE EXCEPTION 'reason: say why restricted calls must be read (Art. 18(2))' USING ERRCODE = 'invalid_parameter_value';
    ELSIF known IS NULL THEN
        RAISE EXCEPTION 'whose: give a number with its country code, as +34910000001, or a SIP user, as sip:ada@voice.example.com'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO legal.reading AS r (reason, whose) VALUES (btrim(reason), known) RETURNING r.reading INTO stated;
    RETURN stated;
END
$$;

-- The calls in which they are restricted, from whichever table; other people who are restricted stay blank.
CREATE FUNCTION legal.restricted_calls(of_reading bigint) RETURNS TABLE (source text, call jsonb)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    stated legal.reading;
    flags CONSTANT text[] := ARRAY['hides_caller', 'hides_dialled', 'hides_callee'];
    of_caller CONSTANT text[] := ARRAY['from_tag', 'callid', 'src_user', 'src_domain', 'src_ip', 'src_pai', 'privacy', 'src_e164', 'src_sip'];
    of_dialled CONSTANT text[] := ARRAY['dst_ouser', 'dst_odomain', 'dst_ouser_e164', 'dst_ouser_sip'];
    of_callee CONSTANT text[] := ARRAY['to_tag', 'dst_user', 'dst_domain', 'dst_e164', 'dst_sip'];
    name text;
BEGIN
    SELECT * INTO stated FROM legal.reading r
    WHERE r.reading = of_reading AND r.reader = session_user AND r.stated_at > clock_timestamp() - interval '1 hour';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'state your reason first (legal.state_reason), and read within the hour' USING ERRCODE = 'insufficient_privilege';
    ELSIF stated.stated_in = pg_current_xact_id_if_assigned() THEN
        RAISE EXCEPTION 'commit the reason first: it must stay on record' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN QUERY
        SELECT 'acc_cdrs', to_jsonb(p) - flags
            - CASE WHEN hides_caller AND stated.whose NOT IN (coalesce(caller_e164, ''), coalesce(pai, ''), coalesce(caller_sip, ''))
                   THEN ARRAY['caller', 'callid', 'src_ip', 'user_agent', 'pai', 'privacy', 'caller_domain', 'caller_e164', 'caller_sip']
                   ELSE '{}' END
            - CASE WHEN hides_callee AND coalesce(callee_e164, callee_sip) <> stated.whose
                   THEN ARRAY['callee', 'callee_domain', 'callee_e164', 'callee_sip'] ELSE '{}' END
        FROM public.acc_cdrs_parties p
        WHERE hides_caller AND stated.whose IN (caller_e164, pai, caller_sip)
           OR hides_callee AND coalesce(callee_e164, callee_sip) = stated.whose;
    FOREACH name IN ARRAY ARRAY['acc', 'missed_calls'] LOOP
        RETURN QUERY EXECUTE format($query$
            SELECT %L, to_jsonb(p) - $2
                - CASE WHEN hides_caller AND $1 NOT IN (coalesce(src_e164, ''), coalesce(src_pai, ''), coalesce(src_sip, ''))
                       THEN $3 ELSE '{}' END
                - CASE WHEN hides_dialled AND coalesce(dst_ouser_e164, dst_ouser_sip) <> $1 THEN $4 ELSE '{}' END
                - CASE WHEN hides_callee AND coalesce(dst_e164, dst_sip) <> $1 THEN $5 ELSE '{}' END
            FROM public.%I p
            WHERE hides_caller AND $1 IN (src_e164, src_pai, src_sip)
               OR hides_dialled AND coalesce(dst_ouser_e164, dst_ouser_sip) = $1
               OR hides_callee AND coalesce(dst_e164, dst_sip) = $1 $query$, name, name || '_parties')
        USING stated.whose, flags, of_caller, of_dialled, of_callee;
    END LOOP;
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA legal FROM PUBLIC;
GRANT USAGE ON SCHEMA legal TO cdr_legal;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA legal TO cdr_legal;

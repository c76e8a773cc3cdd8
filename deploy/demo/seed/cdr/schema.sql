-- Kamailio's accounting tables as this company configures them. Times are UTC without zone, as the switch writes them.

-- One spelling of a number as switches write it: +34, 0034, 34, and 00034 from a trunk that prefixes twice. A trunk that dials as
-- one dials in its own country says which that is (ISO 3166), and what looks national there is; one that delivers the country code
-- always says 001, the world (UN M49). Of a trunk that says neither digits alone may be anybody's: +43 1 5550858 and +1 431 555 0858
-- are the same then. Anything else, such as an extension or a short code, is no number of a person.
CREATE FUNCTION dialled(spelled text, region text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN region IN ('ES', 'PL', 'PT') AND spelled ~ '^[1-9][0-9]{8}$'
            THEN CASE region WHEN 'ES' THEN '+34' WHEN 'PL' THEN '+48' ELSE '+351' END || spelled
        WHEN region = 'IT' AND spelled ~ '^(?:0[1-9]|3)[0-9]{5,9}$' THEN '+39' || spelled
        WHEN region = 'US' AND spelled ~ '^1?[2-9][0-9]{9}$' THEN '+1' || right(spelled, 10)
        WHEN region IN ('DE', 'FR', 'NL', 'SE', 'IE', 'AT', 'BE') AND spelled ~ '^0[1-9][0-9]{5,11}$'
            THEN CASE region WHEN 'DE' THEN '+49' WHEN 'FR' THEN '+33' WHEN 'NL' THEN '+31' WHEN 'SE' THEN '+46'
                 WHEN 'IE' THEN '+353' WHEN 'AT' THEN '+43' ELSE '+32' END || substr(spelled, 2)
        WHEN spelled ~ '^(?:\+|00|000)?[1-9][0-9]+$' AND length(ltrim(spelled, '+0')) BETWEEN 7 AND 15
            AND (region IN ('001', 'ES', 'PL', 'PT', 'IT', 'US', 'DE', 'FR', 'NL', 'SE', 'IE', 'AT', 'BE') OR spelled ~ '^(?:\+|00)')
            THEN '+' || ltrim(spelled, '+0') END;

-- The user part of a URI (RFC 3261, RFC 3966), without its parameters, such as the extension behind a number.
CREATE FUNCTION user_part(written text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN regexp_replace(regexp_replace(written, '^(?:sips?|tel):', '', 'i'), '[;@].*$', '');

CREATE FUNCTION e164(written text, region text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN written ~ '[:;@]' THEN dialled(user_part(written), region) ELSE dialled(written, region) END;

-- Who is no number is a user or an extension of its domain, if the switch wrote that down and the network knows no number of theirs.
-- What may be a number of an unknown holder is no user either.
CREATE FUNCTION sip_user(written text, region text, domain text, known text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN written IN ('', 'anonymous') OR coalesce(known, '') <> '' OR e164(written, region) IS NOT NULL
            OR user_part(written) ~ '^\+?[0-9]{7,}$' THEN NULL
        WHEN written ~ '@' THEN 'sip:' || user_part(written) || '@' || lower(regexp_replace(written, '^.*@|[;:?].*$', '', 'g'))
        WHEN domain <> '' THEN 'sip:' || user_part(written) || '@' || lower(domain) END;

-- The number that a caller showed. Where the network knows another one, that is who called. What was shown is only claimed
-- (REQ-N5): it is attributed to no person.
CREATE FUNCTION shown(spelled text, region text, known text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN coalesce(known, '') IN ('', e164(spelled, region)) THEN e164(spelled, region) END;

CREATE TABLE acc_cdrs (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    start_time  timestamp NOT NULL DEFAULT '2000-01-01 00:00:00',
    end_time    timestamp NOT NULL DEFAULT '2000-01-01 00:00:00',
    duration    real NOT NULL DEFAULT 0,
    caller      varchar(64) NOT NULL DEFAULT '',
    callee      varchar(64) NOT NULL DEFAULT '',
    callid      varchar(255) NOT NULL DEFAULT '',
    src_ip      varchar(64) NOT NULL DEFAULT '',
    user_agent  varchar(255) NOT NULL DEFAULT '',
    pai         varchar(64),
    privacy     varchar(16) NOT NULL DEFAULT '',
    served_domain varchar(128) NOT NULL DEFAULT 'voice.example.com', -- for which of our customers, or our own
    region      varchar(3) NOT NULL DEFAULT '',
    caller_domain varchar(128) NOT NULL DEFAULT '',
    callee_domain varchar(128) NOT NULL DEFAULT '',
    caller_e164 text GENERATED ALWAYS AS (shown(caller, region, pai)) STORED,
    callee_e164 text GENERATED ALWAYS AS (e164(callee, region)) STORED,
    caller_sip  text GENERATED ALWAYS AS (sip_user(caller, region, caller_domain, pai)) STORED,
    callee_sip  text GENERATED ALWAYS AS (sip_user(callee, region, callee_domain, NULL)) STORED,
    PRIMARY KEY (id, start_time)
) PARTITION BY RANGE (start_time);

CREATE TABLE acc_cdrs_default PARTITION OF acc_cdrs DEFAULT;

-- The partitions of the months in which calls began; the switch's own job calls this ahead of every month.
CREATE FUNCTION add_months_of_calls(first timestamp, last timestamp) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    month timestamp := date_trunc('month', first);
BEGIN
    WHILE month <= last LOOP
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS %I PARTITION OF acc_cdrs FOR VALUES FROM (%L) TO (%L)',
            'acc_cdrs_' || to_char(month, 'YYYY_MM'), month, month + interval '1 month');
        month := month + interval '1 month';
    END LOOP;
END
$$;

CREATE TABLE acc (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    method         varchar(16) NOT NULL DEFAULT '',
    from_tag       varchar(128) NOT NULL DEFAULT '',
    to_tag         varchar(128) NOT NULL DEFAULT '',
    callid         varchar(255) NOT NULL DEFAULT '',
    sip_code       varchar(3) NOT NULL DEFAULT '',
    sip_reason     varchar(128) NOT NULL DEFAULT '',
    time           timestamp NOT NULL,
    src_user       varchar(64) NOT NULL DEFAULT '',
    src_domain     varchar(128) NOT NULL DEFAULT '',
    src_ip         varchar(64) NOT NULL DEFAULT '',
    dst_ouser      varchar(64) NOT NULL DEFAULT '',
    dst_user       varchar(64) NOT NULL DEFAULT '',
    dst_domain     varchar(128) NOT NULL DEFAULT '',
    src_pai        varchar(64),
    privacy        varchar(16) NOT NULL DEFAULT '',
    served_domain  varchar(128) NOT NULL DEFAULT 'voice.example.com',
    region         varchar(3) NOT NULL DEFAULT '',
    dst_odomain    varchar(128) NOT NULL DEFAULT '',
    src_e164       text GENERATED ALWAYS AS (shown(src_user, region, src_pai)) STORED,
    dst_ouser_e164 text GENERATED ALWAYS AS (e164(dst_ouser, region)) STORED,
    dst_e164       text GENERATED ALWAYS AS (e164(dst_user, region)) STORED,
    src_sip        text GENERATED ALWAYS AS (sip_user(src_user, region, src_domain, src_pai)) STORED,
    dst_ouser_sip  text GENERATED ALWAYS AS (sip_user(dst_ouser, region, dst_odomain, NULL)) STORED,
    dst_sip        text GENERATED ALWAYS AS (sip_user(dst_user, region, dst_domain, NULL)) STORED
);

CREATE TABLE missed_calls (LIKE acc INCLUDING ALL);

-- Numbers and SIP users whose calls may not be used (Art. 18), by the request that asked for it. Who is restricted is confidential too:
-- readers see neither this table nor those of the calls, only what readers.sql makes of them.
CREATE TABLE restricted_number (
    request_id uuid NOT NULL,
    number     text NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz,
    sip_uri    text GENERATED ALWAYS AS (CASE WHEN starts_with(number, 'sip:') THEN number END) STORED,
    kept       boolean NOT NULL DEFAULT false, -- an erasure left calls of this number, which a rule keeps
    PRIMARY KEY (request_id, number, valid_from)
);

ALTER TABLE acc_cdrs ENABLE ROW LEVEL SECURITY;
ALTER TABLE acc ENABLE ROW LEVEL SECURITY;
ALTER TABLE missed_calls ENABLE ROW LEVEL SECURITY;

CREATE POLICY writes ON acc_cdrs FOR INSERT TO cdr_switch WITH CHECK (true);
CREATE POLICY writes ON acc FOR INSERT TO cdr_switch WITH CHECK (true);
CREATE POLICY writes ON missed_calls FOR INSERT TO cdr_switch WITH CHECK (true);
CREATE POLICY everything ON acc_cdrs TO cdr_privacy USING (true) WITH CHECK (true);
CREATE POLICY everything ON acc TO cdr_privacy USING (true) WITH CHECK (true);
CREATE POLICY everything ON missed_calls TO cdr_privacy USING (true) WITH CHECK (true);

-- On the tables themselves and never on a partition: its own row would not ask the policy.
GRANT INSERT ON acc_cdrs, acc, missed_calls TO cdr_switch;
GRANT SELECT, INSERT, UPDATE, DELETE ON acc_cdrs, acc, missed_calls, restricted_number TO cdr_privacy;

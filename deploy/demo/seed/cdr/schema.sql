-- Kamailio's accounting tables as this company configures them. Times are UTC without zone, as the switch writes them.

-- One spelling of a number as switches write it (+34, 0034, 34, and 00034 from a trunk that prefixes twice). The trunks
-- here deliver the country code always; anything else, such as an extension or a short code, is no number of a person.
CREATE FUNCTION e164(spelled text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN spelled ~ '^(?:\+|00|000)?[1-9][0-9]+$' AND length(ltrim(spelled, '+0')) BETWEEN 7 AND 15
                THEN '+' || ltrim(spelled, '+0') END;

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
    served_domain varchar(128) NOT NULL DEFAULT 'voice.example.com', -- for which customer of ours, or our own
    caller_e164 text GENERATED ALWAYS AS (e164(caller)) STORED,
    callee_e164 text GENERATED ALWAYS AS (e164(callee)) STORED,
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
    src_e164       text GENERATED ALWAYS AS (e164(src_user)) STORED,
    dst_ouser_e164 text GENERATED ALWAYS AS (e164(dst_ouser)) STORED,
    dst_e164       text GENERATED ALWAYS AS (e164(dst_user)) STORED
);

CREATE TABLE missed_calls (LIKE acc INCLUDING ALL);

-- Numbers whose calls nobody may use (Art. 18), by the request that asked for it. Who is restricted is itself nobody's business:
-- readers see neither this table nor those of the calls, only what readers.sql makes of them.
CREATE TABLE restricted_number (
    request_id uuid NOT NULL,
    e164       text NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz,
    PRIMARY KEY (request_id, e164, valid_from)
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

-- The website: what its visitors did, and who gets a newsletter.

-- What visitors did, by the client id that their browser keeps; who was signed in then has an account id too.
CREATE TABLE event (
    event_id    uuid        NOT NULL DEFAULT gen_random_uuid(),
    occurred_at timestamptz NOT NULL,
    client_id   text,
    account_id  text,
    kind        text        NOT NULL,
    page        text,
    country     text,                   -- of the network address, which itself is not kept
    device      text,
    restricted  boolean     NOT NULL DEFAULT false, -- it may not be used (Art. 18): readers see nothing of it
    PRIMARY KEY (event_id, occurred_at)
) PARTITION BY RANGE (occurred_at);

CREATE INDEX event_client ON event (client_id, occurred_at) WHERE client_id IS NOT NULL;
CREATE INDEX event_account ON event (account_id, occurred_at) WHERE account_id IS NOT NULL;

-- The partitions of the months in which events happened; the website's own job calls this ahead of every month.
CREATE FUNCTION add_months_of_events(first timestamptz, last timestamptz) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    month timestamp := date_trunc('month', first AT TIME ZONE 'UTC');
BEGIN
    WHILE month <= last AT TIME ZONE 'UTC' LOOP
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS %I PARTITION OF event FOR VALUES FROM (%L) TO (%L)', 'event_' || to_char(month, 'YYYY_MM'),
            month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
        month := month + interval '1 month';
    END LOOP;
END
$$;

-- What those read who look at the website's use.
CREATE VIEW readable_event AS SELECT occurred_at, kind, page, country, device FROM event WHERE NOT restricted;

GRANT SELECT, INSERT, UPDATE, DELETE ON event TO analytics_privacy;

-- To whom a newsletter is sent, each by their consent.
CREATE TABLE subscription (
    subscription_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id      text        NOT NULL,
    email           text        NOT NULL,
    topic           text        NOT NULL,
    subscribed_at   timestamptz NOT NULL,
    last_activity   timestamptz NOT NULL,           -- the last click, login, purchase or reply; an opening by a mail proxy is none
    sent            boolean     NOT NULL DEFAULT true,
    restricted      boolean     NOT NULL DEFAULT false  -- as above: nothing is sent meanwhile
);

CREATE INDEX subscription_account ON subscription (account_id);
CREATE INDEX subscription_email ON subscription (lower(email));

-- To whom the next issue goes.
CREATE VIEW mailing AS SELECT topic, email FROM subscription WHERE sent AND NOT restricted;

GRANT SELECT, INSERT, UPDATE, DELETE ON subscription TO analytics_privacy;

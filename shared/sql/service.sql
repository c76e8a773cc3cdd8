-- Every service has an inbox (what it has consumed) and an outbox (what it has yet to publish), in its own schema.
CREATE TABLE inbox (
    event_id uuid PRIMARY KEY,
    consumed_at timestamptz NOT NULL
);
CREATE INDEX inbox_consumed ON inbox USING brin (consumed_at);

CREATE TABLE outbox (
    position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic       text  NOT NULL,
    key         bytea NOT NULL,
    value       bytea NOT NULL,
    headers     bytea NOT NULL               -- JSON object of header names and values
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- What a service set aside of each topic within a day, and since when it leaves the topic alone because that was too much.
CREATE TABLE consumed_topic (
    topic        text PRIMARY KEY,
    since        timestamptz NOT NULL,       -- of the first dead letter of this day
    dead_letters integer     NOT NULL,
    paused_at    timestamptz
);

-- Whose turn it is, where one process does something for all. The token only grows: what a process still writes under an
-- older one, having slept past its time, is refused.
CREATE TABLE lease (
    name       text PRIMARY KEY,
    token      bigint      NOT NULL,
    held_until timestamptz NOT NULL          -- by the clock of the server
) WITH (fillfactor = 10);

-- What the broker refuses for good, and what waits behind it: the order within a topic and key is kept.
CREATE TABLE parked (
    position  bigint PRIMARY KEY,            -- its place in the outbox, which it gets back when it is sent again
    topic     text        NOT NULL,
    key       bytea       NOT NULL,
    value     bytea       NOT NULL,
    headers   bytea       NOT NULL,
    reason    text        NOT NULL,          -- the broker's error, or 'behind' another one
    parked_at timestamptz NOT NULL
);

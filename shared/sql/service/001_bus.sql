-- Every service has an inbox (what it has heard) and an outbox (what it has yet to say), in its own schema.
CREATE TABLE inbox (
    event_id uuid PRIMARY KEY,
    heard_at timestamptz NOT NULL
);
CREATE INDEX inbox_heard ON inbox USING brin (heard_at);

CREATE TABLE outbox (
    position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic       text  NOT NULL,
    key         bytea NOT NULL,
    value       bytea NOT NULL,
    headers     bytea NOT NULL          -- JSON object of header names and values
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

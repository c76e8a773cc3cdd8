-- Whose turn it is, where one process does something for all. The token only grows: what a process still writes under an
-- older one, having slept past its time, is refused.
CREATE TABLE lease (
    name       text PRIMARY KEY,
    token      bigint      NOT NULL,
    held_until timestamptz NOT NULL     -- by the clock of the server
) WITH (fillfactor = 10);

-- What the broker refuses for good, and what waits behind it: the order within a topic and key is kept.
CREATE TABLE parked (
    position  bigint PRIMARY KEY,       -- its place in the outbox, which it gets back when it is sent again
    topic     text        NOT NULL,
    key       bytea       NOT NULL,
    value     bytea       NOT NULL,
    headers   bytea       NOT NULL,
    reason    text        NOT NULL,     -- the broker's error, or 'behind' another one
    parked_at timestamptz NOT NULL
);

-- The downstream systems that this platform knows: which are worked, and by which definition. Nothing here names anybody.
CREATE SCHEMA downstreams;

CREATE TABLE downstreams.system (
    name      text PRIMARY KEY,
    state     text        NOT NULL CHECK (state IN ('observe', 'on', 'quarantined', 'retired')),
    hash      text        NOT NULL,                     -- of its table and its dataset, as they were accepted
    reason    text,                                     -- why it is quarantined, in a word
    since     timestamptz NOT NULL DEFAULT now(),       -- of the state
    announced boolean     NOT NULL DEFAULT true         -- the privacy team has the list of what it found before
) WITH (fillfactor = 50);

-- What a system that only observes has of whom, in counts.
CREATE TABLE downstreams.finding (
    system     text        NOT NULL,
    request_id uuid        NOT NULL,
    outcome    text        NOT NULL,
    found      bigint      NOT NULL,
    found_at   timestamptz NOT NULL,
    PRIMARY KEY (system, request_id)
);

-- Personal data at rest: sealed under one key per subject, so destroying the key makes all of it unreadable.
CREATE SCHEMA vault;

CREATE TABLE vault.subject (
    subject_ref uuid PRIMARY KEY,
    kek_id      text        NOT NULL,
    wrapped_key bytea,                  -- null once shredded
    statement   bytea,                  -- what the requester said of themselves, sealed
    created_at  timestamptz NOT NULL,
    shredded_at timestamptz
) WITH (fillfactor = 80);

CREATE TABLE vault.sealed (
    sealed_id   uuid PRIMARY KEY,
    subject_ref uuid        NOT NULL,
    kind        text        NOT NULL,
    source      text        NOT NULL,
    content     bytea       NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE INDEX sealed_subject ON vault.sealed (subject_ref, kind);

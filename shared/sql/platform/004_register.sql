-- Whose a number was, and when (REQ-N1). Numbers and holders are keyed hashes: who is looked for can be compared, and
-- nobody can be read off. It stays when the customer's record goes, since later holders need it.
CREATE SCHEMA register;

CREATE TABLE register.source (
    source    text PRIMARY KEY,
    namespace text        NOT NULL,     -- the system whose accounts are the holders
    filled_at timestamptz NOT NULL,         -- when the last reading that was taken over began
    changed_at timestamptz,                 -- when a change could be seen by everybody, the last one
    unannounced boolean NOT NULL DEFAULT false -- there is one since of which that is not said yet
);

-- The last attempt of the platform itself to read each source, and why nothing was taken over if so.
CREATE TABLE register.reading (
    source    text PRIMARY KEY,
    tried_at  timestamptz NOT NULL,
    failure   text
);

CREATE TABLE register.assignment (
    identity   bytea       NOT NULL,    -- of a number, or of a SIP user or extension with its domain
    holder     bytea       NOT NULL,    -- of the account and the system that gave it
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz,             -- exclusive; null while it is theirs
    line       text        NOT NULL,    -- personal or shared
    source     text        NOT NULL REFERENCES register.source,
    learned_at timestamptz NOT NULL,
    PRIMARY KEY (identity, holder, valid_from, source),
    CHECK (valid_from < valid_to)
);

-- Where a system says of a number what the register does not. One row for each such statement, however often it comes.
CREATE TABLE register.conflict (
    conflict_id uuid PRIMARY KEY,
    identity    bytea       NOT NULL,
    system      text        NOT NULL,
    valid_from  timestamptz NOT NULL,   -- as the system says it
    valid_to    timestamptz,
    kind        text        NOT NULL,   -- what the register says instead: another_holder or not_in_register
    request_id  uuid        NOT NULL,   -- the last request that has met it
    noticed_at  timestamptz NOT NULL,
    settled_at  timestamptz,            -- when a person decided that the register is right
    settled_by  text
);
CREATE UNIQUE INDEX ON register.conflict (identity, system, valid_from, coalesce(valid_to, 'infinity'::timestamptz));

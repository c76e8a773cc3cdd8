-- Personal data at rest: sealed under a key for each record, two of a request; destroying the key makes it unreadable.
CREATE SCHEMA vault;

CREATE TABLE vault.subject (
    subject_ref uuid PRIMARY KEY,
    kek_id      text        NOT NULL,
    wrapped_key bytea,                       -- null once shredded
    statement   bytea,                       -- what the requester said of themselves, sealed
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

-- What was done, in order, each entry holding the hash of the one before; nothing here is ever changed.
CREATE SCHEMA evidence;

CREATE TABLE evidence.head (
    chain text PRIMARY KEY,
    seq   bigint NOT NULL,
    hash  bytea  NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE evidence.entry (
    chain      text        NOT NULL,
    seq        bigint      NOT NULL,
    at         timestamptz NOT NULL,
    request_id uuid        NOT NULL,
    actor      text        NOT NULL,
    action     text        NOT NULL,
    detail     text        NOT NULL,         -- canonical JSON, kept as written so that the hash can be recomputed
    prev_hash  bytea       NOT NULL,
    hash       bytea       NOT NULL,
    PRIMARY KEY (chain, seq)
);
CREATE INDEX entry_request ON evidence.entry (request_id);

-- Entries that one transaction has added: the signature covers the root of a Merkle tree over their hashes.
CREATE TABLE evidence.batch (
    chain     text   NOT NULL,
    last_seq  bigint NOT NULL,
    signature bytea  NOT NULL,
    PRIMARY KEY (chain, last_seq)
);

CREATE FUNCTION evidence.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'evidence is append-only';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON evidence.entry
    FOR EACH STATEMENT EXECUTE FUNCTION evidence.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON evidence.batch
    FOR EACH STATEMENT EXECUTE FUNCTION evidence.refuse_change();

-- The downstream systems that this platform knows: which are worked, and by which definition. Nothing here names anybody.
CREATE SCHEMA downstreams;

CREATE TABLE downstreams.system (
    name      text PRIMARY KEY,
    state     text        NOT NULL CHECK (state IN ('observe', 'on', 'quarantined', 'retired')),
    hash      text        NOT NULL,          -- of its table and its dataset, as they were accepted
    reason    text,                          -- why it is quarantined, in a word
    since     timestamptz NOT NULL DEFAULT now(),  -- of the state
    announced boolean     NOT NULL DEFAULT true   -- the privacy team has the list of what it found before
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

-- Whose a number was, and when (REQ-N1). Numbers and holders are keyed hashes: who is looked for can be compared, and
-- no person can be read off. It stays when the customer's record goes, since later holders need it.
CREATE SCHEMA register;

CREATE TABLE register.source (
    source    text PRIMARY KEY,
    namespace text        NOT NULL,          -- the system whose accounts are the holders
    filled_at timestamptz NOT NULL,          -- when the last reading that was taken over began
    changed_at timestamptz,                  -- when a change could be seen by everybody, the last one
    unannounced boolean NOT NULL DEFAULT false  -- there is one since of which that is not said yet
);

-- The last attempt of the platform itself to read each source, and why nothing was taken over if so.
CREATE TABLE register.reading (
    source    text PRIMARY KEY,
    tried_at  timestamptz NOT NULL,
    failure   text
);

CREATE TABLE register.assignment (
    identity   bytea       NOT NULL,         -- of a number, or of a SIP user or extension with its domain
    holder     bytea       NOT NULL,         -- of the account and the system that gave it
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz,                  -- exclusive; null while it is theirs
    line       text        NOT NULL,         -- personal or shared
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
    valid_from  timestamptz NOT NULL,        -- as the system says it
    valid_to    timestamptz,
    kind        text        NOT NULL,        -- what the register says instead: another_holder or not_in_register
    request_id  uuid        NOT NULL,        -- the last request that has met it
    noticed_at  timestamptz NOT NULL,
    settled_at  timestamptz,                 -- when a person decided that the register is right
    settled_by  text
);
CREATE UNIQUE INDEX ON register.conflict (identity, system, valid_from, coalesce(valid_to, 'infinity'::timestamptz));

-- Requests of which an erasure of the same person must know before it goes on: copies that are awaited, and restrictions
-- that oppose it. An erasure that has begun is entered by all that was located; once it is over it tells whose earlier
-- requests have left something. Who asks is known by keyed hashes alone.
CREATE TABLE vault.open_request (
    request_id uuid  NOT NULL,
    kind       text  NOT NULL CHECK (kind IN ('copy', 'restriction', 'erasure', 'erased')),
    type       text  NOT NULL,               -- of the identity that is hashed
    mark       bytea NOT NULL,
    -- An erasure that has begun and of which nothing is at work: what it has left waits for proof, an answer or a person.
    -- Before it goes on, it asks again what comes first.
    stopped    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (request_id, mark)
) WITH (fillfactor = 50);  -- the end of an erasure touches no index where its page has room
CREATE INDEX open_request_mark ON vault.open_request (mark);

-- Data of a person that are not erased while a case needs them (Art. 17(3)(e), REQ-R9). Whom it is about is known by keyed hashes
-- alone, which go with the hold.
CREATE TABLE vault.legal_hold (
    hold_id     uuid PRIMARY KEY,
    case_number text        NOT NULL,
    owner       text        NOT NULL,        -- who answers for it: a reference to an account, no name
    reason      text        NOT NULL,        -- of the policy
    categories  text[]      NOT NULL,        -- of the policy; empty: all
    placed_at   timestamptz NOT NULL,
    review_on   date        NOT NULL,
    lifted_at   timestamptz,
    lifted_by   text[]      NOT NULL DEFAULT '{}'
);
CREATE INDEX legal_hold_review ON vault.legal_hold (review_on) WHERE lifted_at IS NULL;

CREATE TABLE vault.hold_mark (
    hold_id uuid  NOT NULL,
    type    text  NOT NULL,                  -- of the identity that is hashed
    mark    bytea NOT NULL,
    PRIMARY KEY (hold_id, mark)
);
CREATE INDEX hold_mark_mark ON vault.hold_mark (mark);

-- What an erasure left in a system because of which holds, until one of those is lifted and it is asked again.
CREATE TABLE vault.hold_kept (
    task_id    uuid NOT NULL,
    hold_id    uuid NOT NULL,
    request_id uuid NOT NULL,
    system     text NOT NULL,
    PRIMARY KEY (task_id, hold_id)
);
CREATE INDEX hold_kept_hold ON vault.hold_kept (hold_id);

-- Contact points that get no marketing (Art. 21(3)): of an objection, and of an erasure where the policy says so. Keyed hashes: an
-- import, a mailing or a dialler can ask for one, and no person can be read off. One row for each request that has named it.
CREATE TABLE register.suppression (
    fingerprint bytea       NOT NULL,        -- of the contact point
    request_id  uuid        NOT NULL,
    "right"     text        NOT NULL,
    channel     text        NOT NULL,        -- email or phone
    since       timestamptz NOT NULL,
    looked_at   timestamptz NOT NULL,        -- when the systems were last compared with what the request is known by
    PRIMARY KEY (fingerprint, request_id)
);
CREATE INDEX suppression_request ON register.suppression (request_id);
CREATE INDEX suppression_looked_at ON register.suppression (looked_at);

-- Who was found in a system to be wanted for marketing again: by what, lies sealed until it is stopped, or until the next look.
CREATE TABLE vault.returned (
    subject_ref uuid PRIMARY KEY,
    request_id  uuid NOT NULL,               -- whose entry of the list it is
    system      text NOT NULL
);

-- Large pieces are sealed chunk by chunk, each bound to its piece and its place; they go with the piece.
CREATE TABLE vault.chunk (
    sealed_id uuid    NOT NULL REFERENCES vault.sealed ON DELETE CASCADE,
    position  integer NOT NULL,              -- from 0
    content   bytea   NOT NULL,
    PRIMARY KEY (sealed_id, position)
);

-- The nightly sweep: what is past a ceiling of the policy goes from every table that says how old its rows are. A row for each table and
-- ceiling, as the last night left it. Nothing here names anybody.
CREATE TABLE downstreams.sweep (
    system       text   NOT NULL,
    table_name   text   NOT NULL,
    ceiling      text   NOT NULL,            -- its name in the policy
    category     text   NOT NULL,            -- as the system calls it
    sweep_id     uuid   NOT NULL UNIQUE,     -- of what it stands for: two people confirm that and nothing else
    action       text   NOT NULL CHECK (action IN ('delete', 'anonymise')),
    state        text   NOT NULL CHECK (state IN ('unsigned', 'no_country', 'dry_run', 'stopped', 'sweeping', 'swept', 'failed')),
    night        date   NOT NULL,            -- the local day on which this was found
    period       text   NOT NULL,            -- with zone and anchor: what the ceiling said
    zone         text   NOT NULL,
    anchor       text   NOT NULL,
    counted_on   date,                       -- the night on which these terms ran dry; none: they have not
    first_kept   date   NOT NULL,            -- the first local day whose rows stay
    due          bigint NOT NULL DEFAULT 0,
    of_rows      bigint NOT NULL DEFAULT 0,
    gone         bigint NOT NULL DEFAULT 0,
    spared       bigint NOT NULL DEFAULT 0,
    missed       bigint NOT NULL DEFAULT 0,  -- past the ceiling for more than a day, still there, and not spared
    reason       text,                       -- why it failed: a code
    policy       text   NOT NULL,            -- its version
    confirmed_by text[]      NOT NULL DEFAULT '{}',
    -- Rows past a maximum of one country's law that may not be under that law: they stay until the ceiling for everybody.
    undetermined bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (system, table_name, ceiling)
);

-- The purposes for which the holder of a contact point or an account has withdrawn consent (Art. 7(3)): a category that is kept by two consents
-- ends with the second of them, whenever that is withdrawn. Keyed hashes.
CREATE TABLE register.consent_withdrawn (
    fingerprint bytea       NOT NULL,        -- of what they are known by
    purpose     text        NOT NULL,
    since       timestamptz NOT NULL,
    PRIMARY KEY (fingerprint, purpose)
);

-- A request and where it stands; who it is about is in the vault only.
CREATE TABLE request (
    request_id     uuid PRIMARY KEY,         -- a UUIDv7: in the order of acceptance
    subject_ref    uuid        NOT NULL,
    "right"        text        NOT NULL,
    scope          text,
    channel        text        NOT NULL,
    key_id         text        NOT NULL,     -- the API key that submitted it
    accepted_at    timestamptz NOT NULL,
    version        bigint      NOT NULL DEFAULT 1,      -- one more with each change: its entity tag
    state          text        NOT NULL,
    received_at    timestamptz NOT NULL,     -- with the zones of controller and subject: its arrival
    zones          text        NOT NULL DEFAULT '',     -- separated by commas
    calendar       text        NOT NULL DEFAULT '',
    role           text        NOT NULL DEFAULT 'controller', -- what we are for the data
    due_on         date        NOT NULL,
    calc_version   text        NOT NULL DEFAULT '',     -- rules, policy and holidays that it was computed with
    outcome        text,
    responded_at   timestamptz,
    closed_at      timestamptz,
    package_id     uuid,
    downloads      integer     NOT NULL DEFAULT 0,      -- how often the package was handed out
    downloaded     uuid,                     -- which one that was: a later one is counted anew
    lifted_at      timestamptz,              -- of a restriction: when every system had lifted it
    package_checked_at timestamptz,          -- when its rows were last checked, since it was made
    package_fault  text,                     -- why it is withheld since then
    tasks          jsonb,                    -- what the downstreams reported, in counts
    warning        text,                     -- the latest milestone of its deadline, if one has come
    extended       boolean     NOT NULL DEFAULT false,
    finished       text,                     -- outcome of the work that ended while a question was open
    decided        text,                     -- how two persons have decided to answer it, once it is known what is done
    owed           boolean     NOT NULL DEFAULT false,  -- what was missing then is still to be done
    question_id    uuid,                     -- the question that is, or stayed, open, and when it was sent
    asked_at       timestamptz,
    last_notice_at timestamptz,              -- when the subject was told that we go on without its answer (REQ-T9)
    held           text,                     -- by a brake: before it may begin, or retry
    resumable      boolean     NOT NULL DEFAULT false,  -- closed, and a late answer reopens it
    resumed        boolean     NOT NULL DEFAULT false,  -- a late answer has: its due date follows from that
    asks           bytea,                    -- keyed digest of all that it asks for
    proved_account bytea,                    -- keyed fingerprints of what is proved of who asks
    proved_email   bytea,
    postponed      boolean     NOT NULL DEFAULT false,  -- it waits for other requests of the same person
    at_once        boolean     NOT NULL DEFAULT false,  -- it must not wait for copies: the person, or one of ours, said so
    insisted       boolean     NOT NULL DEFAULT false,  -- it waits for nothing: one of ours has decided so
    begun          boolean     NOT NULL DEFAULT false,  -- its work had begun when it was found that it must wait
    duplicate_of   uuid                      -- the request with which it is answered
) WITH (fillfactor = 70);
CREATE INDEX request_open ON request (due_on, request_id) WHERE state <> 'closed';
CREATE INDEX request_closed ON request (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX request_package ON request (responded_at) WHERE package_id IS NOT NULL;
CREATE INDEX request_waiting ON request (state, "right")
    WHERE state IN ('awaiting_identity', 'awaiting_clarification', 'awaiting_decision');
CREATE INDEX request_repeated ON request (asks)
    WHERE state <> 'closed' AND (proved_account IS NOT NULL OR proved_email IS NOT NULL);
CREATE INDEX request_postponed ON request (request_id) WHERE postponed AND state <> 'closed';

-- For which other requests of the same person a request waits.
CREATE TABLE awaits (
    request_id uuid NOT NULL,
    other      uuid NOT NULL,
    PRIMARY KEY (request_id, other)
);

CREATE INDEX request_held ON request (key_id) WHERE held IS NOT NULL;

-- What a person or a channel decided about a request, and what was answered: a repeat gets that again.
CREATE TABLE decision (
    request_id  uuid   NOT NULL,
    version     bigint NOT NULL,             -- of the request that it was made for
    fingerprint bytea  NOT NULL,             -- keyed: of what was decided, and by which API key
    state       text   NOT NULL,
    due_on      date   NOT NULL,
    PRIMARY KEY (request_id, version)
);

-- What one person proposes that the weighing of an objection finds (Art. 21(1)), until another agrees.
CREATE TABLE balancing (
    request_id  uuid PRIMARY KEY,
    finding     text        NOT NULL,
    explanation uuid        NOT NULL,        -- in the vault: words of a person about a person
    proposed_by text        NOT NULL,
    proposed_at timestamptz NOT NULL
);

CREATE TABLE extension (
    request_id  uuid PRIMARY KEY,            -- once: a further extension is none (REQ-T5)
    reason      text        NOT NULL,
    explanation uuid        NOT NULL,        -- in the vault: words of a person about a person
    new_due     date        NOT NULL,
    proposed_by text        NOT NULL,
    approved_by text,
    approved_at timestamptz
);
CREATE INDEX extension_approved ON extension (approved_at) WHERE approved_at IS NOT NULL;

-- How one person proposes to answer a request, until another approves; kept, since the letter follows later.
CREATE TABLE proposal (
    request_id  uuid PRIMARY KEY,
    decision    text        NOT NULL,
    reason      text        NOT NULL,
    article     text        NOT NULL,
    explanation uuid        NOT NULL,        -- in the vault: words of a person about a person
    proposed_by text        NOT NULL,
    proposed_at timestamptz NOT NULL
);


-- Something was handed out that is, as is known by now, not shown to be the subject's (Art. 33).
CREATE TABLE breach (
    breach_id   uuid PRIMARY KEY,
    request_id  uuid        NOT NULL,
    package_id  uuid        NOT NULL UNIQUE,
    fault       text        NOT NULL,
    downloads   integer     NOT NULL,
    found_at    timestamptz NOT NULL,
    notify_by   timestamptz NOT NULL,        -- the authority is to be told by then, unless there is no risk
    owner       text,                        -- who sees to it: nobody who has handled the request
    decision    text,
    explanation uuid,                        -- in the vault
    closed_at   timestamptz
);
CREATE INDEX breach_open ON breach (notify_by) WHERE closed_at IS NULL;

CREATE TABLE letter (
    letter_id  uuid PRIMARY KEY,             -- its text is in the vault under this id
    request_id uuid        NOT NULL,
    kind       text        NOT NULL,
    written_at timestamptz NOT NULL
);
CREATE INDEX letter_request ON letter (request_id);

CREATE TABLE idempotency (
    channel         text        NOT NULL,    -- of the API key that it came with
    idempotency_key bytea       NOT NULL,    -- keyed: HMAC-SHA256, as of the body
    body_hash       bytea       NOT NULL,
    request_ids     bytea       NOT NULL,    -- 16 bytes each
    accepted_at     timestamptz NOT NULL,
    PRIMARY KEY (channel, idempotency_key)
);
CREATE INDEX idempotency_accepted ON idempotency (accepted_at);

CREATE TABLE api_key (
    key_id     text PRIMARY KEY,
    hash       bytea       NOT NULL,         -- SHA-256 of a 256-bit random secret
    role       text        NOT NULL,
    channel    text        NOT NULL,         -- what its keys have in common: they see each other's requests
    holder     text        NOT NULL,         -- who has it: a reference to an account, no name
    max_level  text        NOT NULL DEFAULT 'L0',     -- the highest level of assurance that it may state
    rights     text[]      NOT NULL,         -- that it may ask for
    powers     text[]      NOT NULL,         -- submit, fetch, check
    per_minute integer,                      -- requests that it may submit
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);

-- Erasures that each key has asked for, by the minute, for an hour.
CREATE TABLE erasures_asked (
    key_id   text        NOT NULL,
    minute   timestamptz NOT NULL,
    erasures integer     NOT NULL,
    PRIMARY KEY (key_id, minute)
) WITH (fillfactor = 70);

-- A key that has asked for more than the policy allows: nothing is erased for it until two persons have released it.
CREATE TABLE brake (
    key_id      text        NOT NULL,
    tripped_at  timestamptz NOT NULL,
    released_by text[]      NOT NULL DEFAULT '{}',      -- holders of two keys, who are two persons
    released_at timestamptz,
    PRIMARY KEY (key_id, tripped_at)
);
CREATE UNIQUE INDEX brake_on ON brake (key_id) WHERE released_at IS NULL;

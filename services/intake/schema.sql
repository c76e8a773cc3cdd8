-- The systems that have reported on a request. An index of this expression has statistics: they tell a rare system from a common one.
CREATE FUNCTION request_systems(tasks jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT array_agg(DISTINCT task ->> 'system') FROM jsonb_array_elements(tasks) AS task
$$;

-- A request and its state. Personal data about its subject is in the vault only. Queries read the columns; the other facts of a request,
-- of which most have few, are in one column (`repository`).
CREATE TABLE request (
    request_id     uuid PRIMARY KEY,         -- a UUIDv7: sorts by the time of acceptance
    subject_ref    uuid        NOT NULL,
    "right"        text        NOT NULL,
    scope          text,
    channel        text        NOT NULL,
    key_id         text        NOT NULL,     -- the API key that submitted it
    tenant         text,                     -- the customer whose instruction it is
    case_id        uuid,                     -- the first request of the message that asked for several rights
    accepted_at    timestamptz NOT NULL,
    version        bigint      NOT NULL DEFAULT 1,  -- rises with each change: the entity tag
    state          text        NOT NULL,
    received_at    timestamptz NOT NULL,
    role           text        NOT NULL DEFAULT 'controller',  -- our role for these data
    due_on         date        NOT NULL,
    outcome        text,
    responded_at   timestamptz,              -- when the answer reached the subject
    closed_at      timestamptz,
    owed           boolean     NOT NULL DEFAULT false,  -- a part was still to be done at the answer
    tasks          jsonb,                    -- reports of the systems, in counts
    facts          jsonb       NOT NULL DEFAULT '{}',  -- all other fields of the request that differ from their default
    open           boolean     NOT NULL DEFAULT true,  -- not closed; or the answer has not arrived, or a part is owed
    waits          text,                     -- what it waits for (`Waits`): person, proof, reply, others, key
    register_seen_at timestamptz             -- the change of the number register for which it was last looked at
) WITH (fillfactor = 70);
CREATE INDEX request_open ON request (due_on, request_id) WHERE open;
CREATE INDEX request_waits ON request (waits, due_on, request_id) WHERE waits IS NOT NULL;
CREATE INDEX request_closed ON request (closed_at, request_id) WHERE closed_at IS NOT NULL;
CREATE INDEX request_owed ON request (request_id) WHERE state = 'closed' AND owed;
-- A channel lists its own requests in the order of acceptance.
CREATE INDEX request_of_key ON request (key_id, accepted_at, request_id);
CREATE INDEX request_accepted ON request (accepted_at, request_id);
CREATE INDEX request_case ON request (case_id) WHERE case_id IS NOT NULL;
-- Figures of recent answers.
CREATE INDEX request_responded ON request (responded_at) WHERE responded_at IS NOT NULL;
CREATE INDEX request_systems ON request USING gin (request_systems(tasks)) WHERE open AND tasks IS NOT NULL;

-- The latest package of copies of a request, which is in the vault until it is gone.
CREATE TABLE package (
    request_id uuid PRIMARY KEY REFERENCES request ON DELETE CASCADE,
    package_id uuid        NOT NULL,
    downloads  integer     NOT NULL DEFAULT 0,
    fault      text,                         -- why it is withheld
    checked_at timestamptz,
    checked_as bytea,                        -- version of the facts by which it fits: the next check may reuse the result
    gone       boolean     NOT NULL DEFAULT false  -- removed: fetched as often as allowed, or its days are over
);
CREATE INDEX package_kept ON package (request_id) WHERE NOT gone;

-- How a request is found: by its reference, and by keyed hashes of the identities that its requester states. Stated identities go with
-- the subject's key; proved ones, and those of a withdrawal of consent (its proof), stay with the request.
-- Without a foreign key, which PostgreSQL would plan for each row; `expiry` deletes the rows with their request.
CREATE TABLE request_lookup (
    request_id uuid    NOT NULL,
    kind       text    NOT NULL,             -- reference, or the type of the identity
    hash       bytea   NOT NULL,
    proved     boolean NOT NULL DEFAULT false,  -- an account or e-mail address that is proved: it tells whose request it is
    PRIMARY KEY (request_id, hash)
);
CREATE INDEX request_lookup_hash ON request_lookup (hash);

-- For which other requests of the same person a request waits.
CREATE TABLE awaits (
    request_id uuid NOT NULL REFERENCES request ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    other      uuid NOT NULL REFERENCES request ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (request_id, other)
);

-- What one person has proposed, until a second one approves or rejects it. Its words are in the vault.
CREATE TABLE approval (
    approval_id uuid PRIMARY KEY,
    kind        text        NOT NULL,        -- of what it is about: requests, holds, …
    subject     text        NOT NULL,        -- its id
    request_id  uuid REFERENCES request ON DELETE CASCADE,
    action      text        NOT NULL,
    target      text        NOT NULL,        -- tells several open proposals of an action apart
    about       text        NOT NULL,        -- it is void once this is another
    shown       jsonb       NOT NULL,        -- fields of the proposal that identify no person
    body        uuid,                        -- where it is sealed; null: shown is all of it
    proposed_by text        NOT NULL,        -- holders, who are two people
    proposed_at timestamptz NOT NULL,
    decided_by  text,
    decided_at  timestamptz,
    state       text        NOT NULL         -- proposed, approved, rejected, replaced
);
CREATE UNIQUE INDEX approval_open ON approval (kind, subject, action, target) WHERE state = 'proposed';
CREATE INDEX approval_request ON approval (request_id);
CREATE INDEX approval_releases ON approval (about) WHERE action = 'release-package';

-- An extension that two people have agreed on; once: a further extension is none (REQ-T5).
CREATE TABLE extension (
    request_id  uuid PRIMARY KEY REFERENCES request ON DELETE CASCADE,
    reason      text        NOT NULL,
    approved_at timestamptz NOT NULL,
    -- When the subject was notified: by e-mail or post, once the letter was accepted or posted, and not while it has come back.
    notified_at timestamptz
);
CREATE INDEX extension_approved ON extension (approved_at);

-- A data breach (Art. 33): a package that is not shown to be the subject's was handed out, or one was found elsewhere.
-- What people state of it is in the vault, entry by entry, under a key that has the id of the incident.
CREATE TABLE incident (
    incident_id uuid PRIMARY KEY,
    request_id  uuid REFERENCES request ON DELETE SET NULL,  -- null: no request has to do with it
    package_id  uuid UNIQUE,
    fault       text,
    downloads   integer     NOT NULL,
    opened_at   timestamptz NOT NULL,        -- when it came on record
    found_at    timestamptz NOT NULL,        -- when we became aware of it
    owner       text,                        -- who has stated the facts, and has not handled the request
    categories  text[],                      -- of the policy
    people      integer,                     -- approximately
    notified_at     timestamptz,                 -- when the authority was notified first
    closed_at   timestamptz
);
CREATE INDEX incident_open ON incident (found_at) WHERE closed_at IS NULL;
CREATE INDEX incident_request ON incident (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX incident_closed ON incident (closed_at) WHERE closed_at IS NOT NULL;

CREATE TABLE incident_letter (
    incident_id uuid NOT NULL REFERENCES incident ON DELETE CASCADE,
    request_id  uuid NOT NULL REFERENCES request ON DELETE CASCADE,
    letter_id   uuid NOT NULL,
    PRIMARY KEY (incident_id, request_id)
);

-- Other requests of the same person: by the proved account or, where one of them has none, by the proved e-mail address.
-- An instruction of a customer proves nothing, so it has no row here.
CREATE VIEW same_person AS
SELECT m.request_id, o.request_id AS other, m.hash AS mark
FROM request_lookup m JOIN request_lookup o ON o.hash = m.hash AND o.proved AND o.request_id <> m.request_id
WHERE m.proved AND (m.kind = 'account_id'
    OR NOT EXISTS (SELECT FROM request_lookup a WHERE a.request_id = m.request_id AND a.proved AND a.kind = 'account_id')
    OR NOT EXISTS (SELECT FROM request_lookup a WHERE a.request_id = o.request_id AND a.proved AND a.kind = 'account_id'));

-- The letters of requests, which are in the vault under these ids.
CREATE VIEW letter AS
SELECT sealed_id AS letter_id, subject_ref AS request_id, source AS kind, created_at AS written_at
FROM vault.sealed WHERE kind = 'letter' AND source <> 'recipient_notice';

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
    max_level  text        NOT NULL DEFAULT 'L0',  -- the highest level of assurance that it may state
    rights     text[]      NOT NULL,         -- that it may ask for
    powers     text[]      NOT NULL,         -- submit, fetch, check
    per_minute integer,                      -- requests that it may submit
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    -- A customer's key speaks for that customer's data alone; what it asks for is an instruction with an id of the customer's.
    tenant     text
);

-- Erasures that each key has asked for, by the minute, for an hour.
CREATE TABLE erasures_asked (
    key_id   text        NOT NULL,
    minute   timestamptz NOT NULL,
    erasures integer     NOT NULL,
    PRIMARY KEY (key_id, minute)
) WITH (fillfactor = 70);

-- An API key that asked for more erasures in an hour than the policy allows, until the privacy team releases it.
CREATE TABLE suspended_key (
    key_id       text PRIMARY KEY,
    suspended_at timestamptz NOT NULL
);

-- Identities that were posted before the event which names them by this token; they are in the vault only.
CREATE TABLE subject_token (
    token       uuid PRIMARY KEY,            -- the id of the request that its event asks for
    subject_ref uuid        NOT NULL,        -- in the vault
    key_id      text        NOT NULL,        -- the API key that posted it
    stated_at   timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz                  -- when its event was handled: it is good for one
);
CREATE INDEX subject_token_expires ON subject_token (expires_at);

-- When an account was closed: from then on the retention of its records is counted.
CREATE TABLE closed_account (
    account    bytea PRIMARY KEY,            -- keyed fingerprint
    closed_at  timestamptz NOT NULL,
    emitter    text        NOT NULL,
    learned_at timestamptz NOT NULL
);
CREATE INDEX closed_account_learned ON closed_account (learned_at);

-- Links to packages: what breaks off is fetched again by its link, and counted once.
CREATE TABLE download (
    download_id uuid PRIMARY KEY,
    package_id  uuid        NOT NULL,
    request_id  uuid        NOT NULL REFERENCES request ON DELETE CASCADE,
    holder      text        NOT NULL,        -- of the key that fetches it
    what        text        NOT NULL,        -- package, report, inspection
    began_at    timestamptz NOT NULL
);
CREATE INDEX download_request ON download (request_id);
CREATE INDEX download_package ON download (package_id);

-- What an erasure would do, as the systems said when they were asked last (a dry run): reports in counts, as in tasks.
CREATE TABLE plan (
    request_id uuid PRIMARY KEY REFERENCES request ON DELETE CASCADE,
    plan_id    uuid        NOT NULL,
    asked_at   timestamptz NOT NULL,
    made_at    timestamptz,                  -- null until every system has been asked
    tasks      jsonb,
    -- By which version of the policy a plan was asked for: under another one the systems are asked again.
    policy_version text
);

-- The digest to a recipient on a day (Art. 19): its text is in the vault under this id, and under a key of that id.
CREATE TABLE recipient_digest (
    digest_id   uuid PRIMARY KEY,            -- of its letter, where it goes by e-mail
    recipient   text        NOT NULL,        -- as the policy names it
    written_on  date        NOT NULL,        -- where the controller is
    written_at  timestamptz NOT NULL,
    sha256      text,                        -- of its text (HTML, UTF-8), in hex, once delivered
    notified_at timestamptz,                 -- accepted by the next server, or posted
    reminded_by uuid,                        -- a later digest, which reminds of it
    UNIQUE (recipient, written_on)
);

-- Which of the policy's recipients a request concerns (Art. 19): a row each, followed until they have said something.
CREATE TABLE recipient_notice (
    request_id   uuid        NOT NULL,       -- without a foreign key, as above
    recipient    text        NOT NULL,
    what         text        NOT NULL,       -- corrected, stated, erased, restricted, lifted, stopped
    categories   text[]      NOT NULL,       -- of the policy
    extent       jsonb       NOT NULL DEFAULT '{}',  -- how much of each category; null: only that it is concerned
    state        text        NOT NULL,       -- underway, notified, acknowledged, done, impossible
    concerned_at timestamptz NOT NULL,
    digest_id    uuid REFERENCES recipient_digest ON DELETE SET NULL,  -- null: the next one tells of it
    notified_at  timestamptz,                -- when they were notified last
    settled_at   timestamptz,
    PRIMARY KEY (request_id, recipient)
);
CREATE INDEX recipient_notice_open ON recipient_notice (digest_id, recipient, request_id) WHERE settled_at IS NULL;
CREATE INDEX recipient_notice_digest ON recipient_notice (digest_id) WHERE digest_id IS NOT NULL;

-- How a letter that is not fetched is delivered: by e-mail, or on paper. A letter that is not here is read where it was asked for.
CREATE TABLE delivery (
    letter_id   uuid PRIMARY KEY,            -- its words are in the vault, and with them where it goes
    request_id  uuid REFERENCES request ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,  -- null: a digest to a recipient
    kind        text        NOT NULL,
    way         text        NOT NULL CHECK (way IN ('email', 'post')),
    state       text        NOT NULL CHECK (state IN ('waiting', 'sent', 'needs_attention', 'cancelled', 'given_up')),
    fault       text,                        -- why a person must see to it, or why it was tried in vain
    awaited     jsonb,                       -- the decisions that take effect once it is delivered
    address     bytea,                       -- keyed fingerprint of an e-mail address
    written_at  timestamptz NOT NULL,
    written_on  date        NOT NULL,
    sent_at     timestamptz                  -- accepted by the mail server, or the day it was posted
) WITH (fillfactor = 80);
CREATE INDEX delivery_waiting ON delivery (way, written_at) WHERE state = 'waiting';
CREATE INDEX delivery_needs_attention ON delivery (written_at) WHERE state = 'needs_attention';
CREATE INDEX delivery_request ON delivery (request_id, letter_id);
-- An address is sent at most one acknowledgement a day.
CREATE UNIQUE INDEX delivery_acknowledged ON delivery (address, written_on)
    WHERE kind = 'acknowledgement' AND way = 'email' AND state <> 'cancelled';
-- Letters that wait, by where they stand and which way they go: each list of the console goes on from any of them.
CREATE INDEX delivery_open ON delivery (state, way, letter_id) WHERE state IN ('waiting', 'needs_attention');

-- Mail that came to our mailbox: its key, so that it is read once, and what became of it. What it says is in the vault.
CREATE TABLE mail (
    mail_id     uuid PRIMARY KEY,            -- in the vault, under a key of its own, until an officer has decided
    digest      bytea       NOT NULL,        -- keyed: of what two copies of one mail have in common
    received_at timestamptz NOT NULL,        -- when it reached us
    by_mx       boolean     NOT NULL,        -- as our mail exchanger has written; else as the mailbox says
    read_at     timestamptz NOT NULL,
    state       text        NOT NULL CHECK (state IN ('proposed', 'reply', 'confirmed', 'dismissed', 'done')),
    request_id  uuid REFERENCES request ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,  -- which it has become, or answers
    reason      text,                        -- why it is no request
    decided_by  text,
    decided_at  timestamptz
);
CREATE UNIQUE INDEX mail_key ON mail (digest);
CREATE INDEX mail_open ON mail (state, received_at, mail_id) WHERE state IN ('proposed', 'reply');
CREATE INDEX mail_decided ON mail (decided_at) WHERE decided_at IS NOT NULL;
CREATE INDEX mail_request ON mail (request_id) WHERE request_id IS NOT NULL;

-- The account of the identity provider that a holder first signed in with (`iss`, `sub`): no other one is let in as that holder.
CREATE TABLE console_holder (
    holder   text PRIMARY KEY,
    issuer   text        NOT NULL,
    subject  text        NOT NULL,
    bound_at timestamptz NOT NULL,
    UNIQUE (issuer, subject)
);

-- Sessions of portal and console, by the hash of their cookie; what a session holds is sealed under a key that only the cookie yields.
CREATE TABLE web_session (
    session_hash bytea PRIMARY KEY,
    site         text        NOT NULL,       -- portal or console
    principal    text,                       -- who has signed in: a holder of the console, a request of the portal
    sealed       bytea       NOT NULL,
    began_at     timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL
);
CREATE INDEX web_session_expires ON web_session (expires_at);
CREATE INDEX web_session_principal ON web_session (principal) WHERE principal IS NOT NULL;

-- Links and codes that were sent to a contact: who has one of them reads what is sent there. Each is good for a time, and once.
CREATE TABLE proof_link (
    link_id    uuid PRIMARY KEY,
    request_id uuid        NOT NULL REFERENCES request ON DELETE CASCADE,
    token_hash bytea       NOT NULL UNIQUE,
    code_hash  bytea       NOT NULL,         -- keyed
    address    bytea       NOT NULL,         -- keyed fingerprint of where it went
    sent_at    timestamptz NOT NULL,
    code_until timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    failures   integer     NOT NULL DEFAULT 0,  -- wrong codes that were typed for it
    used_at    timestamptz,
    -- The recipient of a link may say that they have asked for nothing: then no link or code of that request is good any more.
    disowned_at timestamptz,
    -- By what letters with a link are counted: the mailbox, and who asked (keyed marks, that of who asked another one each day).
    mailbox    bytea,
    asker      bytea,
    first      boolean NOT NULL DEFAULT false  -- the first of its request: the others were asked for later
);
CREATE INDEX proof_link_request ON proof_link (request_id);
CREATE INDEX proof_link_stopped ON proof_link (request_id) WHERE failures > 0 OR disowned_at IS NOT NULL;
CREATE INDEX proof_link_mailbox ON proof_link (mailbox, sent_at);

-- Tokens by which a requester came from the customer portal: each is good once.
CREATE TABLE used_token (
    token_hash bytea PRIMARY KEY,
    used_at    timestamptz NOT NULL
);
CREATE INDEX used_token_at ON used_token (used_at);

-- Requests of which a link was withheld, and none was sent since: a person sees to them while they wait for proof.
CREATE TABLE proof_withheld (
    request_id  uuid PRIMARY KEY REFERENCES request ON DELETE CASCADE,
    withheld_at timestamptz NOT NULL
);

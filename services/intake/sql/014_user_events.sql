-- A channel lists its own requests in the order of acceptance.
CREATE INDEX request_of_key ON request (key_id, accepted_at, request_id);
CREATE INDEX request_accepted ON request (accepted_at, request_id);

-- Identities that were posted before the event which names them by this token; they are in the vault only.
CREATE TABLE subject_token (
    token       uuid PRIMARY KEY,           -- the id of the request that its event asks for
    subject_ref uuid        NOT NULL,       -- in the vault
    key_id      text        NOT NULL,       -- the API key that posted it
    stated_at   timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz                 -- when its event was handled: it is good for one
);
CREATE INDEX subject_token_expires ON subject_token (expires_at);

-- An address that an account had before, as its emitter tells: whoever proves the account is searched for by it too.
CREATE TABLE former_contact (
    subject_ref uuid PRIMARY KEY,           -- in the vault
    account     bytea       NOT NULL,       -- keyed fingerprint
    level       text        NOT NULL,       -- of assurance, at most
    emitter     text        NOT NULL,
    changed_at  timestamptz NOT NULL,
    learned_at  timestamptz NOT NULL
);
CREATE INDEX former_contact_account ON former_contact (account);
CREATE INDEX former_contact_learned ON former_contact (learned_at);

-- When an account was closed: from then on the retention of its records is counted.
CREATE TABLE closed_account (
    account    bytea PRIMARY KEY,           -- keyed fingerprint
    closed_at  timestamptz NOT NULL,
    emitter    text        NOT NULL,
    learned_at timestamptz NOT NULL
);
CREATE INDEX closed_account_learned ON closed_account (learned_at);

-- A request and where it stands; who it is about is in the vault only.
CREATE TABLE request (
    request_id   uuid PRIMARY KEY,
    subject_ref  uuid        NOT NULL,
    "right"      text        NOT NULL,
    state        text        NOT NULL,
    outcome      text,
    scope        text,
    channel      text        NOT NULL,
    key_id       text        NOT NULL,      -- the API key that submitted it
    received_at  timestamptz NOT NULL,
    accepted_at  timestamptz NOT NULL,
    due_on       date        NOT NULL,
    responded_at timestamptz,
    closed_at    timestamptz,
    package_id   uuid,
    tasks        jsonb,                     -- what the downstreams reported, in counts
    warning      text                       -- the latest milestone of its deadline, if one has come
) WITH (fillfactor = 70);
CREATE INDEX request_open ON request (due_on, request_id) WHERE state <> 'closed';

CREATE TABLE idempotency (
    key_id          text        NOT NULL,
    idempotency_key text        NOT NULL,
    body_hash       bytea       NOT NULL,
    request_ids     bytea       NOT NULL,      -- 16 bytes each
    accepted_at     timestamptz NOT NULL,
    PRIMARY KEY (key_id, idempotency_key)
);

CREATE TABLE api_key (
    key_id     text PRIMARY KEY,
    hash       bytea       NOT NULL,        -- SHA-256 of a 256-bit random secret
    role       text        NOT NULL,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);

-- Links and codes that were sent to a contact: who has one of them reads what is sent there. Each is good for a time, and once.
CREATE TABLE proof_link (
    link_id    uuid PRIMARY KEY,
    request_id uuid        NOT NULL,
    token_hash bytea       NOT NULL UNIQUE,
    code_hash  bytea       NOT NULL,         -- keyed
    address    bytea       NOT NULL,         -- keyed fingerprint of where it went
    sent_at    timestamptz NOT NULL,
    code_until timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    failures   integer     NOT NULL DEFAULT 0, -- wrong codes that were typed for it
    used_at    timestamptz
);
CREATE INDEX proof_link_request ON proof_link (request_id);
CREATE INDEX proof_link_address ON proof_link (address, sent_at);

-- Tokens by which somebody came from the customer portal: each is good once.
CREATE TABLE used_token (
    token_hash bytea PRIMARY KEY,
    used_at    timestamptz NOT NULL
);
CREATE INDEX used_token_at ON used_token (used_at);

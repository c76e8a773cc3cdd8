-- Restrictions in force (Art. 18); nothing here names anybody.
CREATE TABLE restriction (
    request_id  uuid PRIMARY KEY,
    subject_ref uuid        NOT NULL,
    since       timestamptz NOT NULL,
    lifted_at   timestamptz,
    looked_at   timestamptz NOT NULL    -- when the systems were last compared with it
);
CREATE INDEX restriction_looked_at ON restriction (looked_at) WHERE lifted_at IS NULL;

-- Whom a restriction covers: a flag that a system has once for a person falls with the last of them.
CREATE TABLE restriction_identity (
    fingerprint bytea NOT NULL,         -- keyed HMAC of an identity
    request_id  uuid  NOT NULL,
    PRIMARY KEY (fingerprint, request_id)
);
CREATE INDEX restriction_identity_request ON restriction_identity (request_id);

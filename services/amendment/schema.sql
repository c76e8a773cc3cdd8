-- Restrictions in force (Art. 18); nothing here names anybody.
CREATE TABLE restriction (
    request_id  uuid PRIMARY KEY,
    subject_ref uuid        NOT NULL,
    since       timestamptz NOT NULL,
    lifted_at   timestamptz,
    looked_at   timestamptz NOT NULL         -- when the systems were last compared with it
);
CREATE INDEX restriction_looked_at ON restriction (looked_at) WHERE lifted_at IS NULL;

-- Whom a restriction covers: a flag that a system has once for a person falls with the last of them.
CREATE TABLE restriction_identity (
    fingerprint bytea NOT NULL,              -- keyed HMAC of an identity
    request_id  uuid  NOT NULL,
    PRIMARY KEY (fingerprint, request_id)
);
CREATE INDEX restriction_identity_request ON restriction_identity (request_id);

-- Of a system that restricts a person by one flag: who had it already when our restriction began. While our other restrictions
-- are in force the flag may be theirs, so what the first of them has seen counts. No reference means anything elsewhere.
CREATE TABLE restriction_flag (
    request_id uuid    NOT NULL,
    system     text    NOT NULL,
    reference  text    NOT NULL,
    was_set    boolean NOT NULL,
    PRIMARY KEY (request_id, system, reference)
);
CREATE INDEX restriction_flag_reference ON restriction_flag (system, reference);

-- When each system was last asked whom it would send marketing to.
CREATE TABLE compared (
    system      text PRIMARY KEY,
    compared_at timestamptz NOT NULL,
    -- Whether the last look could not compare it: its list could not be read.
    failed      boolean NOT NULL DEFAULT false
);

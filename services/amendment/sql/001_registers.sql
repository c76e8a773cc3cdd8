-- Restrictions in force (Art. 18) and suppressed contact points (Art. 21(3)); neither names anybody.
CREATE TABLE restriction (
    request_id  uuid PRIMARY KEY,
    subject_ref uuid        NOT NULL,
    since       timestamptz NOT NULL,
    lifted_at   timestamptz,
    looked_at   timestamptz NOT NULL    -- when the systems were last compared with it
);
CREATE INDEX restriction_looked_at ON restriction (looked_at) WHERE lifted_at IS NULL;

CREATE TABLE suppression (
    fingerprint bytea PRIMARY KEY,      -- keyed HMAC of the contact point
    channel     text        NOT NULL,
    request_id  uuid        NOT NULL,
    since       timestamptz NOT NULL,
    looked_at   timestamptz NOT NULL
);
CREATE INDEX suppression_looked_at ON suppression (looked_at);

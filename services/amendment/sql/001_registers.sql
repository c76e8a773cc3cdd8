-- Restrictions in force (Art. 18) and suppressed contact points (Art. 21(3)); neither names anybody.
CREATE TABLE restriction (
    request_id  uuid PRIMARY KEY,
    subject_ref uuid        NOT NULL,
    since       timestamptz NOT NULL,
    lifted_at   timestamptz
);

CREATE TABLE suppression (
    fingerprint bytea PRIMARY KEY,      -- keyed HMAC of the contact point
    channel     text        NOT NULL,
    request_id  uuid        NOT NULL,
    since       timestamptz NOT NULL
);

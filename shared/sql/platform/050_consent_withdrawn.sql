-- To which purposes whoever has a contact point or an account has withdrawn consent (Art. 7(3)): a category that is kept by two consents
-- ends with the second of them, whenever that is withdrawn. Keyed hashes, until they consent anew.
CREATE TABLE register.consent_withdrawn (
    fingerprint bytea       NOT NULL,   -- of what they are known by
    purpose     text        NOT NULL,
    since       timestamptz NOT NULL,
    PRIMARY KEY (fingerprint, purpose)
);

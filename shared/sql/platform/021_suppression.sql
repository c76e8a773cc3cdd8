-- Contact points that get no marketing (Art. 21(3)): of an objection, and of an erasure where the policy says so. Keyed hashes: an
-- import, a mailing or a dialler can ask for one, and nobody can be read off. One row for each request that has named it.
CREATE TABLE register.suppression (
    fingerprint bytea       NOT NULL,   -- of the contact point
    request_id  uuid        NOT NULL,
    "right"     text        NOT NULL,
    channel     text        NOT NULL,   -- email or phone
    since       timestamptz NOT NULL,
    looked_at   timestamptz NOT NULL,   -- when the systems were last compared with what the request is known by
    PRIMARY KEY (fingerprint, request_id)
);
CREATE INDEX suppression_request ON register.suppression (request_id);
CREATE INDEX suppression_looked_at ON register.suppression (looked_at);

-- Who was found in a system to be wanted for marketing again: by what, lies sealed until it is stopped, or until the next look.
CREATE TABLE vault.returned (
    subject_ref uuid PRIMARY KEY,
    request_id  uuid NOT NULL,          -- whose entry of the list it is
    system      text NOT NULL
);

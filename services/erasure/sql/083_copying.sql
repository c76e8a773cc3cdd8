-- Requests for a copy that were verified and are not over. Until a system has copied what they ask for the nightly sweep spares it there, for some
-- days from proof: where a person must look first, nights pass between proof and copy.
CREATE TABLE copying (
    request_id  uuid        PRIMARY KEY,
    subject_ref uuid        NOT NULL,
    since       timestamptz NOT NULL
);

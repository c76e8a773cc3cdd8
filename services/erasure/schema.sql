-- Few tasks end with data that has to be kept; whether one did is asked for each request that is closed.
CREATE INDEX task_retained ON task (fulfilment_id) WHERE receipt ->> 'outcome' = 'retained';

-- Subjects whose request was closed for want of a reply: they may resume it, so their keys stay.
CREATE TABLE resumable (
    subject_ref uuid PRIMARY KEY
);

-- Restrictions in force on a ground for which the nightly sweep spares the data: the person needs them, or opposes that they are erased
-- (Art. 18(1)(b), (c)).
CREATE TABLE spared (
    request_id  uuid PRIMARY KEY,
    subject_ref uuid NOT NULL
);

-- Requests for a copy that were verified and are not over. Until a system has copied what they ask for the nightly sweep spares it there, for some
-- days from proof: where a person must look first, nights pass between proof and copy.
CREATE TABLE copying (
    request_id  uuid        PRIMARY KEY,
    subject_ref uuid        NOT NULL,
    since       timestamptz NOT NULL
);

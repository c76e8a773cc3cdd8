-- Few tasks end with data that has to be kept; whether one did is asked for each request that is closed.
CREATE INDEX task_retained ON task (fulfilment_id) WHERE receipt ->> 'outcome' = 'retained';

-- Subjects whose request was closed for want of a reply: they may resume it, so their keys stay.
CREATE TABLE resumable (
    subject_ref uuid PRIMARY KEY
);

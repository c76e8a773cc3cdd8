-- Restrictions in force on a ground for which the nightly sweep spares the data: the person needs them, or opposes that they are erased
-- (Art. 18(1)(b), (c)).
CREATE TABLE spared (
    request_id  uuid PRIMARY KEY,
    subject_ref uuid NOT NULL
);

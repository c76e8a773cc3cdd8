-- Subjects whose request was closed for want of a reply: they may resume it, so their keys stay.
CREATE TABLE resumable (
    subject_ref uuid PRIMARY KEY
);

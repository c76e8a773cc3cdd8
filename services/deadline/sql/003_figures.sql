-- What is open and what was answered lately is counted again and again, from these indexes alone.
CREATE INDEX clock_open_figures ON clock ("right", received_at) INCLUDE (due_on, due_at, statutory_due_at)
    WHERE responded_at IS NULL;
CREATE INDEX clock_answered_figures ON clock (responded_at) INCLUDE ("right", outcome, timeliness, received_at)
    WHERE responded_at IS NOT NULL;

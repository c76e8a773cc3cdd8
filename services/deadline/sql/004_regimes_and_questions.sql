-- Was the requester asked without undue delay? Judged by working days when the question was sent (REQ-T8).
ALTER TABLE question ADD COLUMN in_time boolean;            -- null: asked before this was kept
CREATE INDEX question_asked ON question (asked_at) INCLUDE (question, in_time) WHERE in_time IS NOT NULL;

-- The calendar says under which law a request stands: what is counted by it comes out of the same indexes.
CREATE INDEX clock_open_counts ON clock ("right", received_at) INCLUDE (due_on, due_at, statutory_due_at, calendar)
    WHERE responded_at IS NULL;
CREATE INDEX clock_answered_counts ON clock (responded_at)
    INCLUDE ("right", outcome, timeliness, extended, received_at, calendar) WHERE responded_at IS NOT NULL;
DROP INDEX clock_open_figures;
DROP INDEX clock_answered_figures;

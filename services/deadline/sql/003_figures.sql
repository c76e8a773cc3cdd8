-- What is open, what fell due and what was answered lately is counted again and again, from these indexes alone.
CREATE INDEX clock_open_figures ON clock ("right", received_at) INCLUDE (due_on, due_at, statutory_due_at)
    WHERE responded_at IS NULL;
CREATE INDEX clock_answered_figures ON clock (responded_at)
    INCLUDE ("right", outcome, timeliness, extended, received_at) WHERE responded_at IS NOT NULL;
CREATE INDEX clock_due_figures ON clock (due_at) INCLUDE ("right") WHERE NOT extended;
CREATE INDEX clock_before_extended ON clock_before (due_on, request_id) WHERE cause = 'extended';
CREATE INDEX question_answered ON question (answered_at) INCLUDE (question, asked_at) WHERE answered_at IS NOT NULL;

-- What we answer and what we pass on is counted apart, each from an index alone: every index of figures begins with the role.
CREATE INDEX clock_open_by_role ON clock (role, "right", received_at)
    INCLUDE (due_on, due_at, statutory_due_at, calendar) WHERE responded_at IS NULL;
CREATE INDEX clock_answered_by_role ON clock (role, responded_at)
    INCLUDE ("right", outcome, timeliness, extended, received_at, calendar) WHERE responded_at IS NOT NULL;
CREATE INDEX clock_due_by_role ON clock (role, due_at) INCLUDE ("right") WHERE NOT extended;
DROP INDEX clock_open_counts;
DROP INDEX clock_answered_counts;
DROP INDEX clock_due_figures;

-- What waits for a person and what was closed lately is counted again and again.
CREATE INDEX request_waiting ON request (state, "right")
    WHERE state IN ('awaiting_identity', 'awaiting_clarification', 'awaiting_decision');
CREATE INDEX extension_approved ON extension (approved_at) WHERE approved_at IS NOT NULL;
CREATE INDEX request_closed ON request (closed_at) WHERE closed_at IS NOT NULL;

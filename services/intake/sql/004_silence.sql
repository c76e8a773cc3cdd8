-- A question that nobody answers ends with a last notice; what was closed for want of a reply may be resumed (REQ-T9).
ALTER TABLE request
    ADD COLUMN asked_at       timestamptz,                      -- when the question was sent that is, or stayed, open
    ADD COLUMN last_notice_at timestamptz,                      -- when the subject was told that we go on without its answer
    ADD COLUMN resumable      boolean NOT NULL DEFAULT false,   -- closed, and a late answer reopens it
    ADD COLUMN resumed        boolean NOT NULL DEFAULT false;   -- a late answer has: its due date follows from that

UPDATE request r SET asked_at = (
    SELECT max(l.written_at) FROM letter l
    WHERE l.request_id = r.request_id AND l.kind IN ('identity_question', 'clarification_question')
) WHERE r.question_id IS NOT NULL;

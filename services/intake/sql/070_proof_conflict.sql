-- Contract: takes nothing away: `waits` is there again when this is committed.
-- A proof was put aside, which is not shown to be of whoever has proved something before (it lies in the vault): a person settles it.
ALTER TABLE request ADD COLUMN proof_conflict boolean NOT NULL DEFAULT false;
ALTER TABLE request DROP COLUMN waits;
ALTER TABLE request ADD COLUMN waits text GENERATED ALWAYS AS (CASE
    WHEN package_fault IS NOT NULL AND package_gone IS DISTINCT FROM package_id THEN 'package'
    WHEN proof_conflict AND state <> 'in_progress' THEN 'person'
    WHEN state = 'closed' THEN NULL
    WHEN held IS NOT NULL THEN 'brake'
    WHEN postponed THEN 'others'
    WHEN state = 'awaiting_identity' THEN 'proof'
    WHEN state = 'awaiting_clarification' THEN 'reply'
    WHEN state = 'awaiting_decision' THEN 'person'
END) STORED;
CREATE INDEX request_proof_conflict ON request (due_on, request_id) WHERE proof_conflict;
CREATE INDEX request_waits ON request (waits, due_on, request_id) WHERE waits IS NOT NULL;

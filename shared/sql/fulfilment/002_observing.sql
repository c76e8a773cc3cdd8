-- A task by which a system that is not switched on is only asked: nobody waits for it, and nothing follows from it.
ALTER TABLE task ADD COLUMN observes boolean NOT NULL DEFAULT false;
CREATE INDEX task_observes ON task (system) WHERE observes AND state IN ('waiting', 'ready');

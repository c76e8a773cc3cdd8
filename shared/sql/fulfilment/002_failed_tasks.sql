-- Tasks that wait for a person are few, and are counted every few seconds.
CREATE INDEX task_failed ON task (system, operation) WHERE state = 'failed';

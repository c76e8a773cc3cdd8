-- Who has done what, newest first: by an action, by somebody, in a time. What services do by themselves is found by its action alone.
CREATE INDEX entry_action ON evidence.entry (action, at);
CREATE INDEX entry_actor ON evidence.entry (actor, at) WHERE actor NOT LIKE 'service:%';

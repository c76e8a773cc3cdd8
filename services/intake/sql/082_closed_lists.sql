-- The list of what is closed by right: a right that few have asked for would else be looked for in all that was ever closed.
CREATE INDEX request_closed_right ON request ("right", closed_at, request_id) WHERE closed_at IS NOT NULL;

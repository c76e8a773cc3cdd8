-- Letters that wait, by where they stand and which way they go: each list of the console goes on from any of them.
CREATE INDEX delivery_open ON delivery (state, way, letter_id) WHERE state IN ('waiting', 'person');

-- Large pieces are sealed chunk by chunk, each bound to its piece and its place; they go with the piece.
CREATE TABLE vault.chunk (
    sealed_id uuid    NOT NULL REFERENCES vault.sealed ON DELETE CASCADE,
    position  integer NOT NULL,         -- from 0
    content   bytea   NOT NULL,
    PRIMARY KEY (sealed_id, position)
);

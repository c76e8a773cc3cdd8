-- An erasure that has begun and of which nothing is at work: what it has left waits for proof, an answer, a person or a brake.
-- Others of the same person do not wait for it; before it goes on, it asks for them again.
ALTER TABLE vault.open_request ADD COLUMN stopped boolean NOT NULL DEFAULT false;

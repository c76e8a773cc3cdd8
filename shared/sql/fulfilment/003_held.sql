-- Stopped before its next step, by the brake of the key that has asked for it.
ALTER TABLE fulfilment ADD COLUMN held boolean NOT NULL DEFAULT false;

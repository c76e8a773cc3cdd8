-- A request that came by e-mail or by post, of which a code was typed that went to the contact on file: its letters are read in the portal alone.
ALTER TABLE request ADD COLUMN read_in_portal boolean NOT NULL DEFAULT false;

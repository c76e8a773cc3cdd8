-- A system could not correct it at once: its data are restricted until it is, or somebody has decided (Art. 18(1)(a)).
ALTER TABLE request ADD COLUMN unchangeable boolean NOT NULL DEFAULT false;

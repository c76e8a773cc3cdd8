-- Of a withdrawal of consent (Art. 7(3)): to what, and the proof that outlives the identities: by whom, which text they had consented to.
ALTER TABLE request ADD COLUMN purposes text[] NOT NULL DEFAULT '{}';
ALTER TABLE request ADD COLUMN consent_text text;
ALTER TABLE request ADD COLUMN withdrawn_by bytea[];     -- keyed fingerprints of what they have stated of themselves

-- The language in which the subject is written to: what they have asked for, else that of their country (shared/policy/letters/languages.toml).
ALTER TABLE request ADD COLUMN language text NOT NULL DEFAULT 'en' CHECK (language IN ('en', 'de', 'fr', 'es'));

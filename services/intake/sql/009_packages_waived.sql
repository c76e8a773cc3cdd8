-- Of an erasure: the person does not want the packages kept that were made for their earlier requests.
ALTER TABLE request ADD COLUMN packages_waived boolean NOT NULL DEFAULT false;

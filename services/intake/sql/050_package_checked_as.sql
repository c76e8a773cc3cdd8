-- Of a package that fits: by what that was found, so that it is not read again until any of that is other.
ALTER TABLE request ADD COLUMN package_checked_as bytea;

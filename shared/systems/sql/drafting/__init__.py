"""A dataset drafted from what a database says of its own tables, and compared with it later; no row is read."""

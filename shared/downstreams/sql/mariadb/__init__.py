"""MySQL and MariaDB behind a dataset."""

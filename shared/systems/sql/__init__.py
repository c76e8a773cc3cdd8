"""SQL stores, PostgreSQL and MariaDB, as their datasets declare them."""

"""Pure rules, tested without a database or a broker."""

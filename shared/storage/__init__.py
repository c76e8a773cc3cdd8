"""The platform's own database, keys and evidence; knows no downstream."""

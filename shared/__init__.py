"""The engine of the platform; it knows no service."""

"""The engine of the platform; it knows no service."""

__version__ = "0.9.0"
"""The version of the product: of the API, the bus and the change log."""

"""Contracts with other parties: messages, documents, downstream systems."""

"""Reacts to changed records."""

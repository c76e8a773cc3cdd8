"""Fills the three downstream systems with the company; what takes long is kept, and copied the next time."""

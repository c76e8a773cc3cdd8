"""Fills the three downstream systems with the company; what that made is kept, and copied the next time."""

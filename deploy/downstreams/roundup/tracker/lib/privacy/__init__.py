"""Implements the privacy routes of `interfaces.py`."""

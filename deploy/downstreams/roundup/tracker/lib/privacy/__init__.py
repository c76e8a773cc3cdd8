"""What stands behind the privacy routes of `interfaces.py`."""

"""Breaches of the protection of personal data: found, documented, told of (Art. 33 and 34)."""

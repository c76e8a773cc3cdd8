"""Erasure (Art. 17)."""

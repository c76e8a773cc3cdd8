"""Figures of the product, each beside its limit."""

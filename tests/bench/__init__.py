"""Figures of the product, each next to its limit."""

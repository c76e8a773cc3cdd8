"""Figures of what was answered: how fast, why not, and what others found of it; definitions: ``docs/metrics.md``."""

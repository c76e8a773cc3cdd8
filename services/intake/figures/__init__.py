"""Figures of answers: how fast, and why not; definitions: ``docs/metrics.md``."""

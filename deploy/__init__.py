"""Runs the platform: on one machine and in a cluster."""

"""Roundup, a ticketing system, reached over its REST interface."""

"""Requests from intake to closure, through all five services."""

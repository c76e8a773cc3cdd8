"""Performs what members of staff decide: one registry of actions, one table of approvals, one way of performing them.

May import `jobs` and lower packages.
"""

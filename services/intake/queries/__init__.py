"""Reads and shows many requests: lists, the worklist, figures, plans and the suppression list.

Changes no request.
May import `reviews` and lower packages.
"""

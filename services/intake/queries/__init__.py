"""Reads many requests: lists, the worklist, figures for metrics and time limits, previews, the suppression list.

Changes no request; a query that one page alone needs stands with it here.
May import `reviews` and lower packages.
"""

"""Puts incoming mail before an officer, who makes it a request or dismisses it.

May import `submission` and lower packages.
"""

"""What the privacy team reviews next to requests: legal holds, retention runs, systems, number conflicts.

May import `packages` and lower packages.
"""

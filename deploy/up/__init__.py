"""``make up`` and ``make down``: the platform on this machine with one's own systems, in the background."""

"""User events: what other services tell of their users over the bus, each on a topic and in a loop of its own."""

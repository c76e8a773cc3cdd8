"""Mail that came to our mailbox: put before a person, who makes it a request or dismisses it."""

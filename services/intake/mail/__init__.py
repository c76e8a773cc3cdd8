"""Mail that came to our mailbox: put before an officer, who makes it a request or dismisses it.

May import `submission` and lower packages.
"""

"""Mail of requesters: `inbox` takes in what correspondence has read, `use_cases` is what staff do with it.

Rendering, sending and reading mailboxes belong to `services/correspondence`.
May import `submission` and lower packages.
"""

"""The systems that hold personal data, and how each is searched, read, changed and emptied."""

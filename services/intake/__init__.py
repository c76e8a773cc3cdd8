"""The only door, and the only owner of a request's lifecycle."""

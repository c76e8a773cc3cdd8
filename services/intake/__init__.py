"""The only entrance, and the only owner of a request's lifecycle."""

"""What needs more of a machine than Python and make; `make test-deploy` runs it."""

"""Tests that need more than Python and make; `make test-deploy` runs them."""

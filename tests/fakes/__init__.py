"""Systems of other teams, as far as a test needs them."""

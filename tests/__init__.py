"""What the product promises, as tests that can fail."""

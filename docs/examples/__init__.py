"""Programs that other services may begin with; tests run them."""

"""What the product is, says and needs; `make docs` writes the two contracts from the code."""

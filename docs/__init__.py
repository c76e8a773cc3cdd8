"""Documentation; `make docs` writes the generated pages from the code."""

"""Parts of the product against real servers."""

"""The manifests, what generates parts of them from the code, and what checks them."""

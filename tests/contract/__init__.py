"""What the product and others agreed on: messages, documents, downstream systems."""

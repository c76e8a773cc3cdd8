"""Pure: what the law and the contract of the bus say; imports nothing of the product."""

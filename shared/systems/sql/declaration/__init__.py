"""What a dataset declares of a store: tables, columns, parties, what leads to what; no connection."""

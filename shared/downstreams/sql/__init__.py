"""SQL stores, driven by a declared dataset, and checked by looking again."""

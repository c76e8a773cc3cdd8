"""One request becomes tasks; what comes of them becomes an outcome."""

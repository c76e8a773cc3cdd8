"""What the demonstration shows, a module for each: read back from the running system, and compared with the data."""

"""Letters on paper: printed with the address in the window of an envelope, posted, and marked as posted."""

"""What others find of how requests are handled: complaints, and samples in which one was not recognised."""

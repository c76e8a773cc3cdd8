"""Letters: written, previewed, delivered by e-mail, by post or where they are read, and followed until then."""

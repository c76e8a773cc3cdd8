"""The acceptance scenarios of the law's side, each a file: what must come of it, at the seam where it is decided."""

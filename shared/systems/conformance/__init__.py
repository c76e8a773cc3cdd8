"""Does a system really do what is declared of it? Checks on invented people, on ours in tests and on yours live."""

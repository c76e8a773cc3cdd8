"""What an auditor sees: who has done what, by the evidence, and everything about one case in one file."""

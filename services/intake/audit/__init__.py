"""The file of one case, and which entries of the evidence are looks."""

"""The letters of each kind in each language as they were reviewed, one file each."""

"""The commands of the privacy team: what they do goes through intake's API with a key, as everybody's calls do."""

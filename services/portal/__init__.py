"""The portal: where people ask for their rights, prove who they are, and follow what becomes of it."""

"""Builds the sentences to the subject about a request; the words are in the catalogue."""

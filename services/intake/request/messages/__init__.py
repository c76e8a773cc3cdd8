"""What the subject is told of a request, sentence by sentence; the words are the catalogue's."""

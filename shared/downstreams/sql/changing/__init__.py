"""Changes in place: corrections, statements, restrictions, marketing stopped, texts without the subject."""

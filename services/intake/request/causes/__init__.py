"""What moves a request, by whose doing it is."""

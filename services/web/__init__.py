"""Serves the portal and the console: sessions, forms, pages and the headers of every answer."""

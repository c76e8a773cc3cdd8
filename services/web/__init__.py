"""What the portal and the console share: sessions, forms, pages and the headers of every answer."""

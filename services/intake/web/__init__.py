"""What the sites of intake share: sessions, forms, pages and what every answer of theirs carries."""

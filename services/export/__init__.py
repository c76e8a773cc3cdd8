"""Access and portability (Art. 15, 20)."""

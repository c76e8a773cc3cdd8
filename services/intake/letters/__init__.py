"""Letters as they are written: their cases, their content, sealing and the rows of what is to be sent.

What becomes of a letter on its way is in `delivery`.
May import `core`, `request` and `access`.
"""

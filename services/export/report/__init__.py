"""The report of an access: what Art. 15 asks to be told, tailored to what is held, and the data as people read them."""

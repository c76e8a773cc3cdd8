"""Writes letters: their content, the key under which they are sealed, and the queue of those that are sent.

`correspondence` writes and seals one; `delivery` queues those that are mailed or printed, and asks for their text.
`cases` joins the letters of one message; `portal_news` announces by mail what is read in the portal.
What becomes of a letter on its way is in the package `services/intake/delivery`.
May import `core`, `request` and `access`.
"""

"""Writes letters: their content, the key under which they are sealed, and the queue of those that are sent.

`sealed_letters` writes and seals one; `delivery_queue` queues those mailed or printed, and requests their text.
`cases` joins the letters of one message; `portal_notifications` announces by mail what is read in the portal.
What becomes of a letter on its way is in the package `services/intake/delivery`.
May import `core`, `request` and `access`.
"""

"""The report of an access: the answers of Art. 15, tailored to what is held, and the data as people read them; pure.

``request`` holds the facts, ``words`` the language, ``checklist`` the items of the article, ``retention`` the periods,
``page`` the HTML. May import the domain and what export has counted; no database, no bus.
"""

"""Takes in every request, and owns its lifecycle.

The packages are layers: each imports only those below it (``pyproject.toml``). From the top:

- ``api`` (HTTP) and ``events`` (Kafka): the ways in; they call what is below
- ``actions``: decisions of staff, and their approval by a second person
- ``jobs``: loops by the clock; ``queries``: lists, the worklist, figures
- ``reviews``, ``packages``, ``incidents``, ``mail``: legal holds, copies handed out, data breaches, incoming mail
- ``submission``: a request is accepted; ``identity``: who asks is proved
- ``delivery``: a letter on its way; ``store``: the table of requests; ``recipients``: Art. 19
- ``letters``: a letter is written; ``access``: API keys; ``request``: the request, pure; ``core``: errors, schemas

Read ``request.lifecycle`` and ``request.aggregate`` first, then ``submission.accepting`` and ``store.repository``.
``app`` builds the HTTP application, with the portal and the console.
"""

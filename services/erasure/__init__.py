"""Erasure (Art. 17) and the nightly retention run (Art. 5(1)(e)).

``__main__`` lists the handlers; ``handlers`` has the answer, the end and deferred erasures; ``keys`` ends a subject's
key; ``precedence`` waits for other requests; ``planning`` makes previews; ``retention`` runs each night.
Tasks, retries and reports are in ``shared.fulfilment``. May import ``shared``, and no other service.
"""

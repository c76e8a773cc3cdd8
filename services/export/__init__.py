"""Access and portability (Art. 15, 20): collects a copy from every system and hands out a package.

``__main__`` lists the handlers; ``due`` queues packages and ``package_builder`` builds them: the release check, then
``package``, which writes the ZIP from ``pieces`` and ``survey``; ``report`` is the page that people read.
Tasks, retries and reports of systems are in ``shared.fulfilment``. May import ``shared``, and no other service.
"""

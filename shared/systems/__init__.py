"""The systems that hold personal data: the downstreams file, one adapter for each kind, and the engine.

- ``contract``: tasks and results; ``protocols``: what an adapter offers; ``capabilities``: what a system can do
- ``file`` reads the downstreams file, ``registry`` builds the adapters, and a ``downstream`` is one system with both
- ``relations``: what systems need of one another; ``plan``: the order in which they are worked
- ``check``, ``conformance``: examine a declared system; ``states``: why it may not erase yet; ``sweepable``: its part
  in the nightly retention run
- adapters: ``sql``, ``http``, ``tryton``, ``roundup``, ``bus``, ``opendsr``; ``settings``, ``http_client`` and
  ``bounds`` are shared by several
- ``engine``: find, plan, apply, verify, for every adapter

May import ``shared.domain``.
"""

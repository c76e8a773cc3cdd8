"""Decides and does every operation in any system: find, plan, apply, verify.

An adapter implements ``System`` and ``Unit`` of ``records``, and derives from ``EngineAdapter`` (``adapter``), which
the services call. Start with ``records``, ``planning`` and ``erasing``.

Pure decisions, in the order of an erasure:

- ``searching``: by which identities a system is searched; ``ownership``, ``account_claims``: whose a found record is
- ``retaining``, ``grounds``: what stays, by which rule, until when; ``planning``: what becomes of each record
- ``correcting``: what a correction changes; ``copying``: what a copy shows
- ``stated_identities``: a stop of marketing by stated identities; ``remote``: one plan for a system that erases all or
  nothing

Work with a system:

- ``finding``: finds records and attributes them; ``locating``: finds further identities
- ``erasing``: erases in transactions; ``stepwise``: erases where there are none; ``amending``: changes in place
- ``retention``: the nightly run

It knows no adapter.
"""

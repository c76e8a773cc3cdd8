"""The nightly retention run: deletes in every system what is past a ceiling of the policy (Art. 5(1)(e)).

``rules`` decides about one ceiling in one table, ``exemptions`` whose rows stay, ``run`` works every system each night,
``store`` keeps the results that intake shows. May import what a service may, and nothing else of erasure.
"""

"""Rectification, restriction, objection and withdrawal of consent (Art. 16, 18, 21, 7(3)).

``__main__`` lists the handlers. ``handlers`` opens and ends the work. ``registers`` keeps who is restricted and
suppressed. ``overlapping_restrictions`` decides what a lift may touch. ``repairs`` are tasks without a request.
``reconciliation`` and ``reimported_contacts`` compare every system with the registers each night.
Tasks, retries and reports are in ``shared.fulfilment``. May import ``shared``, and no other service.
"""

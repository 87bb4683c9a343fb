"""Pure core of the product: facts and a clock in, events out.

Invariants:
    Nothing in this package does I/O, sleeps or reads the time; only ``clock`` calls ``time.*``.
    No networking library and no framework is imported.
"""

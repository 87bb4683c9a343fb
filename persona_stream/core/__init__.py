"""The product's pure core: facts and the clock in, events out.

Invariants: nothing here does I/O, sleeps, or asks for the time (``clock`` alone does); no third-party library of the
network is imported.
"""

"""Persistence: records with a lifetime, reservations, indexes, files; one way to write.

Enter at ``interfaces.py``.  Does not know: what the records mean.
"""

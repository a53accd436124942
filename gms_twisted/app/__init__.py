"""Decisions: coroutines over interfaces.

No HTTP, no sockets.  What is needed from outside is in ``interfaces.py``.
"""

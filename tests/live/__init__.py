"""Tests against a real server process: real sockets, real clients, a real browser.

Not part of the trial suite, since they take time and tools; ``bin/test`` runs them.
"""

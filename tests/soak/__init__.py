"""Faults in a cluster of real processes, and a checker of what clients were promised.

``python -m tests.soak.run`` or ``bin/soak``; see docs/faults.md.  Enter at ``run``; ``checker``
says what must hold.
"""

"""What the actions of orchestration applications do, one module per namespace.

An application says ``<queue:submit>``, ``<service:reserve>``, ``<session:fetch>``; the state
chart asks for it with an effect, and what happens then is here.  Enter at ``modules.py``.

Spec: Orchestration Server-based Services, "Samples".  Does not know: SCXML, sessions' lives.
"""

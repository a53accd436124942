"""Bayeux 1.0 with the CometD extensions, without I/O.

Pure: messages and the time go in, bytes and effects come out.  Enter at ``server.py``.  Does not
know: HTTP, websockets, ``gms_user``.
"""

"""The front door: our HTTP/1.1 channel and websocket server.

Bounded, absolute-deadline parsing of everything a network can send.  It answers
the Bayeux URL itself and hands every other request to Klein.  Enter at
``channel.py``; the agreements with the rest of the program are in
``interfaces.py``.  Does not know: what any URL means.
"""

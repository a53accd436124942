"""The binary provider interface of the Apple Push Notification service, pure.

Frames out, error packets and feedback in, and the window of what may have to be sent
again.  Enter at ``window.py``.  Knows no sockets, no TLS, no time of its own.
"""

"""Shells: bytes and time for the pure packages.

Long-polling and websocket sessions for Bayeux, connections to chat servers.
"""

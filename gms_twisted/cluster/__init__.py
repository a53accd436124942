"""Several processes on one Redis: who is alive, who owns what.

Enter at ``registry``.  Truth is in the store; what is here only says who may act on it.

Does not know: services, chats, sessions.
"""

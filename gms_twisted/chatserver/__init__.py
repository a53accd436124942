"""The chat-server connection: frames, packets and what is legal when.

Pure.  Does not know: sockets, the Chat API.
"""

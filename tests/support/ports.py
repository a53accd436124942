"""Ports for servers that tests start in processes of their own."""

from __future__ import annotations

import random
import socket

FIRST, LAST = 20_000, 32_767
"""Below what Linux gives to outgoing connections: none of them takes a port that was found."""

_kept: list[socket.socket] = []


def free_port() -> int:
    """A port of loopback that nobody has now, and that no other process of tests is given.

    Between finding it and listening on it seconds may pass, and its server may be killed and
    started again.  So it stays reserved until this process ends: by a name of an abstract
    socket, which vanishes with its process however that ends.
    """
    for port in random.sample(range(FIRST, LAST), 1000):
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0gms-tests-port-{port}")
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            name.close()
        else:
            _kept.append(name)
            return port
    raise RuntimeError(f"no port between {FIRST} and {LAST} is free")

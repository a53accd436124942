"""Heads of requests, as the front door's parser makes them."""

from __future__ import annotations

from gms_twisted.http.interfaces import Head, Peer

LOOPBACK = Peer("127.0.0.1", 40_000, local_port=8080)
OUTSIDE = Peer("203.0.113.9", 40_000, local_port=8080)


def make_head(
    method: str = "GET",
    target: str = "/genesys/1/node",
    *headers: tuple[str, str | bytes],
    length: int | None = None,
    chunked: bool = False,
) -> Head:
    """Make a head; ``Host: gms.example`` unless another is given."""
    path, _, query = target.encode("latin-1").partition(b"?")
    lines: dict[bytes, tuple[bytes, ...]] = {}
    for name, value in headers:
        raw = value if isinstance(value, bytes) else value.encode("utf-8")
        key = name.lower().encode("ascii")
        lines[key] = (*lines.get(key, ()), raw)
    lines.setdefault(b"host", (b"gms.example",))
    return Head(
        method.encode("ascii"),
        target.encode("latin-1"),
        path,
        query,
        (1, 1),
        lines,
        content_length=length,
        chunked=chunked,
    )

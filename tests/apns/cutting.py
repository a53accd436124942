"""Cuts streams, as networks do."""

from __future__ import annotations

from itertools import pairwise


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at these places, modulo their number."""
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(edges)]

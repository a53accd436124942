"""Addresses of the other end: which networks they are in, how they are counted.

PURE.  Knows: IPv4, IPv6 and lists of networks as options have them.  Does not
know: what being on a list is good for.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

_MEMO_SIZE = 4096


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address, ``None`` when it is none.

    An IPv4 address written as IPv6 (``::ffff:10.0.0.1``, what a dual-stack
    listener reports) is the IPv4 address; a zone (``%eth0``) is dropped.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def counted_as(address: str) -> str:
    """Say whose count an address goes to: itself, or an IPv6 client's whole /64.

    A single IPv6 subscriber has 2**64 addresses, so one of them means nothing.
    """
    if ":" not in address:
        return address
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return address


class Networks:
    """A list of addresses and networks, ``127.0.0.0/8``, ``::1``.

    :raises ValueError: an entry is neither; the text names it.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._networks: list[IPv4Network | IPv6Network] = []
        for entry in entries:
            try:
                self._networks.append(ip_network(entry.strip(), strict=False))
            except ValueError as error:
                raise ValueError(f"{entry!r} is neither an address nor a network") from error
        self._memo: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, str):
            return False
        known = self._memo.get(address)
        if known is None:
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.clear()
            known = self._memo[address] = self._look_up(address)
        return known

    def _look_up(self, address: str) -> bool:
        parsed = parse_address(address)
        return parsed is not None and any(
            parsed.version == network.version and parsed in network for network in self._networks
        )

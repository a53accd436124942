"""Where requests may go: URLs taken apart strictly, addresses judged on their numbers.

A name proves nothing, so only addresses are judged; an IPv4 address inside an IPv6 one
(mapped, 6to4, NAT64, Teredo ...) is judged as what it is in the end.

PURE.  Knows: URLs, the registries of special addresses, the allow list.  Does not know:
name resolution, sockets.

RFC: 3986, 6890, 6052, 3056, 4380.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)
from urllib.parse import quote

from gms_twisted.app.outgoing import TargetRefused
from gms_twisted.domain.errors import shown

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL = 4096
"""Longest URL, in characters; the Notification API's limit for device ids."""

ALLOW_OPTION = "push/httpcb.allow"
PORTS = frozenset((80, 443, 8080, 8443))
"""Ports that anybody may have asked.  Hardening: N01."""

_DEFAULT_PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#]*)([^#]*)")
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
_LABELS = re.compile(r"(?!-)[a-z0-9_\-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_\-]{1,63}(?<!-))*")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
# Visible ASCII, and what will be percent-encoded.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\\\ud800-\udfff\u2028\u2029]")
_KEPT_IN_PATHS = "".join(map(chr, range(0x21, 0x7F)))

_SPECIAL_4 = tuple(
    (IPv4Network(network), word)
    for network, word in (
        ("0.0.0.0/8", "an unspecified"),
        ("10.0.0.0/8", "a private"),
        ("100.64.0.0/10", "a carrier's inner"),
        ("127.0.0.0/8", "a loopback"),
        ("169.254.0.0/16", "a link-local"),
        ("172.16.0.0/12", "a private"),
        ("192.0.0.0/24", "a reserved"),
        ("192.0.2.0/24", "a reserved"),
        ("192.88.99.0/24", "a reserved"),
        ("192.168.0.0/16", "a private"),
        ("198.18.0.0/15", "a reserved"),
        ("198.51.100.0/24", "a reserved"),
        ("203.0.113.0/24", "a reserved"),
        ("224.0.0.0/4", "a multicast"),
        ("240.0.0.0/4", "a reserved"),
        # Public by its number, but it is the machine's own host at a cloud provider.
        ("168.63.129.16/32", "a metadata"),
    )
)
_SPECIAL_6 = tuple(
    (IPv6Network(network), word)
    for network, word in (
        ("::/128", "an unspecified"),
        ("::1/128", "a loopback"),
        ("fc00::/7", "a private"),
        ("fe80::/10", "a link-local"),
        ("fec0::/10", "a private"),
        ("ff00::/8", "a multicast"),
        ("2001::/23", "a reserved"),
        ("2001:db8::/32", "a reserved"),
        ("3fff::/20", "a reserved"),
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
_LOOPBACK = "a loopback"
_NEVER = frozenset(("an unspecified", "a multicast", "a metadata"))
"""Kinds that nobody may open by writing an address into a configuration."""
_OPERATORS = frozenset(("a private", "a carrier's inner", "a reserved"))
"""Kinds that a configured target may have: a gateway in one's own network."""

_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_LAST_32 = tuple(map(IPv6Network, ("::ffff:0:0/96", "::/96", "64:ff9b::/96", "::ffff:0:0:0/96")))
"""Networks whose last 32 bits are an IPv4 address: mapped, compatible, NAT64, translated."""
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_ISATAP = (0x00005EFE, 0x02005EFE)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, taken apart.

    :ivar scheme: ``http`` or ``https``.
    :ivar host: ASCII, lower case, no brackets, no dot at the end.
    :ivar address: the host when it is an address, else ``None``.
    :ivar path: with the query, percent-encoded, begins with ``/``.
    """

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)
    address: Address | None = None

    @property
    def netloc(self) -> str:
        """The value of the header ``Host``."""
        host = f"[{self.host}]" if isinstance(self.address, IPv6Address) else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_target(url: str) -> Target:
    """Take a URL apart; blanks around it are dropped.

    What two programs could read differently (backslashes, user names, fragments,
    ``0x7f000001``) is refused, not repaired.

    :raises TargetRefused: it is no URL that can be asked.
    """
    url = url.strip(" \t\r\n")
    if len(url) > MAX_URL:
        raise TargetRefused(f"The URL has more than {MAX_URL} characters.")
    if _FORBIDDEN.search(url):
        raise TargetRefused("The URL has blanks, backslashes or control characters.")
    if "#" in url:
        raise TargetRefused("The URL has a fragment (#), which a request cannot carry.")
    match = _URL.fullmatch(url)
    if match is None:
        raise TargetRefused("The URL must be absolute: http://HOST/PATH or https://HOST/PATH.")
    scheme, authority, path = match[1].lower(), match[2], match[3]
    if scheme not in _DEFAULT_PORTS:
        raise TargetRefused(f"The URL's scheme {shown(scheme)!r} is neither http nor https.")
    if "@" in authority:
        raise TargetRefused("The URL names a user (@), which is not supported.")
    divided = _AUTHORITY.fullmatch(authority)
    port = _DEFAULT_PORTS[scheme]
    if divided is not None and divided[2] is not None:
        port = int(divided[2])
    if divided is None or not 0 < port < 65536:
        raise TargetRefused("The URL's host and port are not HOST or HOST:PORT.")
    host, address = parse_host(divided[1])
    if not path.startswith("/"):
        path = f"/{path}"
    return Target(scheme, host, port, quote(path, safe=_KEPT_IN_PATHS), address)


def parse_host(text: str) -> tuple[str, Address | None]:
    """Read the host of a URL: a name in ASCII, or an address.

    :raises TargetRefused: it is neither.
    """
    if text.startswith("["):
        try:
            address = IPv6Address(text[1:-1])
        except AddressValueError:
            raise TargetRefused("The URL's host in brackets is no IPv6 address.") from None
        if address.scope_id is not None:
            raise TargetRefused("The URL's IPv6 address has a zone, which is not supported.")
        return str(address), address
    host = _ascii(text).removesuffix(".")
    if not host or len(host) > 253 or not _LABELS.fullmatch(host):
        raise TargetRefused("The URL's host is not a name or an address.")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        # A resolver would take 127.1, 0x7f000001 and 2130706433 for addresses; so do
        # browsers, and not all agree which.
        try:
            return host, IPv4Address(host)
        except AddressValueError:
            sentence = "An IPv4 address in a URL must be written as four decimal numbers."
            raise TargetRefused(sentence) from None
    return host, None


def _ascii(host: str) -> str:
    """Spell a host in ASCII; circled and full-width digits become digits."""
    if host.isascii():
        return host.lower()
    try:
        # Choice: IDNA 2003, which the standard library has; names in scripts that it
        # does not know must be written as xn--...
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise TargetRefused("The URL's host is not a name that can be looked up.") from None


def inner_addresses(address: Address) -> Iterator[Address]:
    """List what an address leads to: itself, or the IPv4 addresses inside it."""
    if isinstance(address, IPv4Address):
        yield address
        return
    number = int(address)
    if address in _TEREDO:
        yield IPv4Address(number >> 64 & 0xFFFFFFFF)
        yield IPv4Address(~number & 0xFFFFFFFF)
    elif address in _SIX_TO_FOUR:
        yield IPv4Address(number >> 80 & 0xFFFFFFFF)
    elif number > 1 and any(address in network for network in _LAST_32):
        yield IPv4Address(number & 0xFFFFFFFF)
    elif address in _LOCAL_NAT64:
        # The operator of such a network decides where in it the IPv4 address is.
        yield IPv6Address("fc00::")
    elif number >> 32 & 0xFFFFFFFF in _ISATAP:
        yield address
        yield IPv4Address(number & 0xFFFFFFFF)
    else:
        yield address


def plain(address: Address) -> Address:
    """An IPv4 address written as IPv6 (``::ffff:1.2.3.4``) is the IPv4 address."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def kind_of(address: Address) -> str:
    """Say what is special about one address: ``"a private"``, ``""`` for a public one."""
    if isinstance(address, IPv4Address):
        return next((word for network, word in _SPECIAL_4 if address in network), "")
    for network, word in _SPECIAL_6:
        if address in network:
            return word
    return "" if address in _GLOBAL_6 else "a reserved"


@dataclass(frozen=True, slots=True)
class _Allowed:
    """One entry of the allow list.

    :ivar port: ``None``: the usual ones; 0: all.
    """

    name: str
    network: Network | None
    port: int | None

    def covers_port(self, port: int) -> bool:
        return port in PORTS if self.port is None else self.port in (0, port)


_ENTRY = re.compile(r"(\[[0-9A-Fa-f:.]+(?:/[0-9]+)?\]|[^\[\]]+?)(?::([0-9]{1,5}|\*))?")


class AllowList:
    """Targets that may be asked although private, or on another port.

    :param entries: ``HOST[:PORT]``, ``ADDRESS[/BITS][:PORT]``; IPv6 with a port in
        brackets, ``[fd00::/8]:9000``.  Without a port the usual ones are meant, ``*``
        is every port.
    :raises ValueError: an entry is none of that; the text names it.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._entries = tuple(_read_entry(entry) for entry in map(str.strip, entries) if entry)

    def opens_port(self, host: str, port: int) -> bool:
        """Whether a port may be asked at all: by this name, or of some address."""
        return any(
            one.covers_port(port) and (one.network is not None or one.name == host)
            for one in self._entries
        )

    def allows(self, host: str, port: int, address: Address) -> bool:
        """Whether an address may be asked, reached by that name."""
        return any(
            one.covers_port(port)
            and (one.name == host if one.network is None else address in one.network)
            for one in self._entries
        )


def _read_entry(text: str) -> _Allowed:
    problem = ValueError(f"{text!r} is not HOST[:PORT] or ADDRESS/BITS[:PORT]")
    match = _ENTRY.fullmatch(text)
    # A bare IPv6 address has colons of its own.
    if match is None or (text.count(":") > 1 and not text.startswith("[")):
        match = re.fullmatch(r"([0-9A-Fa-f:.]+(?:/[0-9]+)?)()", text)
    if match is None:
        raise problem
    host = match[1].strip("[]").lower()
    port = {None: None, "": None, "*": 0}.get(match[2], -1)
    if port == -1:
        port = int(match[2])
        if not 0 < port < 65536:
            raise problem
    try:
        return _Allowed("", ip_network(host, strict=False), port)
    except ValueError:
        pass
    try:
        name, address = parse_host(host)
    except TargetRefused:
        raise problem from None
    if address is not None or "/" in host:
        raise problem
    return _Allowed(name, None, port)


@dataclass(frozen=True)
class Policy:
    """What may be asked.

    :ivar allow: the operator's exceptions.
    :ivar loopback: loopback may be asked on any port, since the server itself listens
        on nothing else.
    """

    allow: AllowList = field(default_factory=AllowList)
    loopback: bool = False

    def judge_port(self, host: str, port: int, *, configured: bool = False) -> None:
        """See whether a port can be right, before any name is looked up.

        :raises TargetRefused: whatever the address may be, it is not.
        """
        if configured or self.loopback or port in PORTS or self.allow.opens_port(host, port):
            return
        raise _port_refused(port)

    def judge(self, host: str, port: int, address: Address, *, configured: bool = False) -> None:
        """See whether an address may be asked on a port.

        :param host: the name that led to it, or the address itself.
        :param configured: the operator wrote the target.
        :raises TargetRefused: it may not.
        """
        for inner in inner_addresses(address):
            self._judge_one(host, port, inner, configured)

    def _judge_one(self, host: str, port: int, address: Address, configured: bool) -> None:
        kind = kind_of(address)
        if kind == _LOOPBACK and self.loopback:
            return
        if kind not in _NEVER and self.allow.allows(host, port, address):
            return
        if kind and not (configured and kind in _OPERATORS):
            raise TargetRefused(
                f"The URL leads to {kind} address, which may not be asked"
                f"{'' if kind in _NEVER else f'; {ALLOW_OPTION} may allow it'}."
            )
        if port not in PORTS and not configured:
            raise _port_refused(port)


def _port_refused(port: int) -> TargetRefused:
    usual = ", ".join(map(str, sorted(PORTS)))
    return TargetRefused(
        f"Port {port} may not be asked, only {usual}; {ALLOW_OPTION} may allow HOST:{port}."
    )

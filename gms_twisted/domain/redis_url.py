"""Where Redis is: option ``store/url``.

::

    redis://[[USER]:PASSWORD@]HOST[:6379][/DB]
    rediss://...                                  the same under TLS
    unix://[[USER]:PASSWORD@]/PATH[?db=DB]
    redis+sentinel://[[USER]:PASSWORD@]HOST[:26379][,HOST...]/NAME[/DB]

With Sentinel, user and password are those of the Redis servers; percent signs in them are
decoded.

Knows: URLs.  Does not know: connections.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

SCHEMES = ("redis://", "rediss://", "unix://", "redis+sentinel://")

_PORT, _SENTINEL_PORT = 6379, 26379
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]]+))(?::(?P<port>.*))?")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """One Redis, however it is found.

    :ivar servers: host and port; several are Sentinels.
    :ivar path: of a socket, instead of servers.
    :ivar master: what Sentinels call the group, ``""`` without.
    :ivar shown: the URL without its password, for people.
    """

    shown: str
    servers: tuple[tuple[str, int], ...] = ()
    path: str = ""
    master: str = ""
    database: int = 0
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def is_redis(url: str) -> bool:
    """Whether ``store/url`` names a Redis."""
    return url.startswith(SCHEMES)


def parse_redis_url(url: str) -> RedisTarget:
    """Read one.

    :raises ValueError: it is none; the text goes on after "the URL".
    """
    scheme, is_url, rest = url.partition("://")
    if not is_url or scheme not in ("redis", "rediss", "unix", "redis+sentinel"):
        raise ValueError("begins with none of redis, rediss, unix, redis+sentinel")
    login, at, where = rest.rpartition("@")
    user, _, secret = login.partition(":")
    username = unquote(user) or None
    password = unquote(secret) or None if at else None
    shown = f"{scheme}://{user}{':***' if secret else ''}{at}{where}"
    if scheme == "unix":
        path, _, query = where.partition("?")
        if not path.startswith("/"):
            raise ValueError("names no path that begins with /")
        if "#" in where:
            raise ValueError("goes on after the path")
        option, is_given, number = query.partition("=")
        if query and (option != "db" or not is_given or "&" in number):
            raise ValueError("has an option that is not db")
        database = _database(number) if query else 0
        return RedisTarget(
            shown, path=path, database=database, username=username, password=password
        )
    if "?" in where or "#" in where:
        raise ValueError("goes on after the number of the database")
    hosts, _, path = where.partition("/")
    sentinel = scheme == "redis+sentinel"
    if "," in hosts and not sentinel:
        raise ValueError("names several hosts; only redis+sentinel has those")
    parts = path.split("/") if path else []
    master = parts.pop(0) if sentinel and parts else ""
    if sentinel and not _NAME.fullmatch(master):
        raise ValueError("names no group after the hosts of Sentinel, HOST,HOST/NAME")
    if len(parts) > 1:
        raise ValueError("goes on after the number of the database")
    servers = tuple(
        _server(one, _SENTINEL_PORT if sentinel else _PORT)
        for one in (hosts.split(",") if sentinel else [hosts])
    )
    return RedisTarget(
        shown,
        servers=servers,
        master=master,
        database=_database(parts[0] if parts and parts[0] else "0"),
        tls=scheme == "rediss",
        username=username,
        password=password,
    )


def _server(text: str, default: int) -> tuple[str, int]:
    # By hand: what ``urlsplit`` says of a wrong port has the port in it, which is a password
    # where somebody forgot the host.
    found = _HOST.fullmatch(text.strip())
    if found is None:
        raise ValueError("names no host")
    port = found["port"]
    if port is None:
        return found["six"] or found["host"], default
    if not port.isdecimal() or not port.isascii() or len(port) > 5 or int(port) > 65_535:
        raise ValueError("has no port where one belongs")
    return found["six"] or found["host"], int(port)


def _database(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        raise ValueError("has no number where that of the database belongs")
    return int(text)

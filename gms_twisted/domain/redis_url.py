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
from urllib.parse import parse_qsl, unquote, urlsplit

SCHEMES = ("redis://", "rediss://", "unix://", "redis+sentinel://")

_PORT, _SENTINEL_PORT = 6379, 26379
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
    scheme, rest = url.split("://", 1)
    if scheme not in ("redis", "rediss", "unix", "redis+sentinel"):
        raise ValueError("begins with none of redis, rediss, unix, redis+sentinel")
    # ``urlsplit`` knows no lists of hosts: they are taken apart here.
    login, at, where = rest.rpartition("@")
    user, _, secret = login.partition(":")
    username = unquote(user) or None
    password = unquote(secret) or None if at else None
    shown = f"{scheme}://{user + ':***@' if at else ''}{where}"
    if scheme == "unix":
        split = urlsplit(where)
        if not split.path.startswith("/"):
            raise ValueError("names no path that begins with /")
        options = dict(parse_qsl(split.query, strict_parsing=bool(split.query)))
        database = _database(options.pop("db", "0"))
        if options:
            raise ValueError("has an option that is not db")
        return RedisTarget(
            shown, path=split.path, database=database, username=username, password=password
        )
    if "?" in where or "#" in where:
        raise ValueError("goes on after the number of the database")
    hosts, _, path = where.partition("/")
    sentinel = scheme == "redis+sentinel"
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
    split = urlsplit(f"//{text.strip()}")
    if not split.hostname:
        raise ValueError("names no host")
    port = split.port  # raises what is not 0..65535
    return split.hostname, default if port is None else port


def _database(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        raise ValueError("has no number where that of the database belongs")
    return int(text)

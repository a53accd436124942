"""What the server says when it is ready: where everything is, and what to beware of.

Knows: URLs, identity modes.  Does not know: how anything is started.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from gms_twisted.config.options import ServerOptions
from gms_twisted.transports.listening import Listener

ENDING = "  stop it with Ctrl+C"
"""The last line; who starts a server to use it waits for this one."""


def banner(
    listeners: Sequence[Listener], site: str, link: str, warnings: Sequence[str], *, desk: bool
) -> str:
    """The lines for a terminal.

    :param site: the root as others see it, ending in ``/``.
    :param link: a one-time log-in link, or ``""``.
    """
    name = socket.gethostname()
    urls = [listener.url(name).rstrip("/") for listener in listeners]
    lines = [f"GMS ready on {' and '.join(urls)}", f"  customer page  {site}demo/"]
    if desk:
        lines.append(f"  agent desk     {site}desk/")
    if link:
        lines.append(f"  first log-in   {link}   (works once, for a day)")
    lines += [f"  warning: {sentence}" for sentence in warnings]
    return "\n".join([*lines, ENDING, ""])


def start_warnings(
    listeners: Sequence[Listener], server: ServerOptions, mode: str, *, services: bool
) -> list[str]:
    """What an operator should know (hardening G08).

    :param mode: how users are told, ``open`` for instance.
    :param services: a service is configured.
    """
    loopback = all(listener.is_loopback for listener in listeners)
    sentences = []
    if mode == "open" and not loopback:
        sentences.append(
            "server/identity_mode is open on an address that others reach: "
            "anybody can say to be anybody"
        )
    if mode == "open" and loopback and not _is_loopback_url(server.external_url_base):
        sentences.append(
            "server/external_url_base says that others reach this server, through a proxy on "
            "this machine; set server/identity_mode and server/trusted_proxies"
        )
    if mode == "trusted-proxy" and not server.trusted_proxies:
        sentences.append(
            "server/identity_mode is trusted-proxy and server/trusted_proxies is empty: "
            "every request with gms_user is refused"
        )
    if not server.external_url_base and any(listener.is_wildcard for listener in listeners):
        sentences.append(
            f"server/external_url_base is not set; links use the name {socket.gethostname()}"
        )
    if not services:
        sentences.append(
            "no service is configured: every POST to /genesys/1/service/NAME is answered 404; "
            "see the sections service.NAME of the packaged etc/gms.ini"
        )
    return sentences


def _is_loopback_url(url: str) -> bool:
    host = urlsplit(url).hostname or "localhost"
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""The load balancer's answer: which chat server to use.

We write one form, ``{"alias":"350","host":"127.0.0.1","webapi_port":4856,"tls":false}``.
The original page's form is unknown, so reading is friendly to pages made by
hand: JSON, lines or ``&``-joined pairs ``key=value``, or an XML element with
attributes; keys compared without case, ``_`` and ``-``, under several names.

Knows: forms of the answer.  Does not know: HTTP, who is alive.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from urllib.parse import unquote_plus

from gms_twisted.chatserver.errors import ProtocolError
from gms_twisted.chatserver.xmltext import Element, read
from gms_twisted.domain.chat import ChatServerAddress

MAX_ANSWER_BYTES = 64 * 1024
"""A longer page is no answer."""

SHOWN_CHARS = 200
"""How much of an answer that is not understood goes into the log."""

_NAMES: Mapping[str, str] = {
    "alias": "alias",
    "chatserverloadbalanceralias": "alias",
    "host": "host",
    "chatserverhost": "host",
    "port": "port",
    "webapiport": "port",
    "chatwebapiport": "port",
    "tls": "tls",
    "istlsrequired": "tls",
    "secure": "tls",
}
_YES = {"true", "1", "yes", "on"}
_NO = {"false", "0", "no", "off", ""}
_HOST = re.compile(r"[A-Za-z0-9._:\-]{1,253}")
_PORT = re.compile("[0-9]{1,5}", re.ASCII)
_ALIAS = re.compile("[^\x00-\x1f\x7f]{0,64}")


class BadBalancerAnswer(ProtocolError):
    """The page's answer is not understood; the text has its first characters, escaped."""


def balancer_answer(server: ChatServerAddress) -> bytes:
    """The page's content, ``application/json``."""
    answer = {
        "alias": server.alias,
        "host": server.host,
        "webapi_port": server.port,
        "tls": server.tls,
    }
    return json.dumps(answer, separators=(",", ":")).encode("utf-8")


def parse_balancer_answer(body: bytes) -> ChatServerAddress:
    """Understand a page's answer.

    :raises BadBalancerAnswer: it names no host and port, or is no form we know.
    """
    text = body[:MAX_ANSWER_BYTES].decode("utf-8", "replace").strip().lstrip("\ufeff")
    shown = text[:SHOWN_CHARS].encode("unicode_escape").decode("ascii")[: 2 * SHOWN_CHARS]
    if len(body) > MAX_ANSWER_BYTES:
        raise BadBalancerAnswer(shown)
    try:
        found = _normal(_pairs(text))
        host = found.get("host", "")
        port = found.get("port", "")
        alias = found.get("alias", "")
        tls = found.get("tls", "").lower()
        good = _HOST.fullmatch(host) and _PORT.fullmatch(port) and 0 < int(port) < 65536
        if not good or not _ALIAS.fullmatch(alias) or tls not in _YES | _NO:
            raise BadBalancerAnswer(shown)
        return ChatServerAddress(alias, host, int(port), tls in _YES)
    except (ProtocolError, ValueError, RecursionError):
        raise BadBalancerAnswer(shown) from None


def _pairs(text: str) -> Mapping[str, str]:
    """Every key and value of the answer, in whatever form it has."""
    if text.startswith("{"):
        document = json.loads(text)
        return {key: _plain(value) for key, value in document.items()}
    if text.startswith("<"):
        text = re.sub(r"\A<\?xml[^>]*\?>\s*", "", text)
        pairs: dict[str, str] = {}
        _collect(read(text.encode("utf-8")), pairs)
        return pairs
    pairs = {}
    for part in re.split("[&\r\n]+", text):
        key, equals, value = part.partition("=")
        if equals:
            pairs[key.strip()] = unquote_plus(value.strip())
    return pairs


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else ""


def _collect(element: Element, pairs: dict[str, str]) -> None:
    pairs.update(element.attributes)
    for child in element.children:
        _collect(child, pairs)


def _normal(pairs: Mapping[str, str]) -> dict[str, str]:
    """Our names for those keys that we know; the first of several wins."""
    found: dict[str, str] = {}
    for key, value in pairs.items():
        name = _NAMES.get(key.lower().replace("_", "").replace("-", ""))
        if name is not None:
            found.setdefault(name, value.strip())
    return found


_ENTRY = re.compile(
    r"(?P<alias>[^=\s;]{1,64})=(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._\-]{1,253})"
    r":(?P<port>[0-9]{1,5})(?P<tls>;tls)?",
    re.ASCII,
)


def parse_server_entry(text: str) -> ChatServerAddress:
    """Understand an entry of option ``chat/chat_server``, ``ALIAS=HOST:PORT[;tls]``.

    :raises ValueError: it has another form; the text is one sentence for the operator.
    """
    found = _ENTRY.fullmatch(text.strip())
    if found is None or not 0 < int(found["port"]) < 65536:
        raise ValueError(f"{text.strip()[:80]!r} is not of the form ALIAS=HOST:PORT[;tls].")
    host = found["host"].strip("[]")
    return ChatServerAddress(found["alias"], host, int(found["port"]), bool(found["tls"]))

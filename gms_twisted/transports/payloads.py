"""How messages stand in a request: as JSON, as fields of a form, or in a query.

Knows: charsets, forms.  Does not know: connections, what messages mean.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from gms_twisted.bayeux.codec import MalformedPayload, Message, decode
from gms_twisted.transports.longpoll import Mode

_MAX_FIELDS = 1000


def messages_of(
    mode: Mode, charset: str, query: bytes, body: bytes, max_messages: int
) -> list[Message]:
    """Read a request's messages.

    :param charset: of the body.
    :raises MalformedPayload: there are none, too many, or they are no JSON.
    """
    if mode is Mode.JSON:
        return decode(_as_utf8(body, charset), max_messages)
    if mode is Mode.FORM:
        if body.lstrip()[:1] in (b"{", b"["):
            return decode(_as_utf8(body, charset), max_messages)
        texts = fields(body, charset)
    else:
        texts = fields(query, "utf-8")
    messages: list[Message] = []
    for name, value in texts:
        if name == "message":
            messages += decode(value.encode("utf-8", "surrogatepass"), max_messages)
            if len(messages) > max_messages:
                raise MalformedPayload("There are too many messages.")
    if not messages:
        raise MalformedPayload("There is no parameter message.")
    return messages


def fields(text: bytes, charset: str) -> list[tuple[str, str]]:
    """Read the fields of a query or form; none when there are far too many."""
    try:
        return parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            encoding=charset,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except (UnicodeError, ValueError):
        return []


def _as_utf8(body: bytes, charset: str) -> bytes:
    """Bring a body into the charset that JSON has."""
    if charset in ("utf-8", "ascii"):
        return body
    try:
        return body.decode(charset).encode("utf-8")
    except (UnicodeError, ValueError) as error:
        raise MalformedPayload("The body is not in its charset.") from error

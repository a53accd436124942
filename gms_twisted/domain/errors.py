"""What can go wrong, by meaning.

No status codes here: ``rest/replies.py`` maps meanings to HTTP once.  The text
of an error is one sentence for a person and never repeats more than 64 escaped
characters of what a client sent; ``code`` is the stable word that programs see
as ``exception``.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator

# A codec is a file; loaded now, for at the descriptor limit it could not be (G09).
codecs.lookup("unicode_escape")


def shown(value: str, limit: int = 64) -> str:
    """Make a client's value fit for a message: escaped and at most ``limit`` long."""
    text = value[: limit + 1].encode("unicode_escape").decode("ascii")
    return text if len(value) <= limit and len(text) <= limit else text[:limit] + "..."


class GmsError(Exception):
    """A foreseen failure.

    :ivar code: stable dotted name, seen by clients as ``exception``.
    """

    code = "gms.error"


class InvalidRequest(GmsError):
    """A parameter is missing, malformed or out of range.

    :ivar parameter: the parameter's name, or ``""`` for the request as a whole.
    """

    code = "gms.invalid_request"

    def __init__(self, message: str, parameter: str = "") -> None:
        super().__init__(message)
        self.parameter = parameter


class UnsupportedMedia(GmsError):
    """The body is of a type that this operation does not read."""

    code = "gms.unsupported_media_type"


class TooLarge(GmsError):
    """A value or body is above its limit."""

    code = "gms.too_large"


class NotFound(GmsError):
    """What an identifier names does not exist, is over, or is not the caller's."""

    code = "gms.not_found"


class AreaNotFound(NotFound):
    """No such storage area, or its time is over."""

    code = "gms.storage.not_found"


class ServiceNotFound(NotFound):
    """No such service, or it has ended."""

    code = "gms.service.not_found"


class Forbidden(GmsError):
    """The caller may not do this."""

    code = "gms.forbidden"


class InternalOnly(Forbidden):
    """The caller is not on ``server/internal_allow``."""

    code = "gms.internal_only"


class Unauthorized(GmsError):
    """The caller has not said who it is, or could not prove it.

    :cvar challenge: what ``WWW-Authenticate`` says.  Not ``Basic``: a browser would
        open a dialog of its own.
    """

    code = "gms.unauthorized"
    challenge = 'Bearer realm="gms"'


class PasswordRequired(Unauthorized):
    """User name and password of HTTP Basic authentication are missing or wrong."""

    code = "gms.password_required"
    challenge = 'Basic realm="gms", charset="UTF-8"'


class Conflict(GmsError):
    """Somebody else was first."""

    code = "gms.conflict"


class TooManyRequests(GmsError):
    """A rate or count limit is reached.

    :ivar retry_after_s: when to try again, in seconds.
    """

    code = "gms.too_many_requests"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(GmsError):
    """Something we need is not there now; trying again later may work.

    :ivar retry_after_s: when, in seconds.
    """

    code = "gms.unavailable"
    retry_after_s = 5.0


class NodeAway(Unavailable):
    """The node of a cluster that should answer cannot be reached, or did not answer in time."""

    code = "gms.node_away"


class StorageFull(GmsError):
    """No room for more data; what is there can be read and deleted."""

    code = "gms.storage.full"


class StoreReadOnly(Unavailable):
    """A write to disk failed, so the store takes no more until it is restarted."""

    code = "gms.store.read_only"
    retry_after_s = 60.0


class DamagedRecord(GmsError):
    """A stored record does not match its checksum and is not served."""

    code = "gms.store.damaged"


def carried(error: GmsError) -> str:
    """Write an error down for another node: its text, and what it has of its own."""
    own = {name: value for name, value in vars(error).items() if isinstance(value, _PLAIN)}
    return json.dumps({"text": str(error), "own": own, "kind": _name(type(error))})


def carried_error(code: str, words: str) -> GmsError:
    """Make the error again that another node has written down.

    A code that this program does not know is a plain :class:`GmsError` with that code.
    """
    said = json.loads(words)
    alike = [one for one in _kinds(GmsError) if one.code == code]
    exactly = [one for one in alike if _name(one) == said["kind"]]
    kind = (exactly or alike or [GmsError])[0]
    error = kind.__new__(kind)
    Exception.__init__(error, said["text"])
    vars(error).update(said["own"])
    if kind is GmsError:
        error.code = code
    return error


def _name(kind: type[GmsError]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


_PLAIN = (str, int, float, type(None))


def _kinds(kind: type[GmsError]) -> Iterator[type[GmsError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)

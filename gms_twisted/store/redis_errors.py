"""What Redis and the way to it say when something is wrong, in our words.

What a client sent is no part of any text here: Redis repeats keys and arguments in some
errors, and those are cut out.

Knows: RESP errors, how connections end.  Does not know: connections, calls.
"""

from __future__ import annotations

import re
from typing import Any

import txredisapi
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.error import ConnectionDone, ConnectionLost

from gms_twisted.domain.errors import StorageFull, StoreReadOnly, Unavailable

AWAY = "The store cannot be reached at the moment."
LATE = "The store did not answer in time."
"""Whether it did what it was asked is not known."""

WIPED = "GMSWIPED"
"""A script's error: the data is not what this process began with."""

TOO_LATE = "GMSLATE"
"""A script's error: it came after its deadline, by the clock of Redis."""

BROKEN = "GMSBROKEN"
"""A script's error: a unit with this id was cut short."""

_ELSEWHERE = ("READONLY", "LOADING", "MASTERDOWN", "NOAUTH", WIPED, TOO_LATE)
_TEXT = 200

_INSIDE = re.compile(r"(?:^|[ '\"])-([A-Z]{2,20}) ")
"""Before 7.0 the error of a command in a script stands in the middle of the script's."""

_QUOTED = re.compile(r"'([^']*)'|`([^`]*)`|\"([^\"]*)\"")
_A_COMMAND = re.compile(r"[A-Za-z|]{1,20}")


class UnfitServer(Exception):
    """A server that must not be used; the text is one sentence for the operator."""


class NotYet(Exception):
    """A server that cannot be used at the moment; the text says why."""


class RedisRefused(Exception):
    """Redis answered with an error that we have no other word for: a fault of ours."""


class NoScript(Exception):
    """Redis does not know a script, or not any more."""


def word_of(text: str) -> str:
    """The word that an error is known by, ``"READONLY"``."""
    if text.startswith(("Error running script", "ERR Error running script")):
        inside = _INSIDE.search(text)
        if inside is not None:
            return inside[1]
    return text.split(" ", 1)[0]


def is_elsewhere(reply: Any) -> bool:
    """Whether a reply says that nothing was done, and that this connection is of no use."""
    return isinstance(reply, txredisapi.ResponseError) and word_of(str(reply)) in _ELSEWHERE


def error_of(text: str) -> Exception:
    """What an error of Redis means to us."""
    word = word_of(text)
    if word == "NOSCRIPT":
        return NoScript()
    if word == "OOM":
        return StorageFull("The store is full.")
    if word == "MISCONF":
        return StoreReadOnly("The store cannot write to its disk.")
    if word in (*_ELSEWHERE, "BUSY", "NOREPLICAS", "UNKILLABLE"):
        return Unavailable(AWAY)
    return RedisRefused(harmless(text))


def harmless(text: str) -> str:
    """An error of Redis without what a client sent, or a key."""
    text = text.removeprefix("ERR ").partition(", with args beginning with")[0]

    def shown(quoted: re.Match[str]) -> str:
        inside = next(part for part in quoted.groups() if part is not None)
        after = text[quoted.end() :].startswith(" command")
        before = text[: quoted.start()].endswith("command ")
        keep = (after or before) and _A_COMMAND.fullmatch(inside)
        return quoted[0] if keep else "'...'"

    return _QUOTED.sub(shown, text)[:_TEXT].rstrip(" .")


def login_failed(text: str) -> Exception:
    """What an error to the first questions means."""
    word = word_of(text)
    if word in ("LOADING", "MASTERDOWN", "BUSY", "OOM", "MISCONF", "READONLY"):
        return NotYet(harmless(text))
    if "max number of clients" in text:
        return NotYet("it takes no more connections")
    return UnfitServer(harmless(text))


def unreachable(why: BaseException) -> Exception:
    """Why a connection did not come about, or ended, in words."""
    if isinstance(why, UnfitServer | NotYet):
        return why
    if isinstance(why, TookTooLong):
        return NotYet("it did not answer in time")
    if isinstance(why, ConnectionDone):
        return NotYet("it closed the connection")
    if isinstance(why, ConnectionLost):
        return NotYet("the connection was lost")
    return NotYet(_of_tls(why) or str(why).rstrip(" .") or type(why).__name__)


def _of_tls(why: BaseException) -> str:
    """An error of OpenSSL, a list of triples of which the last word counts."""
    if type(why).__name__ == "VerificationError":
        return "TLS: the certificate is for another name"
    details = why.args[0] if why.args else None
    if not isinstance(details, list | tuple) or type(why).__name__ != "Error":
        return ""
    said = [str(one[-1]) for one in details if isinstance(one, tuple) and one]
    return f"TLS: {', '.join(said) or 'it failed'}"

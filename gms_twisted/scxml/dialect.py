"""What the orchestration dialect writes differently from the Recommendation.

The draft of May 2009 has expressions where SCXML 1.0 has text, and its error events have
other names.

Knows: the differences that are a matter of names.  Does not know: XML, evaluation.
"""

from __future__ import annotations

import re

from gms_twisted.scxml.model import Dialect

KNOWN_PREFIXES = {
    "queue": "www.genesyslab.com/modules/queue",
    "ixn": "www.genesyslab.com/modules/interaction",
    "ws": "www.genesyslab.com/modules/ws",
    "session": "www.genesyslab.com/modules/session",
    "dialog": "www.genesyslab.com/modules/dialog",
    "classification": "www.genesyslab.com/modules/classification",
    "statistic": "www.genesyslab.com/modules/statistic",
    "resource": "www.genesyslab.com/modules/resource",
    "service": "www.genesyslab.com/modules/dfm/gsgBasedServices/v1",
    "gsgNotification": "www.genesyslab.com/modules/dfm/gsgNotification/v1",
    "storage": "www.genesyslab.com/modules/dfm/gsgStorage/v1",
    "yahoo_placefinder": "www.genesyslab.com/modules/dfm/yahoo_placefinder/v1",
    "gms": "gms-twisted.org/modules/gms/v1",
}
"""Namespaces, normalised, of prefixes that applications use without declaring them."""

_MODULES = re.compile(r"(?:www\.genesyslab\.com|gms-twisted\.org)/modules/(.*)")
"""The namespaces of modules: those of the product, and ours."""
_VERSION = re.compile(r"v[0-9.]+")

IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_WORD = re.compile(r"[A-Za-z_$#][\w$.\-]*")


def module_of(namespace: str) -> str | None:
    """A module's name, the last segment before a version; ``None`` if it is none.

    The same module is written with and without scheme, and broken over lines.
    """
    name = re.sub(r"\s+", "", namespace)
    name = re.sub(r"^[A-Za-z][A-Za-z0-9+.\-]*://", "", name).rstrip("/")
    found = _MODULES.fullmatch(name)
    if found is None:
        return None
    words = found[1].split("/")
    while len(words) > 1 and _VERSION.fullmatch(words[-1]):
        words.pop()
    return words[-1] or None


def stands_for_itself(text: str, kind: str, message: str, compiled: bool) -> bool:
    """Whether an attribute that failed as an expression is to be taken as text.

    :param kind: the JavaScript error's name.
    """
    if not compiled:
        return True
    if kind != "ReferenceError" or not _WORD.fullmatch(text):
        return False
    # Choice: ``a.b`` whose ``a`` is nothing is a word as ``a`` is; event names look like that.
    return message.startswith(text.split(".", 1)[0].split("-", 1)[0] + " ")


def error_name(dialect: Dialect, where: str, kind: str = "") -> str:
    """The event for something that went wrong.

    :param where: ``script``, ``condition``, ``value``, ``send`` or ``communication``.
    :param kind: the JavaScript error's name.
    """
    if dialect is Dialect.W3C:
        return "error.communication" if where == "communication" else "error.execution"
    if where == "script":
        return f"error.script.{kind or 'Error'}"
    if where == "condition":
        return f"error.illegalcond.{kind or 'Error'}"
    if where == "send":
        return "error.send.failed"
    return "error.communication" if where == "communication" else "error.illegalvalue"


def action_prefix(module: str, element: str) -> str:
    """What an action's events begin with.

    A call is made by an element of the interaction module, and its events are of ``voice``.
    """
    if module == "interaction" and element == "createcall":
        return "voice.createcall"
    return f"{module}.{element}"

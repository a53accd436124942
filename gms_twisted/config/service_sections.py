"""Sections ``service.NAME``: options with and without the underscore, and what they may be.

Spec: the "Configuration" part of each service.

PURE.  Knows: the options of services that ship with the server.  Does not know: what
services do.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gms_twisted.config.options import ServiceOptions
from gms_twisted.config.reading import Problems, suggestion
from gms_twisted.config.text import Entry, Section

BUILT_IN = (
    *("request-interaction", "request-access", "match-interaction"),
    *("request-chat", "request-chat-delay"),
)
TYPES = ("builtin", "built-in", "ors")

_COMMON = (
    *("_type", "_service", "_name", "_ttl", "_username", "_password"),
    *("_provider_name", "_use_debug_push_certificate", "_return_pool_health"),
)
_ACCESS = ("_resource_group", "_provide_code", "_booking_expiration_timeout", "_phone_number")
_CHAT = (
    *("_chat_endpoint", "_client_timeout", "_client_timeout_notification", "_verbose"),
    *("_client_timeout_notification_message", "_agent_timeout_notification_message"),
    *("_filtering_chat_events", "_chat_400_response_on_disconnected"),
)
_BY_SERVICE = {
    "request-interaction": (*_ACCESS, "_access_code_length", "_require_phone_number"),
    "request-access": (*_ACCESS, "_access_code_length"),
    "match-interaction": ("_return_user_data",),
    "request-chat": _CHAT,
    "request-chat-delay": (*_CHAT, "_device_os"),
}

_BOOLEANS = (
    *("_provide_code", "_use_debug_push_certificate", "_return_pool_health"),
    *("_require_phone_number", "_return_user_data", "_chat_400_response_on_disconnected"),
    *("_access_info_via_event",),
)
_BOOLEAN = re.compile(r"true|false|yes|no|on|off|1|0", re.IGNORECASE)
_NUMBERS = {
    "_ttl": (1, 2_147_483_647),
    "_booking_expiration_timeout": (5, 1800),
    "_access_code_length": (1, 32),
    "_client_timeout": (1, 2_147_483_647),
    "_client_timeout_notification": (1, 2_147_483_647),
}
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_MAX_NAME_BYTES = 64


def read_service(name: str, section: Section, problems: Problems) -> ServiceOptions:
    """Read a service's section; numbers out of range are clamped, with a warning."""
    entries = _underscored(section)
    if len(name.encode()) > _MAX_NAME_BYTES or "/" in name:
        problems.fault(
            section, "", f"a service's name has no / and at most {_MAX_NAME_BYTES} bytes"
        )
    values = {spelt: entry.text for spelt, (_, entry) in entries.items()}

    def checked(spelt: str, check: Callable[[str], str], fault: bool = True) -> None:
        if spelt in entries and values[spelt] and (sentence := check(values[spelt])):
            (problems.fault if fault else problems.warn)(section, entries[spelt][0], sentence)

    kind = values.get("_type", "").lower()
    if not kind:
        problems.fault(section, "", f"option _type is missing; it is one of {', '.join(TYPES)}")
    checked("_type", lambda text: _not_one_of(text.lower(), TYPES))
    if kind in ("builtin", "built-in"):
        _check_built_in(name, section, entries, values, problems)
    for spelt in _BOOLEANS:
        checked(spelt, _not_boolean)
    for spelt, (low, high) in _NUMBERS.items():
        if spelt not in entries or not values[spelt]:
            continue
        if not _WHOLE.fullmatch(values[spelt]):
            problems.fault(section, entries[spelt][0], f"{values[spelt]!r} is not a whole number")
            continue
        number = min(max(int(values[spelt]), low), high)
        if number != int(values[spelt]):
            sentence = f"{values[spelt]} is out of range ({low} to {high}); {number} is used"
            problems.warn(section, entries[spelt][0], sentence)
        values[spelt] = str(number)
    if bool(values.get("_username")) != bool(values.get("_password")):
        problems.fault(section, "", "username and password stand together or not at all")
    return ServiceOptions(name, values)


def _underscored(section: Section) -> dict[str, tuple[str, Entry]]:
    """Options by their names with the underscore; which wins over the one without.

    The name as it is written comes along, for problems.  What the command line says wins
    over both.
    """
    entries: dict[str, tuple[str, Entry]] = {}
    for key, entry in section.entries.items():
        spelt = key if key.startswith("_") else f"_{key}"
        if spelt in entries:
            weight = (entry.overrides, key == spelt)
            old_key, old = entries[spelt]
            if weight < (old.overrides, old_key == spelt):
                continue
        entries[spelt] = (key, entry)
    return entries


def _check_built_in(
    name: str,
    section: Section,
    entries: dict[str, tuple[str, Entry]],
    values: dict[str, str],
    problems: Problems,
) -> None:
    """Check which built-in service it is, and that it knows the options."""
    service = values.get("_service") or values.get("_name") or name
    if service not in BUILT_IN:
        hint = suggestion(service, BUILT_IN) or f"; there are {', '.join(BUILT_IN)}"
        key = next((entries[one][0] for one in ("_service", "_name") if values.get(one)), "")
        problems.fault(section, key, f"there is no built-in service {service!r}{hint}")
        return
    known = (*_COMMON, *_BY_SERVICE[service])
    for spelt, (key, _) in entries.items():
        if spelt not in known:
            hint = suggestion(spelt, known)
            problems.warn(section, key, f"{service} has no such option{hint}")


def _not_one_of(text: str, words: tuple[str, ...]) -> str:
    return "" if text in words else f"{text!r} is not one of {', '.join(words)}"


def _not_boolean(text: str) -> str:
    return "" if _BOOLEAN.fullmatch(text) else f"{text!r} is not true or false"

"""Sections ``push`` and ``push.provider.*``: general options typed, the others checked texts.

An attribute of a message that cannot be read is left out with a warning; a credential
that cannot be is a fault.

Spec: Push Notification Service, "Providers".

PURE.  Knows: which option may stand where, other spellings.  Does not know: what belongs
together (``push_checks.py``), files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from gms_twisted.config.push_options import PushOptions
from gms_twisted.config.push_provider_options import (
    ALIASES,
    DEBUG,
    CredentialOptions,
    FormattingOptions,
)
from gms_twisted.config.reading import (
    BadValue,
    OptionSpec,
    Problems,
    read_values,
    specs_of,
    suggestion,
)
from gms_twisted.config.text import Entry, Section
from gms_twisted.domain.notifications import NotificationType
from gms_twisted.domain.push_sections import PROVIDER, PUSH, parse_push_section

GENERAL = specs_of(PushOptions)
CREDENTIALS: Mapping[str, OptionSpec] = {
    prefix + name: spec
    for prefix in ("", DEBUG)
    for name, spec in specs_of(CredentialOptions).items()
}
"""By name, the debug twins too."""
FORMATTING = specs_of(FormattingOptions)

_TYPES = tuple(one.value for one in NotificationType)
_EXPIRATION = "defaultSubscriptionExpiration"
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
_MAX_COLLAPSE_ID_BYTES = 64

Texts = dict[str, dict[str, str]]


def is_push(name: str) -> bool:
    """Tell whether a section is one of push, by the beginning of its name."""
    return name == PUSH or name.startswith(PROVIDER)


def read_push(sections: Mapping[str, Section], problems: Problems) -> tuple[PushOptions, Texts]:
    """Read every section of push.

    :returns: the general options, and by section the texts of credentials and formatting
        options, under the names that ``push_provider_options.py`` has.
    """
    texts: Texts = {}
    for name, section in sections.items():
        if not is_push(name):
            continue
        if parse_push_section(name) is None:
            sentence = "a provider has a name without dots; this section is ignored"
            problems.warn(section, "", sentence)
            continue
        texts[name] = _read_texts(one_spelling(section, problems), problems)
    general = sections.get(PUSH, Section(PUSH, "", 0))
    return PushOptions(**_read_general(general, problems)), texts


def one_spelling(section: Section, problems: Problems | None = None) -> Section:
    """Give a section's options the names that ``push_provider_options.py`` has.

    Their places in the file stay.  Of two spellings of one option the command line's
    counts, then the usual one.
    """
    entries: dict[str, Entry] = {}
    usual: dict[str, bool] = {}
    for key, entry in section.entries.items():
        prefix = DEBUG if key.startswith(DEBUG) else ""
        name = prefix + ALIASES.get(key[len(prefix) :], key[len(prefix) :])
        if name in entries:
            if problems is not None:
                problems.warn(section, key, f"this is {name}, which is there too")
            if (entry.overrides, key == name) < (entries[name].overrides, usual[name]):
                continue
        entries[name], usual[name] = entry, key == name
    return replace(section, entries=entries)


def _read_general(section: Section, problems: Problems) -> dict[str, Any]:
    entries = dict(section.entries)
    expiration = entries.get(_EXPIRATION)
    if expiration is not None:
        try:
            GENERAL[_EXPIRATION].read(expiration.text)
        except BadValue as reason:
            problems.warn(section, _EXPIRATION, f"{reason}; 30 is used")
            del entries[_EXPIRATION]
    values = read_values(replace(section, entries=entries), PushOptions, problems)
    if "push_enabled" in values:
        words = [word.lower() for word in values["push_enabled"]]
        for word in words:
            if word not in _TYPES:
                sentence = f"there is no type {word!r}{suggestion(word, _TYPES)}"
                problems.warn(section, "pushEnabled", sentence)
        values["push_enabled"] = tuple(dict.fromkeys(word for word in words if word in _TYPES))
    return values


def _read_texts(section: Section, problems: Problems) -> dict[str, str]:
    parsed = parse_push_section(section.name)
    assert parsed is not None
    about_events = parsed.event is not None
    known: dict[str, OptionSpec] = dict(FORMATTING)
    if not about_events:
        known |= CREDENTIALS
    if section.name == PUSH:
        known |= GENERAL
    texts: dict[str, str] = {}
    for name, entry in section.entries.items():
        if name in known:
            if name not in GENERAL or section.name != PUSH:
                _read_text(section, name, entry.text, texts, problems)
        elif about_events and name in CREDENTIALS:
            problems.warn(section, name, _misplaced(section.name))
        elif name in GENERAL:
            problems.warn(section, name, "this option counts in section push only")
        else:
            problems.warn(section, name, f"there is no such option{suggestion(name, known)}")
    return texts


def _misplaced(section: str) -> str:
    where = "credentials count in push and push.provider.NAME only"
    if section == f"{PROVIDER}event":
        return f"{where}, and no provider can be called event"
    return where


def _read_text(
    section: Section, name: str, text: str, texts: dict[str, str], problems: Problems
) -> None:
    spec = CREDENTIALS.get(name) or FORMATTING[name]
    if not text:
        texts[name] = text
        return
    try:
        value, warning = spec.read(text)
        if check := _FORMS.get(name):
            check(text)
    except BadValue as reason:
        if name in CREDENTIALS:
            problems.fault(section, name, str(reason))
        else:
            problems.warn(section, name, f"{reason}; it is ignored")
        return
    if warning:
        problems.warn(section, name, warning)
    if value is None:
        texts[name] = ""
    else:
        # A word gets its usual case, a number its bound; else the text stays as it is.
        texts[name] = spec.write(value) if warning or spec.words else text


def _json_object(text: str) -> None:
    try:
        valid = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        valid = False
    if not valid:
        raise BadValue("this is not a JSON object")


def _topic(text: str) -> None:
    if not _TOPIC.fullmatch(text):
        raise BadValue(f"{text!r} is not 1 to 32 letters, digits, - and _")


def _collapse_id(text: str) -> None:
    if len(text.encode()) > _MAX_COLLAPSE_ID_BYTES:
        raise BadValue(f"this is longer than {_MAX_COLLAPSE_ID_BYTES} bytes")


_FORMS: Mapping[str, Callable[[str], None]] = {
    "fcm.android.json": _json_object,
    "fcm.apns.json": _json_object,
    "fcm.webpush.json": _json_object,
    "webpush.topic": _topic,
    "apple.collapseId": _collapse_id,
}
"""What formatting options must look like beyond their types."""

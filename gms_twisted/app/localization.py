"""Texts of messages in the language of each subscription, with arguments put in.

The message of an event with ``mediaType`` ``localizestring`` is an id of the
localization file.  Whatever cannot be found, the event goes out: with its message as it
is, or with the reference to an argument as it stands in the text.

Spec: Push Notification Service, "Localization of push messages"; Localization File.

Knows: the choice of a language, arguments, when the file is read again.  Does not know:
the file's form, how it is read, subscriptions.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gms_twisted.app.health import Health
from gms_twisted.app.localization_file import (
    TEXT,
    BrokenFile,
    Finding,
    Locale,
    MessageTable,
    TableReading,
)
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.languages import compared, language_part
from gms_twisted.domain.sources import Timers

CHECK_EVERY_S = 1.0
MAX_TEXT_CHARACTERS = 1024 * 1024
MAX_NAME_CHARACTERS = 1024
MAX_NAME_PARTS = 64
MAX_SHOWN_WARNINGS = 20

UNKNOWN_ID = "gms_loc_unknown_id_total"
MISSING_LOCALE = "gms_loc_missing_locale_total"
MISSING_ARGUMENT = "gms_loc_missing_arg_total"

_PART, _BRACED_PART = "[A-Za-z0-9_]+", "[A-Za-z0-9_-]+"
_REFERENCE = re.compile(
    rf"\$(?:\{{({_BRACED_PART}(?:\.{_BRACED_PART})*)\}}|({_PART}(?:\.{_PART})*))"
)


@dataclass(frozen=True, slots=True)
class Arguments:
    """What references in a text stand for.

    :ivar values: by name, parts joined by dots; ``None`` for what has no text.
    :ivar most_parts: of any name.
    """

    values: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    most_parts: int = 0


def check_arguments(value: object, parameter: str = "locArgs") -> Arguments:
    """Flatten arguments of either style: dotted names, or objects in objects.

    :param value: what a client sent, of any JSON type; ``None`` for nothing.
    :raises InvalidRequest: it is no object, or has a name that is too long.
    """
    if value is None:
        return Arguments()
    if not isinstance(value, dict):
        raise InvalidRequest(f"{parameter} must be an object.", parameter)
    values: dict[str, str | None] = {}
    waiting: deque[tuple[str, object]] = deque(value.items())
    while waiting:
        name, one = waiting.popleft()
        if len(name) > MAX_NAME_CHARACTERS:
            sentence = f"{parameter} has a name of more than {MAX_NAME_CHARACTERS} characters."
            raise InvalidRequest(sentence, parameter)
        # Choice: names nearer to the top win, so a literally dotted one does.
        values.setdefault(name, _text_of(one))
        if isinstance(one, dict):
            waiting.extend((f"{name}.{key}", inner) for key, inner in one.items())
    return Arguments(values, max((name.count(".") + 1 for name in values), default=0))


def _text_of(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return None


def substitute(text: str, arguments: Arguments) -> tuple[str, int]:
    """Put arguments in, in a single pass: what is put in is not looked at again (N14).

    ``$a.b.c`` is the longest of ``a.b.c``, ``a.b`` and ``a`` that there is; ``${a.b}``
    is that one or none.

    :returns: the text, and how many references stay in it.
    """
    missing = 0
    room = MAX_TEXT_CHARACTERS - len(text)

    def replaced(found: re.Match[str]) -> str:
        nonlocal missing, room
        name = found[1] or found[2]
        for length in _lengths(name, arguments) if found[1] is None else (len(name),):
            if name[:length] not in arguments.values:
                continue
            value = arguments.values[name[:length]]
            # Choice: a value for which there is no room in any message is no value.
            if value is None or len(value) > room:
                break
            room -= len(value)
            return value + name[length:]
        missing += 1
        return found[0]

    return _REFERENCE.sub(replaced, text), missing


def _lengths(name: str, arguments: Arguments) -> Iterator[int]:
    """Where a name may end, at its last part first; never with more parts than any has."""
    parts = name.split(".")
    count = min(len(parts), arguments.most_parts, MAX_NAME_PARTS)
    length = len(".".join(parts[:count]))
    while count:
        yield length
        count -= 1
        length -= len(parts[count]) + 1


def choose(
    locales: Mapping[str, Locale], language: str, default_language: str = ""
) -> Locale | None:
    """Choose a message's locale that has a text.

    In turn: the language itself, its language part, the first of the file with the same
    language part; then the same for the default language.
    """
    for wanted in (language, default_language):
        if not wanted:
            continue
        part = language_part(wanted)
        for place in (compared(wanted), part):
            if place in locales and TEXT in locales[place].entries:
                return locales[place]
        for place, locale in locales.items():
            if language_part(place) == part and TEXT in locale.entries:
                return locale
    return None


@dataclass(frozen=True, slots=True)
class Localized:
    """A message in one language.

    :ivar entries: the other entries of its locale, by key, arguments put in.
    """

    text: str = field(repr=False)
    entries: Mapping[str, str] = field(default_factory=dict, repr=False)


class LocalizedEvent:
    """One event's message, in whatever languages its subscriptions have.

    All from one state of the file, whenever that changes (L04).
    """

    def __init__(
        self,
        table: MessageTable,
        default_language: str,
        message: str,
        arguments: Arguments,
        counters: Counters,
    ) -> None:
        self._locales = table.messages.get(message)
        self._default_language = default_language
        self._message = message
        self._arguments = arguments
        self._counters = counters
        self._made: dict[str, Localized] = {}

    def in_language(self, language: str | None) -> Localized:
        """Give the message in a subscription's language; ``None`` or ``""``: as it is."""
        if not language:
            return Localized(self._message)
        place = compared(language)
        if place not in self._made:
            self._made[place] = self._make(place)
        return self._made[place]

    def _make(self, language: str) -> Localized:
        # Choice: the reference does not say what becomes of unknown ids and languages.
        if self._locales is None:
            self._counters.add(UNKNOWN_ID)
            return Localized(self._message)
        locale = choose(self._locales, language, self._default_language)
        if locale is None:
            self._counters.add(MISSING_LOCALE)
            return Localized(self._message)
        filled = {}
        for key, entry in locale.entries.items():
            filled[key], missing = substitute(entry, self._arguments)
            if missing:
                self._counters.add(MISSING_ARGUMENT, missing)
        return Localized(filled.pop(TEXT), filled)


class FileSource(Protocol):
    """Where the file is."""

    def stamp(self) -> object | None:
        """Something that changes with the file, at once; ``None``: it is not there."""

    async def read(self) -> bytes:
        """Read it, up to one byte above the limit.

        :raises OSError: it cannot be read.
        """


class Localization:
    """The localization file, read again when it changes.

    :param source: ``None`` when no file is configured.
    :param default_language: ``push/localization.defaultLanguage``, or ``""``.
    """

    log = Logger()

    def __init__(
        self,
        source: FileSource | None,
        default_language: str,
        tasks: Tasks,
        timers: Timers,
        counters: Counters,
    ) -> None:
        self._source = source
        self._default_language = default_language
        self._tasks = tasks
        self._timers = timers
        self._counters = counters
        self._table = MessageTable()
        self._stamp: object | None = None
        self._checked_at = float("-inf")
        self._reading = False
        self._broken: Finding | None = None

    def reconfigure(self, source: FileSource | None, default_language: str) -> None:
        """Take new options; another file is read before the next event or soon after.

        :param source: the former one when the file is the same.
        """
        self._default_language = default_language
        if source is not self._source:
            self._source = source
            self._stamp, self._checked_at = None, float("-inf")
            if source is None:
                self._table, self._broken = MessageTable(), None
            else:
                self._look()

    async def load(self) -> None:
        """Read the file for the first time; a broken one leaves the table empty."""
        if self._source is not None:
            self._checked_at = self._timers.seconds()
            await self._read(self._source, self._source.stamp())

    def event(self, message: str, arguments: Arguments) -> LocalizedEvent:
        """Prepare an event, from the file as it is known now.

        Looks after the file, at most once a second; one that has changed is read
        meanwhile, and counts from the next event on.
        """
        self._look()
        return LocalizedEvent(
            self._table, self._default_language, message, arguments, self._counters
        )

    def health(self) -> Health:
        """Whether the file is in use as it stands there."""
        if self._source is None:
            return Health(True, {"messages": 0, "file": False})
        shown = [
            {"line": one.line, "sentence": one.sentence}
            for one in self._table.warnings[:MAX_SHOWN_WARNINGS]
        ]
        details: dict[str, object] = {
            "file": True,
            "messages": len(self._table.messages),
            "warnings": len(self._table.warnings),
            "first_warnings": shown,
        }
        if self._broken is not None:
            details["fault"] = self._broken.sentence
            details["fault_line"] = self._broken.line
        return Health(self._broken is None, details)

    def _look(self) -> None:
        source, now = self._source, self._timers.seconds()
        if source is None or self._reading or now - self._checked_at < CHECK_EVERY_S:
            return
        self._checked_at = now
        stamp = source.stamp()
        if stamp != self._stamp:
            self._tasks.spawn("reading the localization file", self._read(source, stamp))
        elif stamp is None and self._broken is None:
            self._keep(Finding(0, "the file is not there"))

    async def _read(self, source: FileSource, stamp: object | None) -> None:
        self._reading = True
        try:
            table = await self._parsed(source)
        except BrokenFile as error:
            broken: Finding | None = Finding(error.line, error.sentence)
        except OSError as error:
            broken = Finding(0, f"the file cannot be read: {error.strerror or 'unknown reason'}")
        else:
            broken = None
        finally:
            self._reading = False
        if source is not self._source:
            return
        self._stamp = stamp
        if broken is not None:
            self._keep(broken)
            return
        self._table, self._broken = table, None
        self.log.info(
            "The localization file has {messages} messages, {warnings} warnings",
            messages=len(table.messages),
            warnings=len(table.warnings),
        )

    def _keep(self, broken: Finding) -> None:
        """Go on with what is known, and say why."""
        self._broken = broken
        self.log.warn(
            "The localization file cannot be used, line {line}: {sentence}; "
            "{messages} messages stay as they were",
            line=broken.line,
            sentence=broken.sentence,
            messages=len(self._table.messages),
        )

    async def _parsed(self, source: FileSource) -> MessageTable:
        reading = TableReading(await source.read())
        for _ in reading.steps():
            await self._turn()
        return reading.table()

    async def _turn(self) -> None:
        """Let everybody else have their turn."""
        turn: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._timers.callLater(0, turn.callback, None)
        await turn

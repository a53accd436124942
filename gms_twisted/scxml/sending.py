"""``<send>``: to whom, when, and what.

SCXML: "send", "Event I/O Processors".

Knows: targets, delays, rates.  Does not know: who else there is; that is the host's.
"""

from __future__ import annotations

import json
import re
from urllib.parse import quote, urlencode

from gms_twisted.scxml.bridge import ScriptFailed, ScriptStopped
from gms_twisted.scxml.delays import read_delay
from gms_twisted.scxml.effects import PostEvent, SendToSession
from gms_twisted.scxml.events import INTERNAL
from gms_twisted.scxml.execution import ContentFailed, Execution
from gms_twisted.scxml.machine import HTTP_PROCESSOR, SCXML_PROCESSOR, Machine, Pending, as_text
from gms_twisted.scxml.model import Dialect, Send, Source, Word
from gms_twisted.scxml.queued_events import QueuedEvent

_SCXML_TYPES = ("", "scxml", SCXML_PROCESSOR, SCXML_PROCESSOR.rstrip("/"))
_HTTP_TYPES = ("basichttp", "http", HTTP_PROCESSOR)

_SESSION_ID = re.compile(r"[0-9A-Za-z~_.-]{8,200}")
"""What may be a session that the host knows of; for anything else no host need be asked."""


class Sending(Execution):
    """A session that can send."""

    __slots__ = ()

    def _do_send(self, content: Send) -> None:
        send_id = self._send_id(content)
        try:
            self._send(content, send_id)
        except ScriptFailed as exc:
            self._error(
                "value", str(exc), content.line, kind=exc.kind, element="send", send_id=send_id
            )
            self._strike_if_stopped(exc, content.line)
            raise ContentFailed from None

    def _send_id(self, content: Send) -> str | None:
        send_id = content.send_id
        if content.id_location is not None:
            send_id = send_id or self._setting.new_id()
            try:
                self._run(content.id_location, json.dumps(send_id))
            except ScriptFailed as exc:
                self._failed(exc, content.id_location, "value", "send")
                raise ContentFailed from None
        return send_id

    def _word(self, word: Word) -> object:
        return self._value(word) if isinstance(word, Source) else word

    def _send(self, content: Send, send_id: str | None) -> None:
        old = self._document.dialect is Dialect.ORCHESTRATION
        name = as_text(self._word(content.event))
        target = as_text(self._word(content.target))
        kind = as_text(self._word(content.type))
        delay = self._delay(content, send_id)
        data, markup = self._payload(content.payload, "send", strict=not old)
        fields: tuple[tuple[str, str], ...] | None = None
        if kind in _HTTP_TYPES or (old and not kind and target.startswith(("http:", "https:"))):
            kind, address = "http", target
            if not target:
                self._refuse("communication", "a post needs a target", content, send_id)
            fields, data = self._form(name, content, data)
        elif kind not in _SCXML_TYPES:
            self._refuse("send", f"there is no type {kind!r}", content, send_id)
        else:
            kind, address = self._route(target, content, send_id, old)
            if not old and kind == "internal" and delay > 0:
                self._refuse("send", "what is sent inside has no delay", content, send_id)
        if not name and kind != "http":
            self._refuse("send", "the event has no name", content, send_id)
        event = QueuedEvent(name, data, send_id=send_id, markup=markup)
        if kind == "internal":
            event.type = INTERNAL
        else:
            event.origin = f"#_scxml_{self._session_id}"
            event.origin_type = SCXML_PROCESSOR
            event.invoke_id = self._invoke_id if kind == "parent" else None
        pending = Pending(self._now + delay, send_id, kind, address, event, fields)
        self._spend(content, send_id)
        if delay <= 0:
            self._deliver(pending)
            return
        if len(self._pending) >= self._setting.limits.pending_sends:
            self._error("send", "too many wait", content.line, element="send", send_id=send_id)
            self._strike(f"too many delayed <send> wait at line {content.line}")
            raise ContentFailed
        self._pending.append(pending)

    def _refuse(self, where: str, why: str, content: Send, send_id: str | None) -> None:
        self._error(where, why, content.line, element="send", send_id=send_id)
        raise ContentFailed

    def _strike_if_stopped(self, failure: ScriptFailed, line: int) -> None:
        if isinstance(failure, ScriptStopped):
            self._strike(f"a script at line {line} was stopped: {failure.message}")

    def _delay(self, content: Send, send_id: str | None) -> float:
        if content.delay is None:
            return 0.0
        old = self._document.dialect is Dialect.ORCHESTRATION
        value = self._word(content.delay)
        if old and value in ("undefineds", "undefined", None):
            # Choice: the sum of an absent ttl and 's'; the service's own ttl is meant.
            value = self._ttl()
        delay = read_delay(value, bare_seconds=old)
        if delay is None:
            self._refuse("send", f"{as_text(value)[:100]!r} is no delay", content, send_id)
            raise ContentFailed
        if delay > self._setting.limits.longest_delay_s:
            self._refuse("send", "the delay is longer than allowed", content, send_id)
        return delay

    def _ttl(self) -> object:
        """Seconds that the service lives."""
        raise NotImplementedError

    def _spend(self, content: Send, send_id: str | None) -> None:
        """Take one of the sends that there are for this second."""
        rate = float(self._setting.limits.sends_per_s)
        passed = max(0.0, self._now - self._send_time)
        self._send_time = self._now
        self._send_tokens = min(rate, self._send_tokens + passed * rate)
        if self._send_tokens < 1.0:
            self._error(
                "send", "too many in a second", content.line, element="send", send_id=send_id
            )
            self._strike(f"more <send> than {rate:.0f} a second at line {content.line}")
            raise ContentFailed
        self._send_tokens -= 1.0

    def _form(
        self, name: str, content: Send, data: str | None
    ) -> tuple[tuple[tuple[str, str], ...] | None, str | None]:
        """The fields of a post, or its body."""
        value = None if data is None else json.loads(data)
        if content.payload.content is not None:
            if isinstance(content.payload.content, Source) or not name:
                return None, json.dumps(as_text(value))
            return (("_scxmleventname", name), ("content", as_text(value))), None
        fields = [("_scxmleventname", name)] if name else []
        if isinstance(value, dict):
            fields.extend((key, as_text(item)) for key, item in value.items())
        return tuple(fields), None

    def _route(self, target: str, content: Send, send_id: str | None, old: bool) -> tuple[str, str]:
        if not target or target == f"#_scxml_{self._session_id}":
            return "external", ""
        if target == "#_internal" or (old and target == "_internal"):
            return "internal", ""
        if target == "#_parent" or (old and target == "_parent"):
            return "parent", ""
        if target.startswith("#_scxml_"):
            return "session", target[len("#_scxml_") :]
        if target.startswith("#_"):
            return "child", target[2:]
        if old and target == self._session_id:
            return "external", ""
        if old and target.isalnum():
            return "session", target
        self._refuse("send", f"there is no target {target[:100]!r}", content, send_id)
        raise ContentFailed

    def _deliver(self, pending: Pending) -> None:
        """Put a sent event where it goes."""
        kind, event = pending.kind, pending.event
        if kind == "internal":
            self._enqueue(event)
        elif kind == "external":
            self._enqueue_external(event, self)
        elif kind == "http":
            body = "" if event.data is None else as_text(json.loads(event.data))
            if pending.address == self._location:
                self._enqueue_external(posted(pending.fields, body), self)
                return
            self._remember(event.send_id)
            post = PostEvent(pending.address, pending.fields, body, event.send_id)
            self._ask(post, len(body) + sum(len(value) for _, value in pending.fields or ()))
        elif not self._deliver_near(kind, pending.address, event):
            if kind != "session" or not _SESSION_ID.fullmatch(pending.address):
                self._error(
                    "communication",
                    f"there is no {kind} {pending.address!r}",
                    0,
                    element="send",
                    send_id=event.send_id,
                )
                return
            self._remember(event.send_id)
            data = None if event.data is None else json.loads(event.data)
            self._ask(
                SendToSession(
                    pending.address, event.name, data, event.send_id, event.data is not None
                ),
                len(event.data or ""),
            )

    def _enqueue_external(self, event: QueuedEvent, sender: Machine) -> None:
        """Put an event into the external queue; that it is full is the sender's fault."""
        if len(self._external) >= self._setting.limits.queued_events:
            sender._strike("too many external events wait")
            return
        self._external.append(event)

    def _deliver_near(self, kind: str, address: str, event: QueuedEvent) -> bool:
        """Give an event to a chart of the same tree, if it is for one."""
        raise NotImplementedError

    def _remember(self, token: str | None) -> None:
        """An answer with this token is for this chart."""
        raise NotImplementedError


def posted(fields: tuple[tuple[str, str], ...] | None, body: str) -> QueuedEvent:
    """The event that a post to a session's own location is; it needs no network.

    SCXML: "Basic HTTP Event I/O Processor".
    """
    head = "POST basichttp HTTP/1.1\r\n\r\n"
    if fields is None:
        return QueuedEvent("HTTP.POST", json.dumps(body), raw=head + quote(body))
    given = dict(fields)
    name = given.pop("_scxmleventname", "") or "HTTP.POST"
    return QueuedEvent(name, json.dumps(given), raw=head + urlencode(fields))


Sending._handlers[Send] = Sending._do_send

"""What must hold of things that come one after the other: events, messages, timers.

Knows: what the API promises.  Does not know: how it is kept, which faults there were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.soak.history import Operation, by_key


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken.

    :ivar rule: which, in a few words that are the same each time.
    :ivar at: seconds since the run began.
    """

    workload: str
    rule: str
    key: str
    at: float
    text: str


# Notifications: one order for each user.


def check_notifications(operations: Iterable[Operation]) -> list[Violation]:
    """What a Bayeux session gets is in the publisher's order, and nothing comes twice.

    ``publish`` (key: user; asked ``number``), ``event`` (key: user; got ``session``, ``number``).
    One publisher a user, one publish after the other.  A publish whose outcome is unknown may be
    overtaken by later ones; so may one that another node took, since what two nodes tell a third
    one has no common order.
    """
    found: list[Violation] = []
    for one in by_key(operations, "notify"):
        sent = {int(op.asked["number"]): op for op in one if op.action == "publish"}
        sessions: dict[str, list[Operation]] = {}
        for op in one:
            if op.action == "event":
                sessions.setdefault(str(op.got["session"]), []).append(op)
        for events in sessions.values():
            numbers = [int(op.got["number"]) for op in events]
            found += [
                Violation("notify", rule, op.key, op.begin, _around(number, numbers))
                for op, number, rule in _events(events, sent)
            ]
    return found


def _events(
    events: Iterable[Operation], sent: dict[int, Operation]
) -> Iterable[tuple[Operation, int, str]]:
    seen: set[int] = set()
    highest: dict[int, int] = {}
    for event in events:
        number = int(event.got["number"])
        if number in seen:
            yield event, number, "a session was told twice"
        elif number not in sent:
            yield event, number, "a session was told what nobody published"
        elif sent[number].done and number < highest.get(sent[number].node, 0):
            yield event, number, "a session was told out of order"
        seen.add(number)
        if number in sent and sent[number].done:
            node = sent[number].node
            highest[node] = max(highest.get(node, 0), number)


def _around(number: int, numbers: list[int]) -> str:
    places = [place for place, one in enumerate(numbers) if one == number]
    parts = [numbers[max(0, place - 4) : place + 5] for place in places]
    return f"number {number} in {' and '.join(map(str, parts))}"


def overtaken(operations: Iterable[Operation]) -> int:
    """Confirmed events that a session got after a later one of the same user: a figure."""
    count = 0
    for one in by_key(operations, "notify"):
        sent = {int(op.asked["number"]) for op in one if op.action == "publish" and op.done}
        highest: dict[str, int] = {}
        for op in one:
            if op.action == "event" and int(op.got["number"]) in sent:
                session, number = str(op.got["session"]), int(op.got["number"])
                count += number < highest.get(session, 0)
                highest[session] = max(highest.get(session, 0), number)
    return count


def missed(operations: Iterable[Operation]) -> int:
    """Confirmed events that a session did not get between two that it got.

    What goes from node to node may be lost with either of them: a figure, not a violation.
    """
    count = 0
    for one in by_key(operations, "notify"):
        sent = {int(op.asked["number"]) for op in one if op.action == "publish" and op.done}
        sessions: dict[str, set[int]] = {}
        for op in one:
            if op.action == "event":
                sessions.setdefault(str(op.got["session"]), set()).add(int(op.got["number"]))
        for got in sessions.values():
            count += len([each for each in sent if min(got) < each < max(got)]) - len(
                [each for each in got & sent if min(got) < each < max(got)]
            )
    return count


# Chats: a log with several writers.


def check_chats(operations: Iterable[Operation]) -> list[Violation]:
    """Each confirmed message is in the transcript once, each unknown one at most once, in order.

    ``send`` (key: service; asked ``sender``, ``text``), ``seen`` (got ``reader``, ``text``),
    ``transcript`` (got ``texts``: all, read when nothing more was sent); one that says that
    there is no such chat has ``missing`` in ``got``.  A reader is one customer who polls, or one
    Bayeux session; together those of a chat must have seen everything.  What comes with an id that
    its user knows has ``again`` in ``got``.
    """
    found: list[Violation] = []
    for one in by_key(operations, "chat"):
        finals = [op for op in one if op.action == "transcript" and op.done]
        if not finals:
            text = "nobody could read it at the end"
            found.append(Violation("chat", "a transcript is lost", one[0].key, one[-1].end, text))
            continue
        for final in finals:
            found += _sent(one, [str(text) for text in final.got["texts"]], final.end)
        found += _seen(one, [str(text) for text in finals[-1].got["texts"]])
        found += [
            Violation("chat", "a live chat is unknown", op.key, op.begin, f"{op.action}: {op.why}")
            for op in one
            if op.got.get("missing")
        ]
    return found


def _sent(operations: Sequence[Operation], texts: list[str], at: float) -> Iterable[Violation]:
    places = {text: place for place, text in enumerate(texts)}
    counts = Counter(texts)
    key = operations[0].key
    last: dict[str, tuple[int, str]] = {}
    sent = [op for op in operations if op.action == "send"]
    for op in sent:
        text, sender = str(op.asked["text"]), str(op.asked["sender"])
        count = counts.pop(text, 0)
        if count > 1:
            yield Violation("chat", "a message is there twice", key, op.begin, text)
        if op.done and not count:
            yield Violation("chat", "a confirmed message is lost", key, op.begin, text)
        if count and not op.done and not op.unknown:
            yield Violation("chat", "a refused message is there", key, op.begin, text)
        if op.done and count:
            place, before = last.get(sender, (-1, ""))
            if places[text] < place:
                said = f"{text} before {before}"
                yield Violation("chat", "messages changed places", key, op.begin, said)
            last[sender] = max((place, before), (places[text], text))
    for text in counts:
        yield Violation("chat", "a message that nobody sent is there", key, at, text)


def _seen(operations: Sequence[Operation], texts: list[str]) -> Iterable[Violation]:
    places = {text: place for place, text in enumerate(texts)}
    readers: dict[str, list[Operation]] = {}
    for op in operations:
        if op.action == "seen":
            readers.setdefault(str(op.got["reader"]), []).append(op)
    never = set(texts).difference(str(op.got["text"]) for seen in readers.values() for op in seen)
    if readers and never:
        op, text = operations[-1], f"{sorted(never)} of {len(texts)}"
        yield Violation("chat", "the customer never saw a message", op.key, op.end, text)
    for reader, seen in readers.items():
        shown: set[str] = set()
        for op in seen:
            text = str(op.got["text"])
            said = f"{text}, to {reader}"
            if text in shown and not op.got.get("again"):
                yield Violation("chat", "a message was shown twice", op.key, op.begin, said)
            if text not in places:
                yield Violation("chat", "a message was shown and is lost", op.key, op.begin, said)
            shown.add(text)
        known = [op for op in seen if str(op.got["text"]) in places]
        yield from _ordered(
            reader, known, [places[str(op.got["text"])] for op in known], reader == [*readers][-1]
        )


def _ordered(
    reader: str, seen: Sequence[Operation], places: list[int], is_last: bool
) -> Iterable[Violation]:
    """Places only grow; where they go back all that follows comes again, nothing left out.

    A session may end meanwhile, but not the last one.
    """
    rule, top = "messages were shown in another order", -1
    for number, place in enumerate(places):
        before = places[number - 1] if number else -1
        if before < top and before + 1 < place:
            op, text = (
                seen[number],
                f"{seen[number].got['text']} after {seen[number - 1].got['text']}",
            )
            yield Violation("chat", rule, op.key, op.begin, f"{text}, to {reader}")
        top = max(top, place)
    if is_last and places and places[-1] < top:
        op = seen[-1]
        text = f"{op.got['text']} is the last, to {reader}"
        yield Violation("chat", rule, op.key, op.begin, text)


# Timers of sessions: each fires once.


def check_timers(operations: Iterable[Operation]) -> list[Violation]:
    """Each number of a session is published under one id, none is left out, counts only grow.

    ``start`` (key: session), ``fired`` (got ``number``, ``id``), ``status`` (got ``count``, or
    ``missing``), ``final``: the last status, asked when nothing breaks any more; of its ``count``
    numbers those in ``failed`` may not have come, and none may be in ``sent``: under way still.
    """
    found: list[Violation] = []
    for one in by_key(operations, "timer"):
        found += _fired(one)
        found += _counted(one)
    return found


def _fired(operations: Sequence[Operation]) -> Iterable[Violation]:
    ids: dict[int, str] = {}
    finals = [op for op in operations if op.action == "final" and op.done]
    for op in operations:
        if op.action != "fired":
            continue
        number, name = int(op.got["number"]), str(op.got["id"])
        if ids.setdefault(number, name) != name:
            text = f"number {number}: {ids[number]} and {name}"
            yield Violation("timer", "a timer fired twice", op.key, op.begin, text)
    at = operations[-1].end
    if not any(op.action == "start" and op.done for op in operations):
        return  # whoever asked for it does not know it
    if not finals:
        yield Violation("timer", "a session is not there at the end", operations[0].key, at, "")
        return
    said = finals[-1].got
    if under_way := said.get("sent"):
        text = f"numbers {sorted(under_way.values())}"
        yield Violation("timer", "a publish never ends", operations[0].key, at, text)
    known = {*ids, *said.get("failed", ()), *said.get("sent", {}).values()}
    if lost := [number for number in range(1, int(said["count"]) + 1) if number not in known]:
        text = f"{lost} of {said['count']}"
        yield Violation("timer", "what a timer published is lost", operations[0].key, at, text)


def _counted(operations: Sequence[Operation]) -> Iterable[Violation]:
    asked = [op for op in operations if op.action in ("status", "final")]
    started = any(op.action == "start" and op.done for op in operations)
    for op in asked:
        if op.got.get("missing") and started:
            yield Violation("timer", "a live session is unknown", op.key, op.begin, op.why)
    highest: tuple[int, float] = (0, 0.0)
    for op in sorted((op for op in asked if op.done), key=lambda each: each.end):
        count = int(op.got["count"])
        if count < highest[0] and op.begin > highest[1]:
            text = f"{highest[0]}, then {count}"
            yield Violation("timer", "a session forgot what it did", op.key, op.begin, text)
        highest = max(highest, (count, op.end))

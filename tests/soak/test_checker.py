"""The checker sees each promise broken, and takes nothing for broken that is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.soak.check_streams import (
    Violation,
    check_chats,
    check_notifications,
    check_timers,
    missed,
    overtaken,
)
from tests.soak.checker import LATE_S, check, check_access, check_storage
from tests.soak.history import History, Operation, Outcome, read_history

DONE, REFUSED, UNKNOWN = Outcome.DONE, Outcome.REFUSED, Outcome.UNKNOWN


class Script:
    """Writes a history, one operation a second, unless it says when."""

    def __init__(self, workload: str) -> None:
        self.workload = workload
        self.operations: list[Operation] = []

    def add(
        self,
        action: str,
        key: str = "k",
        outcome: Outcome = DONE,
        *,
        at: float | None = None,
        until: float | None = None,
        asked: dict[str, Any] | None = None,
        node: int = 0,
        **got: Any,
    ) -> Script:
        """Note an operation; half a second long."""
        begin = float(len(self.operations)) if at is None else at
        end = begin + 0.5 if until is None else until
        self.operations.append(
            Operation(self.workload, action, key, begin, end, outcome, asked or {}, got, node)
        )
        return self


def rules(found: Sequence[Violation]) -> list[str]:
    """What was broken."""
    return [one.rule for one in found]


class StorageTests(SynchronousTestCase):
    """Areas are registers."""

    def script(self) -> Script:
        """An area that holds 1."""
        return Script("storage").add("create", asked={"value": "1"})

    def broken(self, script: Script) -> list[str]:
        """What the checker says."""
        return rules(check_storage(script.operations))

    def test_what_was_confirmed_is_read(self) -> None:
        """Also when it is deleted."""
        script = self.script().add("read", value="1").add("update", asked={"value": "2"})
        script.add("read", value="2").add("delete").add("read", "k", REFUSED, missing=True)
        self.assertEqual(self.broken(script), [])

    def test_an_old_value_is_a_lost_write(self) -> None:
        """The update was confirmed."""
        script = self.script().add("update", asked={"value": "2"}).add("read", value="1")
        self.assertEqual(self.broken(script), ["a confirmed write is lost"])

    def test_a_write_of_unknown_outcome_may_be_there_or_not(self) -> None:
        """Once it was read it stays."""
        for value in ("1", "2"):
            script = self.script().add("update", "k", UNKNOWN, asked={"value": "2"})
            script.add("read", value=value)
            self.assertEqual(self.broken(script), [])
        script.add("read", value="1")
        self.assertEqual(self.broken(script), ["a confirmed write is lost"])

    def test_a_write_of_unknown_outcome_may_come_after_a_confirmed_one(self) -> None:
        """A node that was stopped goes on with it."""
        script = self.script().add("update", "k", UNKNOWN, asked={"value": "2"})
        script.add("update", asked={"value": "3"}).add("read", value="3").add("read", value="2")
        self.assertEqual(self.broken(script), [])

    def test_a_write_that_comes_much_too_late(self) -> None:
        """Somebody has looked meanwhile."""
        script = self.script().add("update", "k", UNKNOWN, asked={"value": "2"})
        script.add("read", at=LATE_S + 5, value="1").add("read", at=LATE_S + 6, value="2")
        self.assertEqual(self.broken(script), ["a write took effect too late"])

    def test_a_refused_write_is_not_there(self) -> None:
        """It was answered so."""
        script = self.script().add("update", "k", REFUSED, asked={"value": "2"})
        script.add("read", value="2")
        self.assertEqual(self.broken(script), ["a confirmed write is lost"])

    def test_a_value_of_nobody(self) -> None:
        """A phantom."""
        self.assertEqual(
            self.broken(self.script().add("read", value="7")),
            ["a value was read that nobody wrote"],
        )

    def test_half_an_update(self) -> None:
        """Its keys differ."""
        self.assertEqual(
            self.broken(self.script().add("read", torn=True)), ["half of an update was read"]
        )

    def test_an_area_that_is_lost(self) -> None:
        """Nobody deleted it; or somebody may have."""
        script = self.script().add("read", "k", REFUSED, missing=True)
        self.assertEqual(self.broken(script), ["a confirmed area is lost"])
        script = self.script().add("update", "k", REFUSED, asked={"value": "2"}, missing=True)
        self.assertEqual(self.broken(script), ["a confirmed area is lost"])
        script = self.script().add("delete", "k", UNKNOWN).add("read", "k", REFUSED, missing=True)
        self.assertEqual(self.broken(script), [])

    def test_an_area_that_comes_back(self) -> None:
        """Its end was confirmed, or seen."""
        script = self.script().add("delete").add("read", value="1")
        self.assertEqual(self.broken(script), ["a confirmed write is lost"])
        script = self.script().add("delete", "k", UNKNOWN).add("read", "k", REFUSED, missing=True)
        script.add("read", value="1")
        self.assertEqual(self.broken(script), ["a confirmed write is lost"])
        script = self.script().add("delete").add("update", asked={"value": "2"})
        self.assertEqual(self.broken(script), ["an update of what is gone was confirmed"])


class AccessTests(SynchronousTestCase):
    """Numbers are locks with a lifetime."""

    def book(
        self, script: Script, key: str, at: float, code: str = "", action: str = "create"
    ) -> None:
        """Book number 1 for ten seconds."""
        script.add(action, key, at=at, number="1", code=code, expires_s=10.0)

    def match(self, script: Script, key: str, at: float, outcome: Outcome = DONE) -> None:
        """Match number 1; without a key nobody is found."""
        missing = {"missing": True} if outcome is REFUSED else {}
        script.add("match", key, outcome, at=at, asked={"number": "1", "code": ""}, **missing)

    def broken(self, script: Script) -> list[str]:
        """What the checker says."""
        return rules(check_access(script.operations))

    def test_one_after_the_other(self) -> None:
        """Matched, deleted, moved, run out."""
        script = Script("access")
        self.book(script, "a", 0)
        self.match(script, "a", 1)
        self.book(script, "b", 2)
        script.add("delete", "b", at=3)
        self.book(script, "c", 4)
        self.book(script, "c", 5, action="move")
        self.match(script, "c", 6)
        self.book(script, "d", 7)
        self.book(script, "e", 17.5)
        self.assertEqual(self.broken(script), [])

    def test_two_at_once(self) -> None:
        """Nothing can have ended the first."""
        script = Script("access")
        self.book(script, "a", 0)
        self.book(script, "b", 2)
        self.assertEqual(self.broken(script), ["a number is given twice"])

    def test_two_with_codes(self) -> None:
        """The code is a part of it."""
        script = Script("access")
        self.book(script, "a", 0, "11")
        self.book(script, "b", 2, "22")
        self.assertEqual(self.broken(script), [])
        self.book(script, "c", 3, "22")
        self.assertEqual(self.broken(script), ["a number is given twice"])

    def test_an_end_that_may_have_happened(self) -> None:
        """A match, a delete, a move of unknown outcome."""
        for end in ("match", "delete", "move"):
            script = Script("access")
            self.book(script, "a", 0)
            if end == "match":
                self.match(script, "", 1, UNKNOWN)
            else:
                script.add(end, "a", UNKNOWN, at=1)
            self.book(script, "b", 2)
            self.assertEqual(self.broken(script), [], end)

    def test_a_booking_that_is_not_found(self) -> None:
        """It was confirmed, and its time is not over."""
        script = Script("access")
        self.book(script, "a", 0)
        self.match(script, "", 2, REFUSED)
        self.assertEqual(self.broken(script), ["a confirmed booking is not found"])
        script = Script("access")
        self.book(script, "a", 0)
        self.match(script, "", 9.9, REFUSED)
        self.assertEqual(self.broken(script), [])

    def test_matched_twice(self) -> None:
        """A match frees the number; a move makes another booking."""
        script = Script("access")
        self.book(script, "a", 0)
        self.match(script, "a", 1)
        self.match(script, "a", 2)
        self.assertEqual(self.broken(script), ["a booking was matched twice"])
        script = Script("access")
        self.book(script, "a", 0)
        self.match(script, "a", 1)
        self.book(script, "a", 2, action="move")
        self.match(script, "a", 3)
        self.assertEqual(self.broken(script), [])

    def test_another_is_matched(self) -> None:
        """Whose number it is must be known for that."""
        for wanted, broken in (("a", []), ("b", ["another booking was matched"])):
            script = Script("access")
            self.book(script, "a", 0)
            script.add("match", "a", at=1, asked={"number": "1", "code": "", "service": wanted})
            self.assertEqual(self.broken(script), broken)

    def test_what_is_over_is_not_matched(self) -> None:
        """Deleted, or run out."""
        script = Script("access")
        self.book(script, "a", 0)
        script.add("delete", "a", at=1)
        self.match(script, "a", 2)
        self.assertEqual(self.broken(script), ["a deleted service was matched"])
        script = Script("access")
        self.book(script, "a", 0)
        self.match(script, "a", 15)
        self.assertEqual(self.broken(script), ["a booking that is over was matched"])


class NotificationTests(SynchronousTestCase):
    """One order for each user."""

    def script(self, *outcomes: Outcome, nodes: Sequence[int] = (1,) * 9) -> Script:
        """Some publishes, from number 1, at these nodes."""
        script = Script("notify")
        for place, outcome in enumerate(outcomes):
            script.add("publish", "k", outcome, asked={"number": place + 1}, node=nodes[place])
        return script

    def broken(self, script: Script, *numbers: int, sessions: str = "") -> list[str]:
        """What the checker says of events with these numbers, all in one session or as said."""
        for place, number in enumerate(numbers):
            script.add("event", session=(sessions or "s" * 9)[place], number=number)
        return rules(check_notifications(script.operations))

    def test_in_order(self) -> None:
        """With gaps; a new session may be told again."""
        self.assertEqual(self.broken(self.script(DONE, DONE, DONE), 1, 3), [])
        self.assertEqual(self.broken(self.script(DONE, DONE), 1, 2, 2, sessions="aab"), [])

    def test_out_of_order(self) -> None:
        """Both were confirmed."""
        self.assertEqual(
            self.broken(self.script(DONE, DONE), 2, 1), ["a session was told out of order"]
        )

    def test_another_node_may_be_faster(self) -> None:
        """It is counted."""
        script = self.script(DONE, DONE, DONE, nodes=(1, 2, 1))
        self.assertEqual(self.broken(script, 2, 1, 3), [])
        self.assertEqual(overtaken(script.operations), 1)

    def test_one_of_unknown_outcome_may_be_late(self) -> None:
        """It is under way somewhere."""
        self.assertEqual(self.broken(self.script(UNKNOWN, DONE), 2, 1), [])

    def test_twice(self) -> None:
        """In one session."""
        self.assertEqual(self.broken(self.script(DONE), 1, 1), ["a session was told twice"])

    def test_of_nobody(self) -> None:
        """A phantom."""
        self.assertEqual(
            self.broken(self.script(DONE), 7), ["a session was told what nobody published"]
        )

    def test_what_was_missed_is_counted(self) -> None:
        """Between two that came."""
        script = self.script(DONE, DONE, UNKNOWN, DONE, DONE)
        self.assertEqual(self.broken(script, 1, 4), [])
        self.assertEqual(missed(script.operations), 1)


class ChatTests(SynchronousTestCase):
    """A log with several writers."""

    def script(self, *sent: tuple[str, Outcome], sender: str = "customer") -> Script:
        """Messages, one after the other."""
        script = Script("chat")
        for text, outcome in sent:
            script.add("send", "k", outcome, asked={"sender": sender, "text": text})
        return script

    def broken(self, script: Script, *texts: str) -> list[str]:
        """What the checker says of such a transcript."""
        script.add("transcript", texts=list(texts))
        return rules(check_chats(script.operations))

    def test_each_once(self) -> None:
        """Of unknown ones perhaps."""
        sent = (("1", DONE), ("2", UNKNOWN), ("3", DONE), ("4", REFUSED))
        self.assertEqual(self.broken(self.script(*sent), "1", "3"), [])
        self.assertEqual(self.broken(self.script(*sent), "1", "3", "2"), [])

    def test_lost_doubled_refused_of_nobody(self) -> None:
        """Each is seen."""
        one = (("1", DONE),)
        self.assertEqual(self.broken(self.script(*one)), ["a confirmed message is lost"])
        self.assertEqual(self.broken(self.script(*one), "1", "1"), ["a message is there twice"])
        self.assertEqual(
            self.broken(self.script(("1", UNKNOWN)), "1", "1"), ["a message is there twice"]
        )
        self.assertEqual(
            self.broken(self.script(("1", REFUSED)), "1"), ["a refused message is there"]
        )
        self.assertEqual(
            self.broken(self.script(*one), "1", "7"), ["a message that nobody sent is there"]
        )

    def test_the_order_of_a_sender(self) -> None:
        """Between two senders there is none."""
        script = self.script(("1", DONE), ("2", DONE))
        self.assertEqual(self.broken(script, "2", "1"), ["messages changed places"])
        script = self.script(("1", DONE))
        script.operations += self.script(("2", DONE), sender="agent").operations
        self.assertEqual(self.broken(script, "2", "1"), [])

    def test_what_was_shown(self) -> None:
        """Once, in the order of the transcript, and still there."""
        sent = (("1", DONE), ("2", DONE), ("3", UNKNOWN))
        for shown, broken in (
            (("1", "2"), []),
            (("1", "1", "2"), ["a message was shown twice"]),
            (("2", "1"), ["messages were shown in another order"]),
            (("1", "2", "3"), ["a message was shown and is lost"]),
            (("1",), ["the customer never saw a message"]),
        ):
            script = self.script(*sent)
            for text in shown:
                script.add("seen", reader="r", text=text)
            self.assertEqual(self.broken(script, "1", "2"), broken, shown)

    def test_what_was_shown_again(self) -> None:
        """From an earlier one on, with nothing left out; or up to the end of a session."""
        rule = "messages were shown in another order"
        for shown, more, broken in (
            ("13!1234", "", []),
            ("13!1!234", "", []),
            ("13!14", "2", [rule]),
            ("13!12", "34", []),
            ("134", "12", []),
            ("1234!3", "", [rule]),
            ("1233", "4", ["a message was shown twice"]),
        ):
            script = self.script(*((text, DONE) for text in "1234"))
            for reader, texts in (("one", shown), ("two", more)):
                seen: set[str] = set()
                for text in texts.replace("!", ""):
                    again: Any = {"again": True} if "!" in shown and text in seen else {}
                    script.add("seen", reader=reader, text=text, **again)
                    seen.add(text)
            self.assertEqual(self.broken(script, *"1234"), broken, shown)

    def test_a_live_chat_that_is_unknown(self) -> None:
        """503 would be right, 404 is not."""
        script = self.script(("1", REFUSED)).add("refresh", "k", REFUSED, missing=True)
        self.assertEqual(self.broken(script), ["a live chat is unknown"])

    def test_a_transcript_that_nobody_can_read(self) -> None:
        """At the end."""
        found = rules(check_chats(self.script(("1", DONE)).operations))
        self.assertEqual(found, ["a transcript is lost"])


class TimerTests(SynchronousTestCase):
    """Each timer fires once."""

    def script(self, *fired: tuple[int, str]) -> Script:
        """A session, and what it published."""
        script = Script("timer").add("start")
        for number, name in fired:
            script.add("fired", number=number, id=name)
        return script

    def broken(self, script: Script, count: int | None, **more: Any) -> list[str]:
        """What the checker says when the session says this in the end."""
        if count is not None:
            script.add("final", count=count, **more)
        return rules(check_timers(script.operations))

    def test_each_number_once(self) -> None:
        """The same event may be told twice."""
        self.assertEqual(self.broken(self.script((1, "a"), (2, "b"), (2, "b")), 2), [])

    def test_two_events_of_one_number(self) -> None:
        """Two nodes ran the session."""
        self.assertEqual(self.broken(self.script((1, "a"), (1, "b")), 1), ["a timer fired twice"])

    def test_a_number_that_is_left_out(self) -> None:
        """It was counted."""
        self.assertEqual(
            self.broken(self.script((1, "a"), (3, "c")), 3), ["what a timer published is lost"]
        )

    def test_a_publish_that_failed_or_never_ends(self) -> None:
        """The session knows of the first; there must be none of the second."""
        self.assertEqual(self.broken(self.script((1, "a")), 2, failed=[2]), [])
        self.assertEqual(
            self.broken(self.script((1, "a")), 2, sent={"r": 2}), ["a publish never ends"]
        )

    def test_a_session_that_is_gone(self) -> None:
        """At the end, or for a while."""
        self.assertEqual(
            self.broken(self.script((1, "a")), None), ["a session is not there at the end"]
        )
        script = self.script((1, "a")).add("status", "k", REFUSED, missing=True)
        self.assertEqual(self.broken(script, 1), ["a live session is unknown"])

    def test_a_session_that_forgets(self) -> None:
        """Its count goes back."""
        script = self.script((1, "a"), (2, "b")).add("status", count=2).add("status", count=1)
        self.assertEqual(self.broken(script, 2), ["a session forgot what it did"])
        script = self.script((1, "a"), (2, "b")).add("status", count=2, at=5, until=7)
        script.add("status", count=1, at=6, until=8)
        self.assertEqual(self.broken(script, 2), [])


class HistoryTests(SynchronousTestCase):
    """What is kept can be checked later."""

    def test_kept_and_read(self) -> None:
        """Nothing is different, and all rules are applied in the order of time."""
        history = History(lambda: 5.0)
        script = Script("storage").add("create", asked={"value": "1"}, at=1)
        script.operations += Script("chat").add("send", asked={}, at=0).operations
        for one in script.add("read", at=2, value="7").operations:
            history.add(one)
        history.told("notify", "event", "u", session="s", number=1)
        path = Path(self.mktemp())
        history.write(path)
        self.assertEqual(read_history(path), history.operations)
        self.assertEqual(
            [one.workload for one in check(history.operations)], ["chat", "storage", "notify"]
        )

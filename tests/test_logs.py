"""Log lines: what a client sent cannot forge one, and a log that is gone stops nothing."""

from __future__ import annotations

import json
from functools import partial
from io import StringIO
from pathlib import Path

from twisted.logger import LogEvent, Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.logs import (
    KEPT_PROBLEMS,
    JsonObserver,
    RecentProblems,
    TextObserver,
    make_observer,
    one_line,
)

HOSTILE = "a\r\n00:00:00 [root] forged\x1b[31m\x00\x7f\x85\u2028"


class Gone(StringIO):
    """An output that fails: a closed pipe, a full disk."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        """Fail."""
        raise self.error


class LogCase(SynchronousTestCase):
    """With an output in memory."""

    def setUp(self) -> None:
        """Make the output."""
        self.output = StringIO()

    def say(self, style: str = "text", level: str = "info") -> Logger:
        """A logger whose events go to the output."""
        return Logger("gms_twisted.http", observer=make_observer(self.output, style, level))

    def lines(self) -> list[str]:
        """What has been written."""
        return self.output.getvalue().splitlines()


class TextTests(LogCase):
    """Lines for people."""

    def test_a_line(self) -> None:
        """Time, who, the sentence; the level when it matters."""
        self.say().info("Served {count}", count=3)
        self.say().warn("Odd")
        first, second = self.lines()
        self.assertRegex(first, r"^\d\d:\d\d:\d\d \[http\] Served 3$")
        self.assertRegex(second, r"^\d\d:\d\d:\d\d WARN \[http\] Odd$")

    def test_values_of_clients_are_escaped(self) -> None:
        """No CR, LF, ESC or other control character of theirs reaches the terminal."""
        self.say().info("Refused {path}", path=HOSTILE)
        self.assertEqual(self.output.getvalue().count("\n"), 1)
        self.assertIn(r"a\x0d\x0a00:00:00 [root] forged\x1b[31m\x00\x7f\x85", self.lines()[0])
        self.assertEqual(len(self.lines()), 1, "also for those who see more line ends")

    def test_one_line_leaves_what_is_harmless(self) -> None:
        """Tabs and letters of any language."""
        self.assertEqual(one_line("a\tЖ漢"), "a\tЖ漢")

    def test_a_traceback_follows_its_line(self) -> None:
        """Indented, and escaped too."""
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            self.say().failure("Failed: {what}", what="x")
        first, *rest = self.lines()
        self.assertIn("CRITICAL [http] Failed: x", first)
        self.assertTrue(rest and all(line.startswith("    ") for line in rest))
        self.assertNotIn("\x1b", self.output.getvalue())

    def test_a_format_that_does_not_fit_is_still_a_line(self) -> None:
        """A mistake of ours in a log call costs no more than its sentence."""
        self.say().info("Missing {nothing}")
        self.assertEqual(len(self.lines()), 1)


class WorkerTests(LogCase):
    """Lines of a worker among those of others."""

    def test_each_line_says_which(self) -> None:
        """In both forms."""
        for style in ("text", "json"):
            observer = make_observer(self.output, style, "info", worker=3)
            Logger("gms_twisted.http", observer=observer).warn("Odd")
        text, entry = self.lines()
        self.assertTrue(text.endswith(" WARN [worker-3 http] Odd"), text)
        self.assertEqual(json.loads(entry)["worker"], 3)


class JsonTests(LogCase):
    """Lines for programs."""

    def test_an_object_a_line(self) -> None:
        """With the event's own fields; what is not a plain value as its text."""
        self.say("json").warn("Served {count} to {who}", count=3, who=("a", 1))
        [line] = self.lines()
        entry = json.loads(line)
        self.assertRegex(entry.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$")
        # A member of ours wins over a field of the same name.
        self.assertEqual(entry["text"], "Served 3 to ('a', 1)")
        self.assertEqual((entry["level"], entry["count"]), ("warn", 3))

    def test_values_of_clients_are_escaped(self) -> None:
        """The line is one line, and says what was sent."""
        self.say("json").info("Refused {path}", path=HOSTILE)
        [line] = self.lines()
        self.assertEqual(json.loads(line)["path"], HOSTILE)
        self.assertNotIn("\x1b", line)
        self.assertNotIn("\x85", line)

    def test_a_traceback_is_a_member(self) -> None:
        """Whole, in one line."""
        self.say("json").failure("Failed", failure=Failure(ValueError("why")))
        [line] = self.lines()
        self.assertIn("ValueError: why", json.loads(line)["traceback"])

    def test_lone_surrogates_and_numbers_that_json_lacks(self) -> None:
        """Whatever was logged, the line can be written and read."""
        self.say("json").info("Odd", text="\ud800", number=float("nan"))
        [line] = self.lines()
        line.encode()
        json.loads(line, parse_constant=self.fail)


class LevelTests(LogCase):
    """What is shown."""

    def test_below_the_level_nothing_is_shown(self) -> None:
        """For each level of the command line."""
        names = ("debug", "info", "warn", "error")
        for number, level in enumerate(names):
            self.output = StringIO()
            for name in names:
                self.say(level=level).emit(LogLevel.levelWithName(name), "x")
            self.assertEqual(len(self.lines()), len(names) - number, level)

    def test_twisted_itself_is_quiet(self) -> None:
        """What it tells about its own parts is for debugging; its warnings are not."""
        observer = make_observer(self.output, "text", "info")
        for namespace in ("twisted.web.client", "log_legacy", "stdout"):
            Logger(namespace, observer=observer).info("Starting factory")
        self.assertEqual(self.lines(), [])
        Logger("twisted.web.client", observer=observer).warn("Odd")
        self.assertEqual(len(self.lines()), 1)
        Logger("twisted.web.client", observer=make_observer(self.output, "text", "debug")).info("x")
        self.assertEqual(len(self.lines()), 2)


class GoneTests(SynchronousTestCase):
    """R14: the log's other end is gone."""

    def test_R14_a_log_that_is_gone_is_counted_and_stops_nothing(self) -> None:
        """Closed pipe, full disk, closed file; both styles."""
        event: LogEvent = {"log_time": 0.0, "log_level": LogLevel.info, "log_format": "x"}
        for error in (BrokenPipeError(), OSError(28, "No space left"), ValueError("closed")):
            for style in (TextObserver, JsonObserver):
                lost: list[int] = []
                style(Gone(error), partial(lost.append, 1))(event)
                self.assertEqual(lost, [1])
                style(Gone(error))(event)

    def test_R14_a_character_that_the_log_cannot_show_is_no_fault(self) -> None:
        """A terminal may know fewer letters than clients do."""
        lost: list[int] = []
        output = open(self.mktemp(), "w", encoding="ascii")  # noqa: SIM115  # closed below
        self.addCleanup(output.close)
        logger = Logger("x", observer=make_observer(output, "text", "info", lambda: lost.append(1)))
        logger.info("Said {text}", text="Ж\ud800")
        self.assertEqual(lost, [])
        self.assertIn(r"Said \u0416\ud800", Path(output.name).read_text(encoding="ascii"))


class RecentProblemsTests(SynchronousTestCase):
    """What operators see of the log: the last warnings and failures."""

    def setUp(self) -> None:
        """Log into the memory."""
        self.recent = RecentProblems()
        self.log = Logger("gms_twisted.push.sender", observer=self.recent)

    def test_warnings_and_above(self) -> None:
        """Newest first, with level and place; what is in order is not kept."""
        self.log.info("Fine")
        self.log.debug("Finer")
        self.log.warn("Odd {count}", count=1)
        self.log.error("Bad")
        rows = self.recent.problems()
        self.assertEqual([(row["level"], row["text"]) for row in rows],
                         [("error", "Bad"), ("warn", "Odd 1")])  # fmt: skip
        self.assertEqual(rows[0]["who"], "push.sender")
        self.assertNotEqual(rows[0]["id"], rows[1]["id"])

    def test_a_failure_keeps_its_traceback_and_no_object(self) -> None:
        """Texts only, so that whatever the failure held can go."""
        try:
            raise ValueError("of old")
        except ValueError:
            self.log.failure("Failed: {what}", failure=Failure(), what="a push")
        [row] = self.recent.problems()
        self.assertIn("ValueError: of old", str(row["traceback"]))
        self.assertTrue(all(isinstance(value, str | float) for value in row.values()))

    def test_bounded(self) -> None:
        """Number and length have an end."""
        for count in range(KEPT_PROBLEMS + 50):
            self.log.warn("{text}", text=f"{count} " + "x" * 9000)
        rows = self.recent.problems()
        self.assertEqual(len(rows), KEPT_PROBLEMS)
        self.assertTrue(str(rows[0]["text"]).startswith(f"{KEPT_PROBLEMS + 49} "))
        self.assertLessEqual(max(len(str(row["text"])) for row in rows), 1000)

    def test_values_of_clients_are_escaped(self) -> None:
        """Control characters of theirs are seen, not obeyed."""
        self.log.warn("Refused {path}", path=HOSTILE)
        [row] = self.recent.problems()
        self.assertNotRegex(str(row["text"]), "[\x00\x1b\x7f\x85]")

    def test_G07_secrets_hide_themselves(self) -> None:
        """A value that hides itself in the log is hidden here."""

        class Secret:
            def __repr__(self) -> str:
                return "***"

        self.log.warn("Refused {key!r} {key}", key=Secret())
        self.assertEqual(self.recent.problems()[0]["text"], "Refused *** ***")

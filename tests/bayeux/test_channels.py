"""Channel names and patterns.  Bayeux: Channels."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.bayeux.channels import Channels, Kind, Names, matches, parse_name

segments = some.sampled_from(["a", "b", "c d", "x*", "{y", "_g", "1.0"])
names = some.lists(segments, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))
patterns = some.tuples(some.lists(segments, max_size=4), some.sampled_from(["*", "**"])).map(
    lambda made: "/" + "/".join([*made[0], made[1]])
)


class NameTests(SynchronousTestCase):
    """The grammar."""

    def test_kinds(self) -> None:
        """The first segment says what becomes of a message."""
        for text, kind in (
            ("/meta/connect", Kind.META),
            ("/service/x", Kind.SERVICE),
            ("/services/x", Kind.BROADCAST),
            ("/_genesys", Kind.BROADCAST),
            ("/a!#$()*+-.@_{}~ b", Kind.BROADCAST),
        ):
            name = parse_name(text)
            assert name is not None, text
            self.assertIs(name.kind, kind)

    def test_invalid(self) -> None:
        """Characters and structures that are not allowed."""
        for text in (
            "",
            "/",
            "a",
            "//",
            "/a//b",
            "/ ",
            "/a%",
            "/é",
            "/a\n",
            "/a\x00",
            "/*/a",
            "/**/a",
        ):
            self.assertIsNone(parse_name(text), repr(text))

    def test_patterns_of_a_name(self) -> None:
        """What concerns a channel is looked at root first."""
        name = parse_name("/a/b/c")
        assert name is not None
        self.assertEqual(name.patterns, ("/**", "/a/**", "/a/b/**", "/a/b/*", "/a/b/c"))
        single = parse_name("/a/")
        assert single is not None
        self.assertEqual((single.text, single.patterns), ("/a", ("/**", "/*", "/a")))

    def test_templates(self) -> None:
        """A segment in braces is a parameter; it cannot be wild as well."""
        name = parse_name("/a/{b}/c")
        assert name is not None
        self.assertTrue(name.template)
        self.assertFalse(name.publishable)
        self.assertIsNone(parse_name("/{a}/*"))
        braces = parse_name("/{}")
        assert braces is not None
        self.assertFalse(braces.template)

    def test_remembered_names_are_bounded(self) -> None:
        """Names are remembered in bounded numbers, long and deep ones never."""
        known = Names(512)
        for number in range(10_000):
            known.parse(f"/n/{number}")
        self.assertLessEqual(len(known._known), 4096)
        count = len(known._known)
        self.assertIsNotNone(known.parse("/a" * 200))
        self.assertIsNotNone(known.parse("/" + "a" * 500))
        self.assertIsNone(known.parse("/" + "a" * 512))
        self.assertEqual(len(known._known), count)

    @settings(deadline=None, max_examples=100)
    @given(names, patterns)
    def test_matching_agrees(self, text: str, pattern: str) -> None:
        """A pattern matches a name exactly when it is among the name's patterns."""
        name = parse_name(text)
        assert name is not None
        self.assertEqual(matches(pattern, text), pattern in name.patterns)
        self.assertTrue(matches(text, text))
        self.assertEqual(matches(pattern, "/a/*"), pattern == "/a/*")


class ChannelsTests(SynchronousTestCase):
    """Channels come and go."""

    def test_many_channels_cost_nothing(self) -> None:
        """Only as many channels are looked at as there are patterns of a name."""
        channels = Channels()
        for number in range(1000):
            name = parse_name(f"/other/{number}/**")
            assert name is not None
            channels.make(name)
        wanted, root = parse_name("/a/b"), parse_name("/**")
        assert wanted is not None
        assert root is not None
        channels.make(root)
        channels.make(wanted)
        self.assertEqual(
            [channel.name.text for channel in channels.concerned(wanted)], ["/**", "/a/b"]
        )

    def test_three_sweeps(self) -> None:
        """An idle channel goes with the third sweep in a row; use starts the count again."""
        channels = Channels()
        name = parse_name("/a")
        assert name is not None
        channel = channels.make(name)
        channels.sweep()
        channels.sweep()
        channels.used(channel)
        self.assertEqual([channels.sweep() for _ in range(3)], [0, 0, 1])
        self.assertEqual(len(channels), 0)

    def test_what_is_in_use_stays(self) -> None:
        """Listeners, authorizers, persistence and subscribers keep a channel."""
        channels = Channels()
        name, service = parse_name("/a"), parse_name("/service/a")
        assert name is not None
        assert service is not None
        channel = channels.make(name)
        channels.make(service)
        channel.listeners.append(lambda session, message: None)
        for _ in range(5):
            channels.sweep()
        self.assertIn("/a", channels)
        channel.listeners.clear()
        channels.left(channel)
        for _ in range(3):
            channels.sweep()
        self.assertNotIn("/a", channels)
        self.assertIn("/service/a", channels)

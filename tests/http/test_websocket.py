"""The websocket codec, case by case as the Autobahn test suite groups them."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.http.deflate import Agreement
from gms_twisted.http.websocket import (
    INVALID_DATA,
    NO_CODE,
    POLICY,
    PROTOCOL_ERROR,
    TOO_BIG,
    Binary,
    Broken,
    Closed,
    Event,
    FrameReader,
    Ping,
    Pong,
    close_code_valid,
    close_frame,
    deflated_text_frame,
    ping_frame,
    pong_frame,
    text_frame,
)
from tests.support.client_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    client_frame,
    close_payload,
)

LIMIT = 64 * 1024
SIZES = (0, 1, 2, 3, 4, 5, 125, 126, 127, 128, 1000, 65_535, 65_536)
GREEK = "\u03ba\u1f79\u03c3\u03bc\u03b5".encode()


def at(seconds: float) -> Callable[[], float]:
    """Make a clock that stands."""
    return lambda: seconds


def read(data: bytes, now: float = 0.0, *, deflate: bool = False) -> list[Event]:
    """Give all bytes at once to a new reader."""
    return FrameReader(LIMIT, deflate=deflate).receive(data, at(now))


def read_cut(data: bytes, size: int = 1) -> list[Event]:
    """Give the bytes in pieces."""
    reader = FrameReader(LIMIT)
    events: list[Event] = []
    for start in range(0, len(data), size):
        events += reader.receive(data[start : start + size], at(0.0))
    return events


class ReaderTestCase(SynchronousTestCase):
    """Ways to say how a reader's events end."""

    def broken(self, data: bytes, code: int, *before: Event, deflate: bool = False) -> None:
        """Check that ``data`` gives ``before`` and then breaks with ``code``."""
        events = read(data, deflate=deflate)
        self.assertEqual(events[:-1], list(before))
        assert isinstance(events[-1], Broken), events
        self.assertEqual(events[-1].code, code)
        if not deflate:
            self.assertEqual(read_cut(data), events)


class FramingTests(ReaderTestCase):
    """Autobahn group 1: messages of every size class."""

    def test_W05_texts(self) -> None:
        """A text of any size class arrives whole, in one piece or byte by byte."""
        for size in SIZES:
            data = client_frame(TEXT, b"*" * size)
            self.assertEqual(read(data), [b"*" * size])
            self.assertEqual(read_cut(data, 997), [b"*" * size])
        self.assertEqual(read_cut(client_frame(TEXT, b"*" * 300)), [b"*" * 300])

    def test_W05_binary(self) -> None:
        """A binary message of any size class arrives as such; the user refuses it or not."""
        for size in SIZES:
            data = client_frame(BINARY, b"\xfe" * size)
            self.assertEqual(read(data), [Binary(b"\xfe" * size)])

    def test_W05_several_at_once(self) -> None:
        """Frames that come in one read come out in order."""
        data = b"".join(
            (
                client_frame(TEXT, b"one"),
                client_frame(TEXT, GREEK * 20),
                client_frame(PING, b"?"),
                client_frame(TEXT, b"two"),
                client_frame(BINARY, b"\0"),
                client_frame(TEXT, b"three")[:-1],
            )
        )
        expected = [b"one", GREEK * 20, Ping(b"?"), b"two", Binary(b"\0")]
        self.assertEqual(read(data), expected)
        self.assertEqual(read_cut(data), expected)

    def test_W05_without_a_mask(self) -> None:
        """A client's frame without a mask breaks, also an empty one."""
        for payload in (b"", b"hello", b"*" * 126, b"*" * 65_536):
            self.broken(client_frame(TEXT, payload, mask=None), PROTOCOL_ERROR)
        self.broken(client_frame(PING, mask=None), PROTOCOL_ERROR)

    def test_W05_any_mask(self) -> None:
        """Every mask is taken off, zeros included."""
        for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1"):
            self.assertEqual(read(client_frame(TEXT, b"hello", mask=mask)), [b"hello"])

    def test_W05_wasteful_lengths(self) -> None:
        """A length that is not in its shortest form, or has the top bit, breaks."""
        for length in ((5).to_bytes(2, "big"), (5).to_bytes(8, "big"), b"\0\0\0\0\0\0\xff\xff"):
            self.broken(client_frame(TEXT, b"hello", length=length), PROTOCOL_ERROR)
        self.broken(client_frame(TEXT, b"", length=b"\x80" + bytes(7)), PROTOCOL_ERROR)


class ControlTests(ReaderTestCase):
    """Autobahn group 2: pings and pongs."""

    def test_W05_pings_and_pongs(self) -> None:
        """Payloads of 0 to 125 bytes, text or not, come as they are."""
        for payload in (b"", b"hello", b"\x00\xff\xfe\xfd", b"\xfe" * 125):
            self.assertEqual(read(client_frame(PING, payload)), [Ping(payload)])
            self.assertEqual(read(client_frame(PONG, payload)), [Pong(payload)])

    def test_W05_too_long(self) -> None:
        """126 bytes are too many for a control frame."""
        for opcode in (PING, PONG, CLOSE):
            self.broken(client_frame(opcode, b"\x03\xe8" + b"a" * 124), PROTOCOL_ERROR)

    def test_W05_unasked_pong(self) -> None:
        """A pong that answers nothing is an event like others, and the socket goes on."""
        data = client_frame(PONG, b"?") + client_frame(PING, b"!")
        self.assertEqual(read(data), [Pong(b"?"), Ping(b"!")])

    def test_W02_flood(self) -> None:
        """The 21st control frame within a second breaks; slower ones do not."""
        reader = FrameReader(LIMIT)
        for number in range(200):
            self.assertEqual(reader.receive(client_frame(PING), at(number / 20)), [Ping(b"")])
        reader = FrameReader(LIMIT)
        self.assertEqual(len(reader.receive(client_frame(PONG) * 20, at(0.0))), 20)
        (event,) = reader.receive(client_frame(PING), at(0.9))
        assert isinstance(event, Broken)
        self.assertEqual(event.code, POLICY)
        self.assertTrue(reader.ended)

    def test_W02_a_close_is_never_too_many(self) -> None:
        """A client may always close."""
        data = client_frame(PING) * 20 + client_frame(CLOSE)
        self.assertEqual(read(data)[-1], Closed(NO_CODE, ""))


class ReservedTests(ReaderTestCase):
    """Autobahn groups 3 and 4: reserved bits and opcodes."""

    def test_W05_reserved_bits(self) -> None:
        """Any reserved bit breaks; what came before is delivered."""
        good = client_frame(TEXT, b"good")
        for bits in range(0x10, 0x80, 0x10):
            for opcode in (TEXT, BINARY, PING, CLOSE):
                bad = client_frame(opcode, b"", reserved=bits)
                self.broken(good + bad + good, PROTOCOL_ERROR, b"good")

    def test_W05_reserved_bits_with_compression(self) -> None:
        """With compression RSV1 belongs to a message's first frame, the others to nobody."""
        for bits in (0x10, 0x20, 0x50, 0x60, 0x70):
            self.broken(client_frame(TEXT, reserved=bits), PROTOCOL_ERROR, deflate=True)
        self.broken(client_frame(PING, reserved=0x40), PROTOCOL_ERROR, deflate=True)
        started = client_frame(TEXT, b"a", fin=False)
        continued = client_frame(CONTINUATION, reserved=0x40)
        self.broken(started + continued, PROTOCOL_ERROR, deflate=True)

    def test_W05_unknown_opcodes(self) -> None:
        """Opcodes 3 to 7 and 11 to 15 break, with and without a payload."""
        for opcode in (*range(3, 8), *range(11, 16)):
            for payload in (b"", b"x"):
                data = client_frame(TEXT, b"good") + client_frame(opcode, payload)
                self.broken(data + client_frame(PING), PROTOCOL_ERROR, b"good")


class FragmentTests(ReaderTestCase):
    """Autobahn group 5: fragmentation."""

    def test_W05_control_frames_are_whole(self) -> None:
        """A control frame in fragments breaks at its first."""
        for opcode in (PING, PONG, CLOSE):
            self.broken(client_frame(opcode, b"", fin=False), PROTOCOL_ERROR)

    def test_W05_reassembled(self) -> None:
        """Fragments, empty ones too, become one message."""
        data = client_frame(TEXT, b"frag", fin=False) + client_frame(CONTINUATION, b"ment")
        self.assertEqual(read(data), [b"fragment"])
        self.assertEqual(read_cut(data), [b"fragment"])
        empty = (
            client_frame(BINARY, b"", fin=False)
            + client_frame(CONTINUATION, b"", fin=False)
            + client_frame(CONTINUATION, b"")
        )
        self.assertEqual(read(empty), [Binary(b"")])

    def test_W05_control_frames_in_between(self) -> None:
        """Pings between fragments are answered before the message is whole."""
        data = (
            client_frame(TEXT, b"a", fin=False)
            + client_frame(PING, b"1")
            + client_frame(CONTINUATION, b"b", fin=False)
            + client_frame(PING, b"2")
            + client_frame(CONTINUATION, b"c")
            + client_frame(TEXT, b"d")
        )
        self.assertEqual(read(data), [Ping(b"1"), Ping(b"2"), b"abc", b"d"])

    def test_W05_continuation_of_nothing(self) -> None:
        """A continuation without a beginning breaks, final or not."""
        for fin in (True, False):
            frame = client_frame(CONTINUATION, b"x", fin=fin)
            self.broken(frame + client_frame(TEXT, b"y"), PROTOCOL_ERROR)
        whole = client_frame(TEXT, b"a", fin=False) + client_frame(CONTINUATION, b"b")
        self.broken(whole + client_frame(CONTINUATION, b"c"), PROTOCOL_ERROR, b"ab")

    def test_W05_message_inside_a_message(self) -> None:
        """A new message before the end of one breaks."""
        for opcode in (TEXT, BINARY):
            for fin in (True, False):
                data = client_frame(TEXT, b"a", fin=False) + client_frame(opcode, b"b", fin=fin)
                self.broken(data, PROTOCOL_ERROR)

    def test_W02_too_many_fragments(self) -> None:
        """The 101st fragment breaks, even an empty one."""
        first = client_frame(TEXT, b"", fin=False)
        more = client_frame(CONTINUATION, b"", fin=False)
        last = client_frame(CONTINUATION, b"x")
        self.assertEqual(read(first + more * 98 + last), [b"x"])
        self.broken(first + more * 99 + last, POLICY)


class Utf8Tests(ReaderTestCase):
    """Autobahn group 6: texts are UTF-8."""

    good = (
        b"",
        b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!",
        GREEK,
        b"\x00",
        b"\xc2\x80",
        b"\xe0\xa0\x80",
        b"\xf0\x90\x80\x80",
        b"\xed\x9f\xbf",
        b"\xee\x80\x80",
        b"\xef\xbf\xbf",
        b"\xf4\x8f\xbf\xbf",
    )
    bad = (
        GREEK + b"\xed\xa0\x80edited",
        b"\xce",
        b"\xe1\xbd",
        b"\x80",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xf8\x88\x80\x80\x80",
        b"\xfe\xfe\xff\xff",
        b"\xed\xad\xbf\xed\xbf\xbf",
        b"\xf4\x90\x80\x80",
    )

    def test_W05_good_texts(self) -> None:
        """Valid text arrives, whole and cut anywhere into fragments."""
        for text in self.good:
            self.assertEqual(read(client_frame(TEXT, text)), [text])
            for cut in range(len(text) + 1):
                data = client_frame(TEXT, text[:cut], fin=False)
                data += client_frame(CONTINUATION, text[cut:])
                self.assertEqual(read(data), [text])

    def test_W05_bad_texts(self) -> None:
        """Invalid text breaks with 1007, whole and in fragments."""
        for text in self.bad:
            self.broken(client_frame(TEXT, text), INVALID_DATA)
            data = client_frame(TEXT, text[:1], fin=False) + client_frame(CONTINUATION, text[1:])
            self.broken(data, INVALID_DATA)

    def test_W05_fails_fast(self) -> None:
        """Invalid text breaks at the fragment that shows it, not at the message's end."""
        data = client_frame(TEXT, GREEK, fin=False)
        data += client_frame(CONTINUATION, b"\xf4\x90", fin=False)
        self.broken(data, INVALID_DATA)

    def test_W05_inside_a_frame(self) -> None:
        """A frame is judged when it is whole (Autobahn 6.4.3 and 6.4.4, NON-STRICT)."""
        data = client_frame(TEXT, GREEK + b"\xf4\x90\x80\x80edited")
        reader = FrameReader(LIMIT)
        self.assertEqual(reader.receive(data[:-1], at(0.0)), [])
        (event,) = reader.receive(data[-1:], at(0.0))
        assert isinstance(event, Broken)
        self.assertEqual(event.code, INVALID_DATA)

    def test_W05_binary_may_be_anything(self) -> None:
        """Binary messages need not be UTF-8."""
        self.assertEqual(read(client_frame(BINARY, b"\xff\xfe")), [Binary(b"\xff\xfe")])


class CloseTests(ReaderTestCase):
    """Autobahn group 7: closing."""

    def test_W05_closes(self) -> None:
        """A close may be empty, carry a code, or a code and a reason of up to 123 bytes."""
        self.assertEqual(read(client_frame(CLOSE)), [Closed(NO_CODE, "")])
        self.assertEqual(read(client_frame(CLOSE, close_payload(1000))), [Closed(1000, "")])
        payload = close_payload(1000, b"*" * 123)
        self.assertEqual(read(client_frame(CLOSE, payload)), [Closed(1000, "*" * 123)])

    def test_W05_nothing_after(self) -> None:
        """Whatever follows a close or a violation is dropped."""
        after = client_frame(TEXT, b"late") + client_frame(PING)
        self.assertEqual(read(client_frame(CLOSE) + after), [Closed(NO_CODE, "")])
        reader = FrameReader(LIMIT)
        reader.receive(client_frame(3), at(0.0))
        self.assertEqual(reader.receive(after, at(0.0)), [])
        self.assertTrue(reader.ended)

    def test_W05_close_inside_a_message(self) -> None:
        """A close between fragments ends the message unheard."""
        data = client_frame(TEXT, b"a", fin=False) + client_frame(CLOSE)
        data += client_frame(CONTINUATION, b"b")
        self.assertEqual(read(data), [Closed(NO_CODE, "")])

    def test_W05_malformed(self) -> None:
        """A close of one byte breaks, and one with a reason that is not UTF-8."""
        self.broken(client_frame(CLOSE, b"a"), PROTOCOL_ERROR)
        payload = close_payload(1000, GREEK + b"\xed\xa0\x80")
        self.broken(client_frame(CLOSE, payload), INVALID_DATA)

    def test_W05_codes(self) -> None:
        """Codes for the wire are taken, those that mean something without it break."""
        for code in (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999):
            self.assertTrue(close_code_valid(code))
            self.assertEqual(read(client_frame(CLOSE, close_payload(code))), [Closed(code, "")])
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535):
            self.broken(client_frame(CLOSE, close_payload(code)), PROTOCOL_ERROR)


class LimitTests(ReaderTestCase):
    """Autobahn group 10 and hardening W02: limits."""

    def test_W05_cut_anyhow(self) -> None:
        """A large text in pieces of 1300 bytes arrives (Autobahn 10.1.1)."""
        data = client_frame(TEXT, b"*" * 65_536)
        self.assertEqual(read_cut(data, 1300), [b"*" * 65_536])

    def test_W02_message_size(self) -> None:
        """A message at the limit is read; one byte more breaks at the head that says so."""
        self.assertEqual(read(client_frame(TEXT, b"*" * LIMIT)), [b"*" * LIMIT])
        too_big = client_frame(TEXT, b"*" * (LIMIT + 1))
        self.broken(too_big[:10], TOO_BIG)
        huge = client_frame(BINARY, length=b"\x7f" + b"\xff" * 7)
        self.broken(huge[:10], TOO_BIG)

    def test_W02_size_of_all_fragments(self) -> None:
        """Fragments count together."""
        half = client_frame(TEXT, b"*" * (LIMIT // 2), fin=False)
        rest = client_frame(CONTINUATION, b"*" * (LIMIT // 2))
        self.assertEqual(read(half + rest), [b"*" * LIMIT])
        more = client_frame(CONTINUATION, b"*", fin=False)
        self.broken(half + more + rest, TOO_BIG)

    def test_W02_small_limit(self) -> None:
        """The limit is the one given, for short frames too."""
        reader = FrameReader(10)
        self.assertEqual(reader.receive(client_frame(TEXT, b"*" * 10), at(0.0)), [b"*" * 10])
        (event,) = reader.receive(client_frame(TEXT, b"*" * 11), at(0.0))
        self.assertEqual(event, Broken(TOO_BIG, "message above 10 bytes"))

    def test_W02_control_frames_of_full_messages(self) -> None:
        """A ping in the middle of a message at its limit is fine."""
        data = client_frame(TEXT, b"*" * LIMIT, fin=False) + client_frame(PING, b"p" * 125)
        data += client_frame(CONTINUATION)
        self.assertEqual(read(data), [Ping(b"p" * 125), b"*" * LIMIT])


class CompressedTests(ReaderTestCase):
    """Compressed messages, when they were negotiated."""

    def compressed(self, payload: bytes, fragments: int = 1) -> bytes:
        """Make a compressed text, cut into fragments."""
        deflated = Agreement().deflate(payload)
        size = -(-len(deflated) // fragments)
        pieces = [deflated[at : at + size] for at in range(0, len(deflated), size)]
        frames = [
            client_frame(
                CONTINUATION if index else TEXT,
                piece,
                fin=index == len(pieces) - 1,
                reserved=0 if index else 0x40,
            )
            for index, piece in enumerate(pieces)
        ]
        return b"".join(frames)

    def test_inflated(self) -> None:
        """Compressed messages arrive inflated, in fragments too, between plain ones."""
        text = b"The quick brown fox " * 100
        for fragments in (1, 2, 7):
            data = self.compressed(text, fragments) + client_frame(TEXT, b"plain")
            self.assertEqual(read(data * 2, deflate=True), [text, b"plain"] * 2)

    def test_W02_bomb(self) -> None:
        """A message that inflates above the limit breaks, having made no more than that."""
        bomb = self.compressed(b"\0" * (LIMIT + 1))
        self.assertLess(len(bomb), 200)
        self.broken(bomb, TOO_BIG, deflate=True)
        self.broken(self.compressed(b"\0" * 20_000_000), TOO_BIG, deflate=True)
        self.broken(self.compressed(b" " * (LIMIT + 1), 5), TOO_BIG, deflate=True)
        fits = self.compressed(b" " * LIMIT, 5)
        self.assertEqual(read(fits, deflate=True), [b" " * LIMIT])

    def test_W05_text_after_inflating(self) -> None:
        """UTF-8 is judged after inflating."""
        self.broken(self.compressed(b"\xff" * 10), INVALID_DATA, deflate=True)

    def test_W05_not_deflated(self) -> None:
        """Bytes that are no deflated data break with 1007, also beyond the last block."""
        self.broken(client_frame(TEXT, b"\xff" * 9, reserved=0x40), INVALID_DATA, deflate=True)
        twice = bytes.fromhex("f348cdc9c90700") * 2
        self.broken(client_frame(TEXT, twice, reserved=0x40), INVALID_DATA, deflate=True)

    def test_examples_of_the_standard(self) -> None:
        """RFC 7692, 7.2.3: one block, no compression, a last block, two blocks."""
        for data in (
            "f248cdc9c90700",
            "000500faff48656c6c6f00",
            "f348cdc9c9070000",
            "f24805000000ffffcac9c90700",
        ):
            frame = client_frame(TEXT, bytes.fromhex(data), reserved=0x40)
            self.assertEqual(read(frame, deflate=True), [b"Hello"], data)

    def test_compressed_frame(self) -> None:
        """A frame of ours is marked and inflates to the message, whatever the window."""
        for bits in range(9, 16):
            text = bytes(range(32, 120)) * 30
            frame = deflated_text_frame(text, Agreement(bits))
            self.assertEqual(frame[0], 0xC1)
            start = 2 if frame[1] < 126 else 4
            masked = client_frame(TEXT, frame[start:], reserved=0x40)
            self.assertEqual(read(masked, deflate=True), [text])


class WriterTests(SynchronousTestCase):
    """Frames of ours."""

    def test_lengths(self) -> None:
        """The length is in its shortest form, and there is no mask."""
        self.assertEqual(text_frame(b"Hello"), bytes.fromhex("810548656c6c6f"))
        self.assertEqual(text_frame(b"*" * 125)[:2], bytes.fromhex("817d"))
        self.assertEqual(text_frame(b"*" * 126)[:4], bytes.fromhex("817e007e"))
        self.assertEqual(text_frame(b"*" * 65_535)[:4], bytes.fromhex("817effff"))
        self.assertEqual(text_frame(b"*" * 65_536)[:10], bytes.fromhex("817f0000000000010000"))

    def test_control_frames(self) -> None:
        """Pings, pongs and closes have their opcodes; a pong repeats the ping's payload."""
        self.assertEqual(ping_frame(), bytes.fromhex("8900"))
        self.assertEqual(pong_frame(b"ab"), bytes.fromhex("8a026162"))
        self.assertEqual(close_frame(1001, "bye"), bytes.fromhex("880503e9627965"))
        self.assertEqual(close_frame(), bytes.fromhex("8800"))

    def test_close_frames_that_may_not_be(self) -> None:
        """A code that may not be sent is left out, and a long reason is cut between characters."""
        self.assertEqual(close_frame(1006, "lost"), bytes.fromhex("8800"))
        frame = close_frame(1011, "\u00e4" * 100)
        self.assertEqual(frame[1], 2 + 122)
        self.assertEqual(frame[4:].decode(), "\u00e4" * 61)


_FRAMES = st.builds(
    client_frame,
    st.sampled_from((TEXT, TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE, 3)),
    st.sampled_from((b"", b"a", GREEK, GREEK[:1], GREEK[1:], b"\xff", b"*" * 130, b"\x03\xe8")),
    fin=st.sampled_from((True, True, False)),
    reserved=st.sampled_from((0, 0, 0, 0x40)),
)
_STREAMS = st.lists(_FRAMES | st.binary(max_size=6), max_size=12).map(b"".join)


class CuttingTests(SynchronousTestCase):
    """What networks do to bytes."""

    @settings(deadline=None, max_examples=100)
    @given(_STREAMS, st.lists(st.integers(1, 40), max_size=40), st.booleans())
    def test_W05_same_events_however_cut(self, data: bytes, cuts: list[int], deflate: bool) -> None:
        """Any bytes, cut anyhow, give the same events; nothing else comes of random ones."""
        whole = read(data, deflate=deflate)
        reader = FrameReader(LIMIT, deflate=deflate)
        events: list[Event] = []
        rest = data
        for cut in cuts:
            events += reader.receive(rest[:cut], at(0.0))
            rest = rest[cut:]
        events += reader.receive(rest, at(0.0))
        self.assertEqual(events, whole)
        self.assertEqual(reader.ended, bool(whole) and isinstance(whole[-1], Closed | Broken))

    @settings(deadline=None, max_examples=50)
    @given(_STREAMS, st.integers(0, 400))
    def test_W05_truncated(self, data: bytes, length: int) -> None:
        """What is cut off early gives the first of the same events, and no failure."""
        whole = read(data)
        part = read(data[:length])
        self.assertEqual(part, whole[: len(part)])

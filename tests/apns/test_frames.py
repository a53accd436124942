"""Bytes of notifications, error packets and feedback."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.compat import iterbytes
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.apns.errors import ProtocolError
from gms_twisted.apns.frames import (
    ENHANCED,
    FRAMED,
    MAX_FRAME_BYTES,
    SIMPLE,
    ErrorPacket,
    ErrorPacketReader,
    Feedback,
    FeedbackReader,
    Notification,
    NotificationReader,
    enhanced,
    error_packet,
    feedback,
    framed,
    simple,
)
from tests.apns.cutting import cut

TOKEN = bytes(range(32))
PAYLOAD = '{"aps":{"alert":"Hi é","badge":3},"message":"Agent Available"}'.encode()
IDENTIFIER, EXPIRY = 0x01020304, 1_700_000_000
T, P = TOKEN.hex(), PAYLOAD.hex()

NUMBERS = st.integers(0, 2**32 - 1)
NOTIFICATIONS = st.one_of(
    st.builds(
        Notification,
        st.binary(max_size=40),
        st.binary(max_size=90),
        NUMBERS,
        st.none() | NUMBERS,
        st.none() | st.integers(0, 255),
    ),
    st.builds(
        Notification,
        st.binary(max_size=40),
        st.binary(max_size=90),
        NUMBERS,
        NUMBERS,
        st.none(),
        st.just(ENHANCED),
    ),
    st.builds(
        Notification, st.binary(max_size=40), st.binary(max_size=90), command=st.just(SIMPLE)
    ),
)
PLACES = st.lists(st.integers(0, 10_000), max_size=12)


def written(one: Notification) -> bytes:
    """Write it in its own form."""
    if one.command == SIMPLE:
        return simple(one.token, one.payload)
    if one.command == ENHANCED:
        return enhanced(one.token, one.payload, one.identifier, one.expiry or 0)
    return framed(one.token, one.payload, one.identifier, one.expiry, one.priority)


class VectorTests(SynchronousTestCase):
    """The specification's bytes."""

    def test_simple(self) -> None:
        """100 bytes."""
        self.assertEqual(simple(TOKEN, PAYLOAD).hex(), f"000020{T}003f{P}")

    def test_enhanced(self) -> None:
        """108 bytes."""
        self.assertEqual(
            enhanced(TOKEN, PAYLOAD, IDENTIFIER, EXPIRY).hex(),
            f"01010203046553f1000020{T}003f{P}",
        )

    def test_framed(self) -> None:
        """124 bytes."""
        self.assertEqual(
            framed(TOKEN, PAYLOAD, IDENTIFIER, EXPIRY, 10).hex(),
            f"0200000077010020{T}02003f{P}030004010203040400046553f1000500010a",
        )

    def test_error(self) -> None:
        """6 bytes: invalid token."""
        self.assertEqual(error_packet(8, IDENTIFIER).hex(), "080801020304")

    def test_feedback(self) -> None:
        """38 bytes."""
        self.assertEqual(feedback(EXPIRY, TOKEN).hex(), f"6553f1000020{T}")

    def test_items_4_and_5_only_when_given(self) -> None:
        """Without expiry and priority a frame has three items."""
        self.assertEqual(framed(b"t", b"p", 1).hex(), "020000000f010001740200017003000400000001")


class ErrorPacketReaderTests(SynchronousTestCase):
    """One packet, in any pieces."""

    def test_one_byte_at_a_time(self) -> None:
        """Only the sixth byte completes it."""
        reader = ErrorPacketReader()
        got = [reader.receive_data(byte) for byte in iterbytes(error_packet(8, 42))]
        self.assertEqual(got, [None] * 5 + [ErrorPacket(8, 42)])
        self.assertFalse(reader.incomplete)

    def test_what_follows_is_not_looked_at(self) -> None:
        """The gateway has closed after a packet, so nothing can follow."""
        reader = ErrorPacketReader()
        self.assertEqual(reader.receive_data(error_packet(10, 7) + b"\1x"), ErrorPacket(10, 7))
        self.assertIsNone(reader.receive_data(error_packet(8, 8)))

    def test_incomplete_is_told(self) -> None:
        """A packet that has begun can be seen."""
        reader = ErrorPacketReader()
        self.assertIsNone(reader.receive_data(b""))
        self.assertFalse(reader.incomplete)
        reader.receive_data(b"\x08")
        self.assertTrue(reader.incomplete)

    @settings(deadline=None, max_examples=100)
    @given(st.binary(max_size=20), PLACES)
    def test_garbage_ends_in_protocol_error_only(self, data: bytes, places: list[int]) -> None:
        """Whatever does not begin with 8 breaks the rules with its first byte."""
        reader = ErrorPacketReader()
        try:
            got = [reader.receive_data(piece) for piece in cut(data, places)]
        except ProtocolError:
            self.assertNotEqual(data[0], 8)
            self.assertIsNone(reader.receive_data(error_packet(1, 1)))
        else:
            self.assertEqual(any(got), len(data) >= 6)


class FeedbackReaderTests(SynchronousTestCase):
    """Tuples, in any pieces."""

    @settings(deadline=None, max_examples=80)
    @given(st.lists(st.builds(Feedback, NUMBERS, st.binary(max_size=40)), max_size=6), PLACES)
    def test_same_tuples_however_cut(self, tuples: list[Feedback], places: list[int]) -> None:
        """Any cutting gives the tuples in order."""
        reader = FeedbackReader()
        stream = b"".join(feedback(one.since, one.token) for one in tuples)
        got = [one for piece in cut(stream, places) for one in reader.receive_data(piece)]
        self.assertEqual(got, tuples)
        self.assertFalse(reader.incomplete)

    @settings(deadline=None, max_examples=50)
    @given(st.integers(1, 37))
    def test_truncated_tuple_is_told(self, length: int) -> None:
        """The last tuple cut short is no tuple, and can be seen."""
        reader = FeedbackReader()
        self.assertEqual(reader.receive_data(feedback(1, TOKEN)[:length]), [])
        self.assertTrue(reader.incomplete)

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.binary(max_size=30), max_size=6))
    def test_any_bytes(self, pieces: list[bytes]) -> None:
        """Random bytes are tuples, complete or not; nothing is raised."""
        reader = FeedbackReader()
        for piece in pieces:
            reader.receive_data(piece)


class NotificationReaderTests(SynchronousTestCase):
    """Notifications of all three forms, in any pieces."""

    @settings(deadline=None, max_examples=120)
    @given(st.lists(NOTIFICATIONS, max_size=6), PLACES)
    def test_same_notifications_however_cut(
        self, sent: list[Notification], places: list[int]
    ) -> None:
        """Any cutting gives what was written, in order, forms mixed."""
        reader = NotificationReader()
        stream = b"".join(map(written, sent))
        got = [one for piece in cut(stream, places) for one in reader.receive_data(piece)]
        self.assertEqual(got, sent)
        self.assertFalse(reader.incomplete)

    @settings(deadline=None, max_examples=80)
    @given(NOTIFICATIONS, st.integers(0, 10_000))
    def test_truncated_is_none(self, one: Notification, places: int) -> None:
        """A notification cut short is not given."""
        stream = written(one)
        reader = NotificationReader()
        self.assertEqual(reader.receive_data(stream[: places % len(stream)]), [])

    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.sampled_from((b"\0", b"\1", b"\2", b"\0\0\0\5")) | st.binary(max_size=12)))
    def test_garbage_ends_in_protocol_error_only(self, pieces: list[bytes]) -> None:
        """Random bytes give notifications or a ProtocolError, and no more after that."""
        reader = NotificationReader()
        try:
            for piece in pieces:
                reader.receive_data(piece)
        except ProtocolError:
            with self.assertRaises(ProtocolError):
                reader.receive_data(simple(TOKEN, PAYLOAD))

    def test_notifications_before_the_fault_are_given(self) -> None:
        """The call gives what came before; the next one raises."""
        reader = NotificationReader()
        self.assertEqual(len(reader.receive_data(simple(TOKEN, PAYLOAD) + b"\7")), 1)
        with self.assertRaises(ProtocolError):
            reader.receive_data(b"")

    def test_what_breaks_the_rules(self) -> None:
        """Lengths, items and commands are checked."""
        for name, data in {
            "command 3": "03",
            "a huge frame": f"02{MAX_FRAME_BYTES + 1:08x}",
            "a huge token": f"00{MAX_FRAME_BYTES + 1:04x}",
            "no room for an item's head": "02000000020100",
            "an item longer than the frame": "020000000401000274",
            "item 0": "0200000003000000",
            "item 6": "0200000003060000",
            "an item twice": "02000000080100017401000174",
            "a short identifier": "020000000403000101",
            "a long priority": "02000000050500020a0a",
        }.items():
            with self.assertRaises(ProtocolError, msg=name):
                NotificationReader().receive_data(bytes.fromhex(data))

    def test_missing_items_are_empty(self) -> None:
        """A frame without token or payload can be read; a gateway says what is missing."""
        got = NotificationReader().receive_data(bytes.fromhex("0200000000"))
        self.assertEqual(got, [Notification(b"", b"", 0, None, None, FRAMED)])

    def test_incomplete_is_told(self) -> None:
        """A notification that has begun can be seen."""
        reader = NotificationReader()
        with contextlib.suppress(ProtocolError):
            reader.receive_data(b"\2\0")
        self.assertTrue(reader.incomplete)

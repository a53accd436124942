"""Bytes <-> packets."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.chatserver.errors import PacketTooLarge, ProtocolError
from gms_twisted.chatserver.framing import KEEP_ALIVE, MAX_FRAME_BYTES, FrameReader, frame

PACKETS = st.lists(st.binary(max_size=40), max_size=8)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at these places, modulo their number."""
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(edges)]


class FrameTests(SynchronousTestCase):
    """A packet has its length before it."""

    def test_length_is_four_bytes_big_endian(self) -> None:
        """Three bytes of packet follow 00 00 00 03."""
        self.assertEqual(frame(b"abc"), b"\0\0\0\x03abc")

    def test_largest_packet_passes(self) -> None:
        """Exactly 1 MiB is written and read."""
        payload = b"x" * MAX_FRAME_BYTES
        self.assertEqual(FrameReader().receive_data(frame(payload)), [payload])

    def test_larger_packet_is_not_written(self) -> None:
        """One byte more is our own fault."""
        with self.assertRaises(PacketTooLarge):
            frame(b"x" * (MAX_FRAME_BYTES + 1))


class FrameReaderTests(SynchronousTestCase):
    """Packets come out as they were put in, however the stream was cut."""

    @settings(deadline=None, max_examples=80)
    @given(PACKETS, st.lists(st.integers(0, 10_000), max_size=12))
    def test_same_packets_however_cut(self, packets: list[bytes], places: list[int]) -> None:
        """Any cutting gives the packets that are not empty, in order."""
        reader = FrameReader()
        stream = b"".join(map(frame, packets))
        got = [one for piece in cut(stream, places) for one in reader.receive_data(piece)]
        self.assertEqual(got, [one for one in packets if one])
        self.assertFalse(reader.incomplete)

    @settings(deadline=None, max_examples=80)
    @given(st.lists(st.binary(max_size=30), max_size=6))
    def test_C11_garbage_ends_in_protocol_error_only(self, pieces: list[bytes]) -> None:
        """Random bytes give packets or a ProtocolError, nothing else."""
        reader = FrameReader()
        try:
            for piece in pieces:
                reader.receive_data(piece)
        except ProtocolError:
            with self.assertRaises(ProtocolError):
                reader.receive_data(b"\0\0\0\0")

    def test_C11_huge_length_is_noticed_with_its_fourth_byte(self) -> None:
        """A prefix above 1 MiB breaks the rules before any of the packet comes."""
        reader = FrameReader()
        self.assertEqual(reader.receive_data(b"\xff\xff\xff"), [])
        with self.assertRaises(ProtocolError):
            reader.receive_data(b"\xff")

    def test_limit_is_exact(self) -> None:
        """1 MiB plus one byte as length is too much."""
        with self.assertRaises(ProtocolError):
            FrameReader().receive_data((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))

    def test_keep_alive_carries_nothing(self) -> None:
        """Length 0 is no packet."""
        self.assertEqual(FrameReader().receive_data(KEEP_ALIVE * 3 + frame(b"a")), [b"a"])

    def test_incomplete_packet_is_told(self) -> None:
        """Whoever minds deadlines can see that a packet has begun."""
        reader = FrameReader()
        reader.receive_data(b"\0\0")
        self.assertTrue(reader.incomplete)

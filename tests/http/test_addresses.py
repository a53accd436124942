"""Networks, and whose count an address goes to."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.http.addresses import Networks, counted_as, parse_address


class NetworksTests(SynchronousTestCase):
    """A list of addresses and networks."""

    def test_members(self) -> None:
        """Single addresses and networks of both families are understood."""
        networks = Networks(["127.0.0.0/8", "::1", "10.1.2.3", "2001:db8::/32"])
        for address in ("127.9.9.9", "::1", "10.1.2.3", "2001:db8:1::5", "::ffff:127.0.0.1"):
            self.assertIn(address, networks)
        for address in ("128.0.0.1", "::2", "10.1.2.4", "2001:db9::1", "", "localhost", "1"):
            self.assertNotIn(address, networks)

    def test_bad_entry(self) -> None:
        """A bad entry is named."""
        with self.assertRaisesRegex(ValueError, "nowhere"):
            Networks(["::1", "nowhere"])

    def test_memory(self) -> None:
        """What is remembered about addresses is bounded."""
        networks = Networks(["10.0.0.0/8"])
        for number in range(10_000):
            self.assertIn(f"10.0.{number >> 8}.{number & 255}", networks)
        self.assertLessEqual(len(networks._memo), 4096)

    def test_zone(self) -> None:
        """A zone is not part of an address."""
        self.assertEqual(str(parse_address("fe80::1%eth0")), "fe80::1")


class CountedAsTests(SynchronousTestCase):
    """An IPv6 client is its network."""

    def test_counts(self) -> None:
        """IPv4 counts alone, IPv6 by its /64; what is no address stays."""
        for address, counted in {
            "192.0.2.7": "192.0.2.7",
            "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::",
            "2001:db8:1:2:ffff::": "2001:db8:1:2::",
            "": "",
        }.items():
            self.assertEqual(counted_as(address), counted)

"""The simulated gateways of HTTP/2 and Web Push, as the command line starts them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.outgoing import Trust
from gms_twisted.push.tls import client_tls
from gms_twisted.simulators.h2_kinds import (
    apns2_options,
    make_apns2,
    make_webpush,
    webpush_options,
)
from tests.support.sources import CountingIds, ManualWallClock


@dataclass
class World:
    """What they are handed."""

    reactor: Any
    ids: CountingIds
    wall: ManualWallClock


class KindTests(SynchronousTestCase):
    """Options, files, hints."""

    def setUp(self) -> None:
        """A world of the test's."""
        clock = Clock()
        self.world = World(clock, CountingIds(), ManualWallClock(clock))
        self.folder = self.mktemp()
        self.said: list[tuple[str, Mapping[str, object]]] = []

    def say(self, what: str, members: Mapping[str, object]) -> None:
        """Keep it."""
        self.said.append((what, members))

    def options(
        self, add: Callable[[argparse.ArgumentParser], None], *arguments: str
    ) -> argparse.Namespace:
        """Parse arguments."""
        made = argparse.ArgumentParser()
        add(made)
        return made.parse_args(["--files", self.folder, *arguments])

    def test_apns2(self) -> None:
        """Hints name files that are there and can be used; a second start finds them."""
        options = self.options(apns2_options, "--answer", "00AB=Unregistered")
        _, hints = make_apns2(options, self.say, self.world)
        found = dict(one.split("=", 1) for one in hints("http://127.0.0.1:8443"))
        self.assertEqual(found["push/apple.http2_url"], "https://localhost:8443")
        client_tls("localhost", Trust(ca_file=found["push/apple.ca_file"]))
        key = Path(found["push/apple.auth_key"])
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        before = key.read_bytes()
        make_apns2(options, self.say, self.world)
        self.assertEqual(key.read_bytes(), before)

    def test_webpush(self) -> None:
        """It shows a subscription of where it listens."""
        options = self.options(webpush_options, "--answer", "1=410")
        _, hints = make_webpush(options, self.say, self.world)
        found = dict(one.split("=", 1) for one in hints("http://127.0.0.1:8444"))
        self.assertEqual(found["push/webpush.allow_hosts"], "localhost:8444")
        what, members = self.said[0]
        self.assertEqual((what, members["endpoint"]), ("browser", "https://localhost:8444/push/1"))
        json.dumps(members)

    def test_bad_answers(self) -> None:
        """An answer that cannot be understood is refused."""
        for add, make, answer in (
            (apns2_options, make_apns2, "Unregistered"),
            (webpush_options, make_webpush, "x=410"),
            (webpush_options, make_webpush, "1=99"),
        ):
            options = self.options(add, "--answer", answer)
            self.assertRaises(ValueError, make, options, self.say, self.world)

"""The load generator against a real server, in each of its ways, for a moment.

What it counts is what the benches believe: each message must arrive once, and nobody may see an
error, with TLS and acknowledgements, on both transports.

Run with ``python -m twisted.trial tests.live.load``; ``bin/test clients`` does.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.load import Load, compiled, options, run
from bench.servers import SERVERS, certificate
from tests.live.canary import metric
from tests.live.server import Server
from tests.support.ports import free_port

HAS_TLS = Path("/usr/include/openssl/ssl.h").exists()
SHORT = options(n=40, w=2, s=0.1, d=0.3)


class GeneratorTests(SynchronousTestCase):
    """The generator's own figures against one server."""

    if shutil.which("gcc") is None:
        skip = "gcc is not installed"

    def setUp(self) -> None:
        """Start a server with a plain listener and one with TLS."""
        compiled()
        pem, tls = certificate() / "cert.pem", free_port()
        self.server = Server(
            *("--log-level", "warn"),
            *("--listen", f"ssl:{tls}:interface=127.0.0.1:privateKey={pem}:certKey={pem}"),
        )
        self.server.start()
        self.addCleanup(self.server.__exit__, None, None, None)
        self.plain = replace(SERVERS["ours"], port=int(self.server.url.rpartition(":")[2]))
        self.secure = replace(SERVERS["ours"], port=tls)

    def check(self, load: Load) -> None:
        """Run for a moment: everything arrives once."""
        line = run(load, self.secure if load.tls else self.plain, self.server.pid)
        self.assertEqual((line["errors"], line["ratio"]), (0, 1.0), load)
        self.assertGreater(line["delivered"], 40, load)

    def test_everything_arrives_once(self) -> None:
        """Whatever the transport, and whatever is on."""
        for transport in ("lp", "ws", "mix"):
            for ack in (False, True):
                for tls in (False, True) if HAS_TLS else (False,):
                    self.check(Load(transport, SHORT, tls=tls, ack=ack))

    def test_channels_and_subscriptions(self) -> None:
        """One receiver of each message; channels that do not share the subscribers evenly."""
        for transport in ("lp", "ws"):
            self.check(Load(transport, (*SHORT, *options(C=40))))
            self.check(Load(transport, (*SHORT, *options(C=7, m=30))))

    def test_upstream_and_events(self) -> None:
        """Replies are counted; an event has one receiver."""
        for transport in ("lp", "ws"):
            self.check(Load(transport, ("-U", *SHORT)))
            self.check(Load(transport, ("-e", *SHORT)))

    def test_a_rate_is_kept(self) -> None:
        """Fifty publishes a second to forty clients are two thousand deliveries a second."""
        load = Load("ws", (*SHORT, *options(r=50, d=1)))
        line = run(load, self.plain, self.server.pid)
        self.assertGreater(line["deliveries_per_s"], 1500)
        self.assertLess(line["deliveries_per_s"], 2500)

    def test_polite_clients_leave_nothing(self) -> None:
        """Who says good-bye has no session any more."""
        for transport in ("lp", "ws", "mix"):
            run(Load(transport, ("-q", *SHORT)), self.plain, self.server.pid)
        self.assertEqual(self.sessions(), 0)
        run(Load("ws", SHORT), self.plain, self.server.pid)
        self.assertEqual(self.sessions(), 40)

    def sessions(self) -> int:
        """How many the server has, as its metrics say."""
        return int(metric(self.server.url, "gms_bayeux_sessions"))

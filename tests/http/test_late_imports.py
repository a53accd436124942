"""Nothing is loaded while requests are served: at the descriptor limit it could not be."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

_PROGRAM = """
import resource, os, sys
from twisted.web.resource import Resource
from gms_twisted.config.bayeux_options import BayeuxOptions
from tests.http.hot import FakeHot
from tests.http.test_channel import Pages
from tests.http.wire import GET, GET_HOT, TEXT, UPGRADE, post
from tests.support.front import Front, multipart

front = Front(Pages(), hot=FakeHot(), sockets=BayeuxOptions(ws_permessage_deflate=True))
content_type, body = multipart(("a", "b"), ("f", b"x" * 10, "f.bin"))
typed = ("Content-Type: " + content_type + "\\r\\n").encode()
form = b"Content-Type: application/x-www-form-urlencoded; charset="
requests = [
    GET, GET_HOT, GET.replace(b"GET", b"HEAD"), GET.replace(b"page", b"none"),
    post(b"/page", b"a=%e4", form + b"windows-1252\\r\\n"),
    post(b"/page", b"a=%e4", form + b"iso-8859-1\\r\\n"),
    post(b"/page", b"a=%c3%a4"), post(b"/page", b"a=%ff"),
    post(b"/page", b'{"a":1}', b"Content-Type: application/json\\r\\n"),
    post(b"/page", b"{", b"Content-Type: application/json\\r\\n"),
    post(b"/page", body, typed), post(b"/page", body[:-9], typed), post(b"/hot", b"[]"),
    GET.replace(b"page", b"%ff"), GET.replace(b"Host", b"Hos t"),
    UPGRADE.replace(b"Upgrade: w",
        b"Sec-WebSocket-Extensions: permessage-deflate\\r\\nUpgrade: w") + TEXT,
]
descriptors = [front.connect() for _ in requests]
before = set(sys.modules)
used = len(os.listdir("/proc/self/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (used + 2, used + 2))
statuses = []
for connection, request in zip(descriptors, requests):
    connection.send(request, 11)
    statuses.append(connection.received()[9:12].decode())
front.clock.advance(100)
late = sorted(set(sys.modules) - before)
print(" ".join(statuses), late)
"""


class LateImportTests(SynchronousTestCase):
    """A process of its own, in which nothing else has loaded anything."""

    def test_G09_nothing_is_loaded_late(self) -> None:
        """Two descriptors suffice for a request of every kind, and no module is loaded."""
        ran = subprocess.run(
            [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60
        )
        self.assertEqual(
            ran.stdout.strip(),
            "200 200 200 204 200 200 200 400 200 400 200 400 200 400 400 101 []",
            ran.stderr,
        )

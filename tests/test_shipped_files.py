"""What stands in front of the server and starts it: the files in ``etc`` fit the server's options.

The proxies' files run before real servers in ``tests.live.proxies``.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from gms_twisted.config.bayeux_options import BayeuxOptions
from gms_twisted.config.options import HttpOptions, ServerOptions
from gms_twisted.tap import Options

ETC = Path(__file__).resolve().parent.parent / "etc"
UNITS = ("gms.service", "gms@.service")
MOST_EXPOSED = 1.5
"""Of 10, as ``systemd-analyze security`` counts."""


def settings(name: str) -> list[str]:
    """The lines of a file without comments and indentation."""
    lines = (line.strip() for line in (ETC / name).read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


class ProxyFileTests(SynchronousTestCase):
    """No limit of a proxy is below the server's, and no pause of the server is too long for it."""

    def setUp(self) -> None:
        """Read them."""
        self.http, self.bayeux = HttpOptions(), BayeuxOptions()
        self.haproxy, self.nginx = settings("haproxy.cfg"), settings("nginx.conf")

    def number(self, lines: list[str], pattern: str) -> float:
        """The one number that a pattern finds."""
        (found,) = [match[1] for line in lines if (match := re.fullmatch(pattern, line))]
        return float(found)

    def test_bodies(self) -> None:
        """Only nginx has a limit."""
        most = self.number(self.nginx, r"client_max_body_size (\d+);")
        self.assertEqual(most, self.http.max_body_multipart)

    def test_heads(self) -> None:
        """A line and a whole head at the server's limit fit."""
        buffer = self.number(self.haproxy, r"tune\.bufsize (\d+)")
        self.assertGreaterEqual(buffer - 1024, self.http.max_header_block)
        line = self.number(self.nginx, r"large_client_header_buffers \d+ (\d+)k;")
        self.assertGreater(line * 1024, self.http.max_header_line)
        count = self.number(self.nginx, r"large_client_header_buffers (\d+) \d+k;")
        self.assertGreater(count * line * 1024, self.http.max_header_block)

    def test_silence(self) -> None:
        """Polls that are held and websockets between two pings are not cut."""
        longest = max(self.bayeux.timeout_s, self.bayeux.ws_ping_interval_s)
        for name in ("client", "server", "tunnel"):
            least = self.number(self.haproxy, rf"timeout {name} (\d+)s")
            self.assertGreater(least, longest + 15)
        for name in ("proxy_read_timeout", "proxy_send_timeout", "client_body_timeout"):
            self.assertGreater(self.number(self.nginx, rf"{name} (\d+)s;"), longest + 15)

    def test_connections_that_wait(self) -> None:
        """A proxy gives them up before the server does."""
        kept = [line for line in self.nginx if line.startswith("keepalive_timeout ")]
        self.assertEqual(len(kept), 2)  # to the nodes, to clients
        self.assertLess(float(kept[0].split()[1].rstrip("s;")), self.http.keepalive_timeout_s)

    def test_users_and_addresses(self) -> None:
        """Both name the machines that the server has as internal, and pass the header on."""
        internal = {"127.0.0.1", "::1"}
        for name in ("internal", "may_name_users"):
            self.assertIn(f"acl {name} src {' '.join(sorted(internal))}", self.haproxy)
            start = self.nginx.index(f"geo $gms_{name} {{")
            listed = {line.split()[0] for line in self.nginx[start + 2 : start + 4]}
            self.assertEqual(listed, internal)
        self.assertIn("underscores_in_headers on;", self.nginx)
        self.assertEqual(ServerOptions().trusted_hops, 1)
        for lines in (self.haproxy, self.nginx):
            self.assertEqual(sum("X-Forwarded-For" in line for line in lines), 1)


class UnitTests(SynchronousTestCase):
    """The units of systemd."""

    def test_the_command_is_one_that_the_server_takes(self) -> None:
        """As ``twistd gms`` parses it."""
        for unit, port in (("gms.service", "8080"), ("gms@.service", "8082")):
            (command,) = [
                line.partition("=")[2]
                for line in settings(f"systemd/{unit}")
                if line.startswith("ExecStart=")
            ]
            words = shlex.split(command.replace("%i", "2"))
            self.assertEqual(words[1:4], ["--nodaemon", "--pidfile=", "gms"])
            options = Options()
            options.parseOptions(words[4:])
            self.assertEqual(options["data"], "${STATE_DIRECTORY}")
            self.assertEqual(options.listen, [f"tcp:{port}:interface=127.0.0.1"])
            numbers = ["server/node_id=2"] if port == "8082" else []
            self.assertEqual(options.overrides, numbers)

    def test_the_template_is_the_unit_but_for_its_number(self) -> None:
        """So that both have the same sandbox."""
        one, many = (settings(f"systemd/{unit}") for unit in UNITS)
        names = {line.partition("=")[0] for line in set(one) ^ set(many)}
        own = {"Description", "After", "ExecStart", "StateDirectory", "WorkingDirectory"}
        self.assertEqual(names, own | {"MemoryHigh"})

    def test_there_is_time_to_drain(self) -> None:
        """More than ``server/shutdown_grace``, before systemd kills it."""
        (line,) = [one for one in settings("systemd/gms.service") if "TimeoutStopSec" in one]
        self.assertGreater(float(line.partition("=")[2]), ServerOptions().shutdown_grace_s + 10)

    def test_systemd_finds_nothing_wrong(self) -> None:
        """``systemd-analyze verify`` is silent, with the program where it is here."""
        with tempfile.TemporaryDirectory(prefix="gms-units-") as name:
            folder = Path(name)
            for unit in UNITS:
                text = (ETC / "systemd" / unit).read_text()
                text = text.replace("/opt/gms/.venv/bin/twistd", "/bin/true")
                (folder / unit).write_text(text)
            files = [str(folder / unit) for unit in UNITS]
            ended = self.analyze("verify", "--man=no", *files)
        self.assertEqual((ended.returncode, ended.stdout + ended.stderr), (0, ""))

    def test_little_is_exposed(self) -> None:
        """The sandbox keeps most things from the server."""
        for unit in UNITS:
            ended = self.analyze(
                "security", "--offline=true", "--no-pager", str(ETC / "systemd" / unit)
            )
            found = re.search(r"exposure level for \S+: ([0-9.]+)", ended.stdout)
            assert found is not None, ended
            self.assertLessEqual(float(found[1]), MOST_EXPOSED, ended.stdout)

    def analyze(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``systemd-analyze``."""
        program = shutil.which("systemd-analyze")
        if program is None:
            raise SkipTest("systemd-analyze is not installed")
        return subprocess.run(
            [program, *words], capture_output=True, text=True, timeout=60, check=False
        )

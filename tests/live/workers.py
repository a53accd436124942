"""Workers in real processes on a real Redis: start, crash, reload, rolling restart, end.

Run with ``python -m twisted.trial tests.live.workers``; ``bin/test lifecycle`` does.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from tests.live.lifecycle import (
    LIMIT_S,
    LifecycleCase,
    certificate,
    command,
    get,
    post,
    served_name,
)
from tests.live.server import ROOT, Server
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer

STREAM_PAUSE_S = 0.02


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def lives(pid: int) -> bool:
    """Tell whether a process runs, and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def port_of(server: Server) -> int:
    """Where it listens."""
    return int(server.url.rsplit(":", 1)[1])


@dataclass(frozen=True)
class Socket:
    """One of this machine's, as the kernel tells of it.

    :ivar peer: the other end's port.
    :ivar queue: bytes that nobody has read, or of a listener: connections that nobody has accepted.
    """

    listens: bool
    peer: int
    queue: int
    accepted: bool

    def is_read(self, peer: int) -> bool:
        """Tell whether all that came from a port was read by who has accepted it."""
        return self.peer == peer and self.accepted and not self.queue


def sockets(port: int) -> list[Socket]:
    """All TCP sockets whose own port is this one."""
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, queues, _, _, _, _, inode, *_ = line.split()
        if int(local.rpartition(":")[2], 16) == port:
            peer, queue = (int(one.rpartition(":")[2], 16) for one in (remote, queues))
            found.append(Socket(state == "0A", peer, queue, inode != "0"))
    return found


class Stream(threading.Thread):
    """One client who asks all the time, and remembers what went wrong.

    :param keeps: it keeps its connection as long as the server does.
    """

    def __init__(self, url: str, *, keeps: bool) -> None:
        super().__init__(daemon=True)
        self._address = url.removeprefix("http://")
        self._keeps = keeps
        self._over = threading.Event()
        self.failures: list[str] = []
        self.count = 0

    def run(self) -> None:
        """Ask until told to stop."""
        connection = None
        body = urlencode({"a": "b"})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        while not self._over.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(self._address, timeout=20)
                connection.request("POST", "/genesys/1/storage/60", body, headers)
                answer = connection.getresponse()
                said = answer.read()
                if answer.status != 200:
                    self.failures.append(f"{answer.status} {said[:200]!r}")
                if answer.will_close or not self._keeps:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection = None
            self.count += 1
            self._over.wait(STREAM_PAUSE_S)

    def stop(self) -> None:
        """Stop."""
        self._over.set()
        self.join(30)


class WorkersCase(LifecycleCase):
    """With a Redis of its own."""

    def setUp(self) -> None:
        """Start it."""
        super().setUp()
        self.redis = RedisServer().start()
        self.addCleanup(self.redis.remove)

    def server(self, *options: str, workers: int = 2) -> Server:
        """A server with workers."""
        return Server(
            "--set", f"store/url={self.redis.url}", "--set", f"server/workers={workers}",
            *options, data=self.folder / "data",
        )  # fmt: skip

    def until(self, condition: Callable[[], object], server: Server | None = None) -> None:
        """Wait for something."""
        end = time.monotonic() + LIMIT_S
        while not condition():
            said = "" if server is None else server.said
            self.assertLess(time.monotonic(), end, f"it never happened; the server said:\n{said}")
            time.sleep(0.05)

    def serving(self, server: Server, count: int) -> bool:
        """Tell whether so many workers have been ready since the start."""
        return server.said.count("Ready\n") >= count


class LifeTests(WorkersCase):
    """One server from start to end."""

    def test_a_killed_worker_is_replaced_and_the_other_serves(self) -> None:
        """What it had accepted is lost; what waits is not."""
        with self.server() as server:
            first, second = children(server.pid)
            self.until(lambda: self.serving(server, 2))
            # Both stand still: who comes now waits in the queue that they share.
            for pid in (first, second):
                os.kill(pid, signal.SIGSTOP)
            waiting = Stream(server.url, keeps=False)
            waiting.start()
            port = port_of(server)
            self.until(lambda: any(one.listens and one.queue for one in sockets(port)), server)
            os.kill(first, signal.SIGKILL)
            os.kill(second, signal.SIGCONT)
            self.until(lambda: waiting.count > 50)
            waiting.stop()
            self.assertEqual(waiting.failures, [], server.said)
            self.wait_for(server, "Worker 1 has ended: signal SIGKILL")
            self.until(lambda: self.serving(server, 3), server)
            self.assertEqual(len(children(server.pid)), 2)
            self.assertEqual(post(f"{server.url}/genesys/1/storage/60", a="b")[0], 200)

    def test_R12_SIGTERM_ends_all_with_status_0(self) -> None:
        """No process is left, and the port is free."""
        server = self.server()
        server.start()
        pids = children(server.pid)
        self.assertEqual(len(pids), 2)
        self.assertEqual(server.stop(), 0, server.said)
        self.assertEqual([pid for pid in pids if lives(pid)], [])
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.1", port_of(server)), 5)
        self.assertNotIn("has ended", server.said)
        self.assertNotIn("Traceback", server.said)

    def test_R12_a_service_manager_may_signal_all_processes(self) -> None:
        """As systemd does; a worker that is asked twice drains all the same."""
        server = self.server()
        server.start()
        for pid in children(server.pid):
            os.kill(pid, signal.SIGTERM)
        self.assertEqual(server.stop(), 0, server.said)

    def test_R12_a_second_SIGTERM_ends_all_at_once(self) -> None:
        """With status 1, though a request is under way."""
        server = self.server()
        server.start()
        pids, port = children(server.pid), port_of(server)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(
                b"POST /genesys/1/storage/60 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
            )
            mine = client.getsockname()[1]
            self.until(lambda: any(one.is_read(mine) for one in sockets(port)), server)
            os.kill(server.pid, signal.SIGTERM)
            self.until(lambda: not any(one.listens for one in sockets(port)), server)
            self.assertTrue(lives(server.pid), server.said)
            self.assertEqual(server.stop(), 1, server.said)
        self.until(lambda: not any(map(lives, pids)), server)

    def test_workers_do_not_outlive_their_parent(self) -> None:
        """However it ends; the same data can be used again."""
        server = self.server()
        server.start()
        pids = children(server.pid)
        server.kill()
        self.until(lambda: not any(map(lives, pids)), server)
        with self.server() as again:
            self.assertEqual(post(f"{again.url}/genesys/1/storage/60", a="b")[0], 200)

    def test_R06_a_second_server_on_the_same_data_refuses_to_start(self) -> None:
        """And the first one goes on."""
        with self.server() as server:
            ended = command(
                "--data", str(self.folder / "data"), "--listen", "tcp:0:interface=127.0.0.1",
                "--set", f"store/url={self.redis.url}", "--set", "server/workers=2",
            )  # fmt: skip
            self.assertEqual(ended.returncode, 1, ended.stdout)
            self.assertEqual(len(ended.stderr.strip().splitlines()), 1, ended.stderr)
            self.assertIn("worker-", ended.stderr)
            self.assertEqual(get(f"{server.url}/genesys/1/node"), (200, b""))

    def test_two_machines_that_do_not_fit(self) -> None:
        """The second one says so and ends: the same number, or no common secret."""
        with self.server():
            for node, wanted in (
                (1, "Node 10[12] is running at .* already"),
                (2, "Node 10[12] of another machine uses this Redis too: set cluster/secret"),
            ):
                ended = command(
                    "--data", str(self.folder / "other"), "--listen", "tcp:0:interface=127.0.0.1",
                    "--set", f"store/url={self.redis.url}", "--set", "server/workers=2",
                    "--set", f"server/node_id={node}",
                )  # fmt: skip
                self.assertEqual(ended.returncode, 1, ended.stdout)
                self.assertRegex(ended.stderr, wanted)

    def test_one_log_and_one_banner(self) -> None:
        """In both formats every line says who wrote it."""
        with self.server() as server:
            self.until(lambda: self.serving(server, 2))
            self.assertEqual(server.said.count("GMS ready on"), 1)
            self.assertEqual(server.said.count("first log-in"), 1)
            for number in (1, 2):
                self.assertIn(f" [worker-{number} process.Process] Ready", server.said)
        process = subprocess.Popen(
            [str(ROOT / "bin" / "gms"), "--data", str(self.folder / "data"), "--log-format", "json",
             "--listen", "tcp:0:interface=127.0.0.1", "--set", f"store/url={self.redis.url}",
             "--set", "server/workers=2"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        assert process.stdout is not None
        workers = set()
        with process.stdout as output:
            for line in output:
                entry = json.loads(line)
                if entry["text"] == "Ready":
                    workers.add(entry["worker"])
                if "ready on" in entry["text"]:
                    break
        self.assertEqual(workers, {1, 2})
        self.assertEqual(entry["workers"], 2)
        self.assertNotIn("worker", entry)

    def test_under_twistd_as_a_daemon(self) -> None:
        """With its own log file and pid file."""
        log, pid_file, port = self.folder / "log", self.folder / "pid", free_port()
        twistd = str(Path(sys.executable).parent / "twistd")
        options = [
            "--set", f"store/url={self.redis.url}", "--set", "server/workers=2",
            "--data", str(self.folder / "data"), "--listen", f"tcp:{port}:interface=127.0.0.1",
        ]  # fmt: skip
        subprocess.run(
            [sys.executable, twistd, "--logfile", str(log), "--pidfile", str(pid_file), "gms",
             *options],
            cwd=self.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=LIMIT_S,
            check=True,
        )  # fmt: skip
        pid = int(pid_file.read_text())
        try:
            self.until(lambda: log.read_text().count("Ready\n") == 2)
            self.assertEqual(post(f"http://127.0.0.1:{port}/genesys/1/storage/60", a="b")[0], 200)
            self.assertEqual(len(children(pid)), 2)
        finally:
            os.kill(pid, signal.SIGTERM)
            self.until(lambda: not lives(pid))
        self.assertIn("[worker-2 process.Process] Ready", log.read_text())


class ChangeTests(WorkersCase):
    """Configurations and code change while requests come."""

    def test_R13_SIGHUP_reaches_all_workers(self) -> None:
        """A good configuration and its certificates; a bad one reaches none."""
        certificate(self.folder, "first")
        file = self.folder / "gms.ini"
        text = "[storage]\nmax_keys = {}\n"
        file.write_text(text.format(5))
        tls = free_port()
        files = f"privateKey={self.folder}/key.pem:certKey={self.folder}/cert.pem"
        with self.server(
            "--config", str(file), "--listen", f"ssl:{tls}:interface=127.0.0.1:{files}"
        ) as server:
            plain = next(word for word in server.said.split() if word.startswith("http://"))
            url = f"{plain.rstrip('/')}/genesys/1/storage/60"

            def statuses() -> set[int]:
                return {post(url, a="1", b="2", c="3")[0] for _ in range(20)}

            self.assertEqual(statuses(), {200})
            file.write_text(text.format(2))
            certificate(self.folder, "second")
            os.kill(server.pid, signal.SIGHUP)
            self.wait_for(server, "Configuration applied by 2 workers")
            self.assertEqual(statuses(), {400})
            self.assertEqual({served_name(tls) for _ in range(10)}, {"second"})
            file.write_text(text.format(9) + "[http]\nmax_body = much\n")
            os.kill(server.pid, signal.SIGHUP)
            self.wait_for(server, "Configuration not applied")
            self.assertEqual(statuses(), {400})
            trusting = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection("127.0.0.1", tls, context=trusting, timeout=10)
            connection.request("GET", "/genesys/1/node")
            self.assertEqual(connection.getresponse().status, 200)
            connection.close()

    def test_R13_SIGHUP_of_one_machine_reaches_the_others(self) -> None:
        """Each reads its own file; who refuses it is named, and goes by the old one."""
        text = "[storage]\nmax_keys = {}\n"
        files = [self.folder / name for name in ("one.ini", "two.ini")]

        def write(keys: int) -> None:
            for file in files:
                file.write_text(text.format(keys))

        def takes(server: Server) -> set[int]:
            url = f"{server.url}/genesys/1/storage/60"
            return {post(url, a="1", b="2", c="3")[0] for _ in range(20)}

        def reaches(server: Server, count: int) -> bool:
            cluster = json.loads(get(f"{server.url}/health")[1])["parts"]["cluster"]
            return [one["reachable"] for one in cluster["nodes"]] == [True] * count

        write(5)
        common = ("--set", "cluster/secret=of the test")
        two = Server(
            "--set", f"store/url={self.redis.url}", "--set", "server/node_id=2",
            "--config", str(files[1]), *common, data=self.folder / "two",
        )  # fmt: skip
        with self.server("--config", str(files[0]), *common) as one, two:
            self.until(lambda: reaches(one, 3) and reaches(two, 3), two)
            write(2)
            os.kill(two.pid, signal.SIGHUP)
            for node in (101, 102):
                self.wait_for(two, f"Configuration applied by node {node} (")
            self.assertEqual((takes(one), takes(two)), ({400}, {400}))
            self.assertNotIn("applied by node 2 (", one.said)
            write(5)
            files[1].write_text("[http]\nmax_body = much\n")
            os.kill(one.pid, signal.SIGHUP)
            self.wait_for(one, "Configuration not applied by node 2 (")
            self.assertIn("http/max_body", one.said)
            self.assertEqual((takes(one), takes(two)), ({200}, {400}))

    def test_a_rolling_restart_fails_no_request(self) -> None:
        """Those on connections of their own, and those on one that is kept."""
        file = self.folder / "gms.ini"
        file.write_text("[storage]\nmax_keys = 5\n")
        with self.server("--config", str(file)) as server:
            before = children(server.pid)
            self.until(lambda: self.serving(server, 2))
            for pid in before:
                os.kill(pid, signal.SIGUSR2)  # as `systemctl kill` does without --kill-whom=main
            streams = [Stream(server.url, keeps=keeps) for keeps in [False, True] * 4]
            for stream in streams:
                stream.start()
            file.write_text("[storage]\nmax_keys = 2\n")
            os.kill(server.pid, signal.SIGUSR2)
            self.wait_for(server, "Rolling restart is over")
            for stream in streams:
                stream.stop()
            self.assertEqual([stream.failures for stream in streams], [[]] * 8, server.said)
            self.assertTrue(all(stream.count > 100 for stream in streams))
            self.assertEqual(set(before) & set(children(server.pid)), set())
            url = f"{server.url}/genesys/1/storage/60"
            self.assertEqual({post(url, a="1", b="2", c="3")[0] for _ in range(20)}, {400})

    def test_a_fresh_worker_that_cannot_start_stops_the_roll(self) -> None:
        """Those that have not made way serve on."""
        certificate(self.folder, "first")
        tls = free_port()
        files = f"privateKey={self.folder}/key.pem:certKey={self.folder}/cert.pem"
        with self.server("--listen", f"ssl:{tls}:interface=127.0.0.1:{files}") as server:
            _, second = children(server.pid)
            key = (self.folder / "key.pem").read_bytes()
            (self.folder / "key.pem").write_text("none")
            os.kill(server.pid, signal.SIGUSR2)
            self.wait_for(server, "Rolling restart stopped, worker 1 is not ready: The key ")
            self.assertIn(second, children(server.pid))
            self.assertEqual(served_name(tls), "first")
            (self.folder / "key.pem").write_bytes(key)
            self.until(lambda: self.serving(server, 3), server)

    def test_R13_commands_reach_a_worker(self) -> None:
        """By the data directory that the parent was given."""
        with self.server() as server:
            ended = command("login-link", "--data", str(self.folder / "data"))
            self.assertEqual(ended.returncode, 0, ended.stderr)
            token = ended.stdout.strip().rpartition("#link=")[2]
            self.assertEqual(get(f"{server.url}/desk/api/link/{token}")[0], 200)
            os.kill(children(server.pid)[0], signal.SIGKILL)
            ended = command("self-check", "--data", str(self.folder / "data"))
            self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)

    def test_workers_without_a_redis_are_a_fault(self) -> None:
        """Of the start and of the check, with file and line."""
        file = self.folder / "gms.ini"
        file.write_text("[server]\nworkers = 2\n")
        wanted = f"{file}:2: server/workers: more than one worker needs a Redis"
        checked = command("check", "--config", str(file))
        self.assertEqual(checked.returncode, 1)
        self.assertIn(wanted, checked.stdout)
        ended = command("--config", str(file), "--data", str(self.folder / "data"))
        self.assertEqual(ended.returncode, 1)
        self.assertIn(wanted, ended.stderr)

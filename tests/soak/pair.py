"""A Redis with a replica, and a Sentinel that makes the replica the master when it must.

Knows: processes, Sentinel's configuration.  Does not know: nodes, faults.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable

from tests.support.ports import free_port
from tests.support.redis_server import RedisServer

NAME = "soak"
DOWN_MS = 2000
"""So long without an answer, and the master is taken for dead."""
LIMIT_S = 30.0

CONFIGURATION = """
bind 127.0.0.1
port {port}
dir {folder}
sentinel monitor {name} 127.0.0.1 {master} 1
sentinel down-after-milliseconds {name} {down}
sentinel failover-timeout {name} 6000
"""


class RedisPair:
    """Looks like one ``RedisServer``, whose master may change.

    :ivar url: for ``store/url``.
    """

    def __init__(self) -> None:
        self._master = RedisServer(append_only=True)
        replica_of = ("replicaof", f"127.0.0.1 {self._master.port}")
        self._replica = RedisServer(replica_of, append_only=True)
        self._port = free_port()
        self._sentinel: subprocess.Popen[bytes] | None = None
        self.url = f"redis+sentinel://127.0.0.1:{self._port}/{NAME}"

    def start(self) -> None:
        """Start all, and wait until the replica has what there is."""
        self._master.start()
        self._replica.start()
        self._wait(lambda: "master_link_status:up" in self._replica.ask("INFO", "replication"))
        path = self._master.path / "sentinel.conf"
        told = {"port": self._port, "folder": self._master.path, "name": NAME}
        path.write_text(CONFIGURATION.format(**told, master=self._master.port, down=DOWN_MS))
        program = shutil.which("redis-sentinel")
        if program is None:
            raise RuntimeError("redis-sentinel is missing")
        self._sentinel = subprocess.Popen([program, str(path)], stdout=subprocess.DEVNULL)
        self._wait(lambda: str(self._master.port) in self._ask("get-master-addr-by-name"))
        self._wait(lambda: str(self._replica.port) in self._ask("replicas"))

    def fail_over(self) -> None:
        """Kill the master, wait for the other one to take its place, and start it again."""
        self._master.kill()
        self._wait(lambda: str(self._replica.port) in self._ask("get-master-addr-by-name"))
        self._master, self._replica = self._replica, self._master
        self._replica.start()
        self._wait(lambda: "master_link_status:up" in self._replica.ask("INFO", "replication"))

    def signal(self, number: signal.Signals) -> None:
        """Send the master a signal."""
        self._master.signal(number)

    def kill(self) -> None:
        """Kill all."""
        if self._sentinel is not None:
            self._sentinel.kill()
            self._sentinel.wait()
        self._master.kill()
        self._replica.kill()

    def remove(self) -> None:
        """Kill all, and remove what they had."""
        self.kill()
        self._master.remove()
        self._replica.remove()

    def _ask(self, command: str) -> str:
        words = ("SENTINEL", command, NAME)
        said = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        try:
            with socket.create_connection(("127.0.0.1", self._port), 5) as wire:
                wire.sendall(f"*{len(words)}\r\n{said}".encode())
                return wire.recv(65_536).decode("utf-8", "replace")
        except OSError:
            return ""

    @staticmethod
    def _wait(holds: Callable[[], bool]) -> None:
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            try:
                if holds():
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise RuntimeError("Sentinel and its servers do not come to rest")

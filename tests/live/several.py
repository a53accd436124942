"""Several nodes on one Redis behind a balancer, in the place of one server.

Tests that know a server only from outside run against either: :func:`server` starts one process,
or with ``GMS_LIVE_NODES`` so many nodes behind a real haproxy that sends each request to the
next one, whoever made it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from gms_twisted.cluster.shards import SHARDS
from tests.live.server import Server
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer

NODES = int(os.environ.get("GMS_LIVE_NODES", "1"))
LIMIT_S = 60.0
_PAGE = 20
_LIVE = """
local live = 0
for _, key in ipairs(redis.call('ZRANGE', 'gms:1:keys:' .. ARGV[1], 0, -1)) do
  local expires = redis.call('HGET', 'gms:1:record:' .. ARGV[1] .. ':' .. key, 'expires')
  if not expires or expires == '' or tonumber(expires) > tonumber(ARGV[2]) then
    live = live + 1
  end
end
return live
"""

BALANCER = """
global
    maxconn 4000
defaults
    mode http
    timeout connect 2s
    timeout client 120s
    timeout server 120s
    timeout tunnel 120s
    retries 3
    option redispatch 1
    option http-server-close
    option httpchk GET /health
    default-server check inter 500ms fastinter 200ms fall 2 rise 1
frontend front
    bind 127.0.0.1:{port}
    default_backend nodes
backend nodes
    balance roundrobin
    retry-on conn-failure empty-response
{nodes}
"""


class Nodes(Server):
    """Nodes that look like one server.

    :param redis: one that runs; else they have one of their own.
    :param count: how many.
    :ivar nodes: each of them.
    """

    def __init__(
        self,
        *options: str,
        port: int = 0,
        data: Path | None = None,
        descriptors: int | None = None,
        redis: RedisServer | None = None,
        count: int = 2,
    ) -> None:
        super().__init__(*options, port=port, data=data)
        self.url = f"http://127.0.0.1:{self._port}"
        self._owns_redis = redis is None
        self._redis = redis or RedisServer(append_only=True)
        self._balancer: subprocess.Popen[bytes] | None = None
        shared = (
            f"store/url={self._redis.url}",
            "cluster/secret=of the test",
            f"server/external_url_base={self.url}/",
        )
        self.nodes = [
            Server(
                *options,
                *(part for one in shared for part in ("--set", one)),
                *("--set", f"server/node_id={number}"),
                port=free_port(),
                data=self._folder(number),
                descriptors=descriptors,
            )
            for number in range(1, count + 1)
        ]
        self._config = self.data / "balancer.cfg"

    def _folder(self, number: int) -> Path:
        folder = self.data / f"node-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def count(self, kind: str) -> int:
        """How many records of a kind live in the store."""
        return self._number("EVAL", _LIVE, "0", kind, str(time.time()))

    def keys(self, kind: str) -> set[str]:
        """The keys of records of a kind, what is over included."""
        found: set[str] = set()
        for first in range(0, self._number("ZCARD", f"gms:1:keys:{kind}"), _PAGE):
            page = self._redis.ask(
                "ZRANGE", f"gms:1:keys:{kind}", str(first), str(first + _PAGE - 1)
            )
            found |= {line for line in page.split("\r\n") if line[:1] not in ("", "*", "$")}
        return found

    def due(self, queue: str) -> int:
        """How much waits in a queue."""
        return self._number("ZCARD", f"gms:1:due:{queue}")

    def held(self) -> int:
        """How many numbers are held."""
        return self._number("ZCOUNT", "gms:1:reserved", str(time.time()), "+inf")

    def _number(self, *words: str) -> int:
        return int(self._redis.ask(*words).strip().removeprefix(":"))

    @property
    def said(self) -> str:
        """What all have printed."""
        return "\n".join(f"--- node {at}:\n{node.said}" for at, node in enumerate(self.nodes, 1))

    @property
    def each(self) -> Sequence[Server]:
        """The nodes."""
        return self.nodes

    @property
    def pid(self) -> int:
        """The first node's process."""
        return self.nodes[0].pid

    def start(self) -> None:
        """Start Redis if it is not there, all nodes, and the balancer in front of them."""
        if self._balancer is None and self._owns_redis:
            self._redis.start()
        for node in self.nodes:
            node.start()
            self.desk_link = self.desk_link or node.desk_link
        if self._balancer is None:
            ports = [node.url.rsplit(":", 1)[1] for node in self.nodes]
            lines = (f"    server n{at} 127.0.0.1:{port}" for at, port in enumerate(ports))
            self._config.write_text(BALANCER.format(port=self._port, nodes="\n".join(lines)))
            haproxy = shutil.which("haproxy") or "/usr/sbin/haproxy"
            self._balancer = subprocess.Popen(
                [haproxy, "-db", "-f", str(self._config)], stderr=subprocess.DEVNULL
            )
        self._await_balancer()
        self._await_shares()

    def _await_shares(self) -> None:
        """Wait until all shards have owners, and each node its share of them.

        Until then requests may be answered 503, as documented; who asks after a start is no
        program that knows of it.
        """
        end, share = time.monotonic() + LIMIT_S, SHARDS // len(self.nodes)
        while any(one["shards"] != share or not one["ok"] for one in self.cluster()):
            if time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"shards are not dealt; the nodes said:\n{self.said}")
            time.sleep(0.1)

    def cluster(self) -> list[dict[str, Any]]:
        """How each node sees the cluster."""
        details: list[Any] = [node.health()["parts"] for node in self.nodes]
        return [one["cluster"] for one in details]

    def _await_balancer(self) -> None:
        """Wait until every node has its turn again."""
        end, good = time.monotonic() + LIMIT_S, 0
        while good < 2 * len(self.nodes):
            try:
                with urlopen(f"{self.url}/health", timeout=5):
                    good += 1
            except (URLError, OSError):
                good = 0
                if time.monotonic() > end:
                    self.stop()
                    raise RuntimeError(f"no node answers; they said:\n{self.said}") from None
                time.sleep(0.1)

    def kill(self) -> None:
        """End all nodes as a power cut would; Redis goes on."""
        for node in self.nodes:
            node.kill()

    def stop(self) -> int:
        """Ask all to end; the highest exit status."""
        statuses = [node.stop() for node in self.nodes]
        if self._balancer is not None:
            self._balancer.terminate()
            self._balancer.wait()
            self._balancer = None
        if self._owns_redis:
            self._redis.remove()
        return max(statuses)


def server(
    *options: str,
    port: int = 0,
    data: Path | None = None,
    descriptors: int | None = None,
    redis: RedisServer | None = None,
) -> Server:
    """Make one server, or several nodes that look like one.

    :param redis: where its data is; without, in a file of one server, or a new one of several.
    """
    if NODES > 1:
        return Nodes(
            *options, port=port, data=data, descriptors=descriptors, redis=redis, count=NODES
        )
    if redis is not None:
        options = (*options, "--set", f"store/url={redis.url}")
    return Server(*options, port=port, data=data, descriptors=descriptors)

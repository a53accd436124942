"""Well-behaved clients of a server under attack, and what the attack leaves behind.

The canary polls ``/genesys/1/node``, talks in a chat, and holds connects of a Bayeux
client that publishes to itself; each on connections of its own, in threads.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

PATIENCE_S = 20.0
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


class Wrong(Exception):
    """Something was not as a well-behaved client may expect."""


class Connection:
    """One kept-alive connection.

    :param again: open it again after an answer that closes it; else that is an error.
    :param source: the address that it comes from.
    """

    def __init__(
        self, url: str, *, again: bool = False, source: str = "127.0.0.1", **headers: str
    ) -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        self._http = HTTPConnection(
            address.hostname, address.port, timeout=PATIENCE_S, source_address=(source, 0)
        )
        self._http.connect()
        self._http.auto_open = int(again)
        self._headers = headers

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """Status and body."""
        self._http.request(method, path, body, {**self._headers, **headers})
        answer = self._http.getresponse()
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                self._headers["Cookie"] = value.partition(";")[0]
        return answer.status, answer.read()

    def good(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        """The JSON of a 200 (``None`` for an empty body); anything else is an error."""
        status, said = self.ask(method, path, body, **headers)
        if status != 200:
            raise Wrong(f"{method} {path}: {status} {said[:200]!r}")
        return json.loads(said) if said else None

    def form(self, path: str, **fields: str) -> Any:
        """Post a form; gives the JSON of a 200."""
        return self.good("POST", path, urlencode(fields).encode(), **FORM)

    def bayeux(self, **message: object) -> Any:
        """Send one Bayeux message; gives the list that answers it."""
        return self.good("POST", "/genesys/cometd", json.dumps([message]).encode(), **JSON)

    def handshake(self) -> str:
        """Give a new client id."""
        [said] = self.bayeux(
            channel="/meta/handshake",
            version="1.0",
            supportedConnectionTypes=["long-polling"],
        )
        return str(said["clientId"])

    def close(self) -> None:
        """Be gone."""
        self._http.close()


class Canary:
    """All three clients.

    :ivar times: seconds that each request took, by client.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._ended = threading.Event()
        self._troubles: list[str] = []
        self._numbers: list[int] = []
        self.times: dict[str, list[float]] = {"node": [], "chat": [], "bayeux": []}
        self._stamps: dict[int, float] = {}
        self._subscribed = threading.Event()
        self._complete = threading.Event()
        self._client = ""
        self._threads = [
            threading.Thread(target=self._guard, args=(name, work), daemon=True)
            for name, work in (
                ("node", self._poll_node),
                ("chat", self._chat),
                ("bayeux connects", self._hold),
                ("bayeux publishes", self._publish),
            )
        ]

    def start(self) -> None:
        """Start, and return when each has got its first answers."""
        for thread in self._threads:
            thread.start()
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and not self._troubles:
            if all(len(times) >= 2 for times in self.times.values()):
                return
            self._ended.wait(0.05)
        raise Wrong(f"the canary did not start: {self._troubles or self.times}")

    def stop(self) -> None:
        """End, after everything published has arrived."""
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    @property
    def troubles(self) -> list[str]:
        """What went wrong, one sentence each."""
        found = list(self._troubles)
        if sorted(self._numbers) != list(range(len(self._stamps))):
            found.append(f"bayeux: messages lost or twice: {sorted(self._numbers)}")
        found += [f"{thread.name} still runs" for thread in self._threads if thread.is_alive()]
        return found

    def forget(self) -> None:
        """Begin the figures anew: the attack begins."""
        for times in self.times.values():
            times.clear()

    def slowest(self) -> dict[str, float]:
        """The 99th percentile of each client's times, in seconds."""
        return {
            name: sorted(times)[int(len(times) * 0.99)] if times else PATIENCE_S
            for name, times in self.times.items()
        }

    def _guard(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  # whatever it is, the test shall tell
            self._troubles.append(f"{name}: {error!r}")
            self._ended.set()

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.times[name].append(time.monotonic() - began)

    def _poll_node(self) -> None:
        connection = Connection(self._url)
        while not self._ended.wait(0.05):
            with self._timed("node"):
                connection.good("GET", "/genesys/1/node")
        connection.close()

    def _chat(self) -> None:
        connection = Connection(self._url)
        service = connection.form("/genesys/1/service/request-chat", product="canary")["_id"]
        path = f"/genesys/1/service/{service}/ixn/chat"
        connection.form(path, firstName="Canary")
        for song in count():
            if self._ended.wait(0.4):
                break
            with self._timed("chat"):
                connection.form(f"{path}/send", message=f"song {song}")
            with self._timed("chat"):
                said = connection.form(f"{path}/refresh", transcriptPosition="1")
            texts = [row[2] for row in said["transcriptToShow"]]
            missing = [number for number in range(song + 1) if f"song {number}" not in texts]
            if missing:
                raise Wrong(f"songs {missing} are not in the transcript")
        connection.form(f"{path}/disconnect")
        connection.close()

    def _hold(self) -> None:
        connection = Connection(self._url, gms_user="canary")
        client = self._client = connection.handshake()
        connection.bayeux(
            channel="/meta/subscribe", clientId=client, subscription=f"/canary/{client}"
        )
        self._subscribed.set()
        while not self._complete.is_set():
            said = connection.bayeux(
                channel="/meta/connect", clientId=client, connectionType="long-polling"
            )
            self._take(said)
        connection.close()

    def _take(self, said: list[dict[str, Any]]) -> None:
        """Take messages, which come with whatever answer is next."""
        now = time.monotonic()
        for message in said:
            if message["channel"] == f"/canary/{self._client}" and "data" in message:
                number = message["data"]["number"]
                self._numbers.append(number)
                self.times["bayeux"].append(now - self._stamps[number])
                if message["data"]["last"]:
                    self._complete.set()
            elif not message.get("successful") and not self._complete.is_set():
                raise Wrong(f"refused: {message}")

    def _publish(self) -> None:
        if not self._subscribed.wait(PATIENCE_S):
            raise Wrong("not subscribed")
        connection = Connection(self._url, gms_user="canary")
        for number in count():
            last = self._ended.wait(0.1)
            self._stamps[number] = time.monotonic()
            said = connection.bayeux(
                channel=f"/canary/{self._client}",
                clientId=self._client,
                data={"number": number, "last": last},
            )
            self._take(said)
            if last:
                break
        self._complete.wait(PATIENCE_S)
        connection.bayeux(channel="/meta/disconnect", clientId=self._client)
        connection.close()


@dataclass(frozen=True)
class Footprint:
    """What a process holds: resident megabytes, open descriptors, seconds of work."""

    megabytes: float
    descriptors: int
    busy_s: float

    @classmethod
    def of_all(cls, pids: Iterable[int]) -> Footprint:
        """Look at several, now; what they hold together."""
        found = [cls.of(pid) for pid in pids]
        return cls(
            sum(one.megabytes for one in found),
            sum(one.descriptors for one in found),
            sum(one.busy_s for one in found),
        )

    @classmethod
    def of(cls, pid: int) -> Footprint:
        """Look now."""
        status = Path(f"/proc/{pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.M)
        assert found is not None
        times = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return cls(
            int(found[1]) / 1024,
            len(list(Path(f"/proc/{pid}/fd").iterdir())),
            (int(times[11]) + int(times[12])) / 100,
        )


def metric(url: str, name: str) -> float:
    """Read a number from ``/metrics``."""
    with urlopen(f"{url}/metrics", timeout=PATIENCE_S) as answer:
        for line in answer.read().decode().splitlines():
            if line.split(" ")[0] == name:
                return float(line.split(" ")[1])
    raise Wrong(f"no {name} in /metrics")

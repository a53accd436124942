"""Measures the Notification API's core on the SQLite store, with a gateway that says yes at once.

    python -m bench.notifications              100 and 100,000 subscriptions
    python -m bench.notifications 100 5000     these numbers

For each number a process of its own makes as many subscriptions, each with a filter of its
own, and publishes to one of them.  Printed are: the time of a publish (median, one after the
other, with its record on the disk), CPU time of a publish when many are under way, what
making the subscriptions costs, and how much memory the process has gained by them.  Last,
one event to 10,000 subscriptions, and pushes through a sender alone.

Wanted: a publish among 100,000 within 1.5 times of one among 100; at most 150 MB more memory.
"""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Coroutine, Mapping
from pathlib import Path
from time import perf_counter, process_time, thread_time
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.epollreactor import EPollReactor

from gms_twisted.app.composing import EventTexts, Wording
from gms_twisted.app.deliveries import DeliveryRecords
from gms_twisted.app.device_news import DeviceNews
from gms_twisted.app.localization import Arguments
from gms_twisted.app.notifications import Notifications
from gms_twisted.app.push_alarms import PushAlarms
from gms_twisted.app.retries import Retries
from gms_twisted.app.subscription_count import SubscriptionCount
from gms_twisted.app.subscriptions import Subscriptions
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import StoreOptions
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType, Push
from gms_twisted.push.attempts import Attempt, Delivered
from gms_twisted.push.sender import Sender
from gms_twisted.push.sender_counts import SenderCounts
from gms_twisted.store.sqlite import sqlite_store
from gms_twisted.system import SystemIds, SystemWallClock

PUBLISHES = 400
AT_A_TIME = 200
FAN_OUT = 10_000
PUSHES = 9000


class YesTransport:
    """Delivers everything at once."""

    name = "httpcb"
    concurrency = 1000
    max_attempts = 5
    in_order = False

    async def check(self, device_id: DeviceId, properties: Mapping[str, str]) -> None:
        """Any will do."""

    async def attempt(self, push: Push) -> Attempt:
        """Yes."""
        return Delivered()

    def details(self) -> Mapping[str, object]:
        """Nothing to show."""
        return {}

    async def close(self) -> None:
        """Nothing to close."""


class OneWay:
    """One sender for everybody."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def find(
        self,
        notification_type: NotificationType,
        device_id: DeviceId,
        properties: Mapping[str, str],
        provider: str,
        *,
        debug: bool,
    ) -> Sender:
        """The one."""
        return self._sender


class Bare:
    """No options, no languages, any device."""

    def options_for(self, tag: str, provider: str) -> Mapping[str, str]:
        """None."""
        return {}

    def event(self, message: str, arguments: Arguments) -> EventTexts:
        """There are none."""
        raise AssertionError("nothing here is localised")

    def fill(self, options: Mapping[str, str], entries: Mapping[str, str]) -> Mapping[str, str]:
        """As they are."""
        return options

    def check(
        self,
        notification_type: NotificationType,
        device_id: str,
        properties: Mapping[str, str],
        provider: str,
        *,
        debug: bool,
    ) -> DeviceId:
        """As it is."""
        return DeviceId(device_id)


class Bench:
    """The core on a store in a file.

    :ivar worst_s: the longest turn of the reactor, in CPU time: other processes of the
        machine do not count.
    """

    def __init__(self, folder: Path) -> None:
        self.reactor: Any = EPollReactor()
        self.worst_s = 0.0
        wall, ids, tasks = SystemWallClock(), SystemIds(), Tasks()
        options = PushOptions(max_subscriptions_per_subscriber=10)
        self.store = sqlite_store(self.reactor, folder / "gms.db", StoreOptions(), wall, ids)
        self.run(self.store.start())
        counters, alarms, bare = Counters(), PushAlarms(wall), Bare()
        counts = SenderCounts(counters, {"transport": "httpcb"})
        self.sender = Sender(YesTransport(), self.reactor, ids, options, counts, alarms, "httpcb")
        pushers = OneWay(self.sender)
        count = SubscriptionCount(self.store, self.reactor, counters)
        self.subscriptions = Subscriptions(
            self.store, ids, wall, pushers, bare.check, count, options
        )
        records = DeliveryRecords(self.store, ids, wall, self.reactor, tasks)
        news = DeviceNews(self.subscriptions, self.reactor, alarms, counters)
        retries = Retries(
            self.store, self.subscriptions, pushers, records, news, tasks, self.reactor,
            wall, ids, options,
        )  # fmt: skip
        wording = Wording(bare, bare, bare.fill)
        self.notifications = Notifications(
            self.store, self.subscriptions, pushers, wording, records, retries,
            news, tasks, self.reactor, wall, ids, options, counters,
        )  # fmt: skip

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Turn the reactor until a coroutine is done."""
        result: list[Any] = []
        Deferred.fromCoroutine(work).addBoth(result.append)
        while not result:
            began = thread_time()
            self.reactor.runUntilCurrent()
            self.worst_s = max(self.worst_s, thread_time() - began)
            if not result:
                self.reactor.doIteration(self.reactor.timeout())
        if isinstance(result[0], BaseException) or hasattr(result[0], "raiseException"):
            result[0].raiseException()
        return result[0]

    async def many(self, work: list[Coroutine[Any, Any, Any]]) -> None:
        """Do several things at a time."""
        for start in range(0, len(work), AT_A_TIME):
            batch = [Deferred.fromCoroutine(one) for one in work[start : start + AT_A_TIME]]
            done = await DeferredList(batch, consumeErrors=True)
            failed = [result for good, result in done if not good]
            if failed:
                failed[0].raiseException()

    def subscribe(self, number: int, filter_text: str) -> Coroutine[Any, Any, Any]:
        """Subscribe."""
        document = {
            "subscriberId": f"subscriber-{number}",
            "filter": filter_text,
            "expire": 1_000_000,
            "notificationDetails": {
                "type": "httpcb",
                "deviceId": f"http://callback.example/{number}",
            },
        }
        return self.subscriptions.create(document, None)

    def publish(self, tag: str) -> Coroutine[Any, Any, Any]:
        """Publish."""
        return self.notifications.publish({"tag": tag, "message": "hello"})


def rss_mb() -> float:
    """Memory of this process now."""
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def measure(count: int) -> Mapping[str, float]:
    """Make subscriptions, and publish to one of them."""
    with tempfile.TemporaryDirectory(prefix="gms-bench-") as folder:
        bench = Bench(Path(folder))
        # Everything has been loaded and used once before memory is looked at.
        bench.run(bench.subscribe(-1, "warm.up"))
        bench.run(bench.publish("warm.up"))
        idle, cpu = rss_mb(), process_time()
        for start in range(0, count, 1000):
            end = min(count, start + 1000)
            work = [bench.subscribe(n, f"service.event.id_{n}") for n in range(start, end)]
            bench.run(bench.many(work))
        made_us = (process_time() - cpu) / count * 1e6
        grown = rss_mb() - idle
        times = []
        for number in range(PUBLISHES):
            tag = f"service.event.id_{number * 7919 % count}"
            began = perf_counter()
            published = bench.run(bench.publish(tag))
            times.append(perf_counter() - began)
            assert published.delivered == 1
        cpu = process_time()
        work = [bench.publish(f"service.event.id_{n * 31 % count}") for n in range(2 * PUBLISHES)]
        bench.run(bench.many(work))
        cpu_us = (process_time() - cpu) / len(work) * 1e6
        found = {
            "subscriptions": count,
            "publish_ms": statistics.median(times) * 1e3,
            "publish_cpu_us": cpu_us,
            "subscribe_cpu_us": made_us,
            "memory_mb": grown,
        }
        bench.run(bench.store.stop())
        return found


def fan_out() -> Mapping[str, float]:
    """One event to many, and a sender alone."""
    with tempfile.TemporaryDirectory(prefix="gms-bench-") as folder:
        bench = Bench(Path(folder))
        bench.run(bench.many([bench.subscribe(n, "all.*") for n in range(FAN_OUT)]))
        rates, bench.worst_s = [], 0.0
        for _ in range(5):
            began = perf_counter()
            assert bench.run(bench.publish("all.at_once")).delivered == FAN_OUT
            rates.append(FAN_OUT / (perf_counter() - began))
        worst_ms = bench.worst_s * 1e3
        push = Push("e.s", "e", NotificationType.HTTPCB, DeviceId("d"), {}, "a", "", {}, 2e9)
        cpu = process_time()
        for _ in range(PUSHES):
            Deferred.fromCoroutine(bench.sender.push(push, 5.0))
        push_us = (process_time() - cpu) / PUSHES * 1e6
        bench.run(bench.store.stop())
        return {
            "fan_out_per_s": statistics.median(rates),
            "sender_us": push_us,
            "turn_ms": worst_ms,
        }


def main(words: list[str]) -> None:
    """Measure each number in a process of its own, and print the table."""
    if words[:1] == ["--one"]:
        found = fan_out() if words[1] == "fan-out" else measure(int(words[1]))
        print(json.dumps(found))
        return
    rows = [_child(word) for word in words or ["100", "100000"]]
    print(f"{'subscriptions':>14}{'publish':>12}{'CPU':>12}{'subscribe':>14}{'memory':>12}")
    for row in rows:
        print(
            f"{row['subscriptions']:>14,.0f}{row['publish_ms']:>9.2f} ms"
            f"{row['publish_cpu_us']:>9.0f} us{row['subscribe_cpu_us']:>11.0f} us"
            f"{row['memory_mb']:>9.1f} MB"
        )
    if len(rows) > 1:
        first, last = rows[0], rows[-1]
        print(
            f"ratio of a publish: {last['publish_ms'] / first['publish_ms']:.2f} (time), "
            f"{last['publish_cpu_us'] / first['publish_cpu_us']:.2f} (CPU)"
        )
    more = _child("fan-out")
    print(
        f"one event to {FAN_OUT:,}: {more['fan_out_per_s']:,.0f} deliveries/s, "
        f"longest turn {more['turn_ms']:.0f} ms"
    )
    print(f"a push through a sender: {more['sender_us']:.1f} us")


def _child(word: str) -> Mapping[str, float]:
    command = [sys.executable, "-m", "bench.notifications", "--one", word]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: Mapping[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])

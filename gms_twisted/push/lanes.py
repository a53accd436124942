"""Pushes of a sender, and the order in which a device gets its own.

Each device that has something waiting has a lane.  One push of a lane is *first*: its first
attempt is to come or under way (with strict order: it is not over yet).  The others are held.

Knows: states, devices, who is next.  Does not know: attempts, pauses of the whole sender.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum

from twisted.internet.defer import Deferred

from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import Outcome, Push


class State(IntEnum):
    """Where a push is; the moves are at the top of ``sender.py``."""

    HELD = 0
    READY = 1
    TRYING = 2
    RESTING = 3
    DONE = 4


class Item:
    """One push on its way.

    :ivar began: when it was asked for, as all moments here on the timers' clock.
    :ivar deadline: no attempt is begun after.
    :ivar frees: attempts that did not count.
    :ivar reason: what its last attempt came to.
    :ivar wake: when the next attempt is due, while it rests.
    :ivar done: fires with the outcome, when somebody waits for it.
    """

    __slots__ = (
        "attempts", "began", "deadline", "done", "frees", "lane", "outcome", "push", "reason",
        "state", "wake",
    )  # fmt: skip

    def __init__(self, push: Push, now: float, give_up_s: float) -> None:
        self.push = push
        self.began = now
        self.deadline = now + give_up_s
        self.attempts = 0
        self.frees = 0
        self.reason = ""
        self.state = State.READY
        self.wake = 0.0
        self.lane: Lane | None = None
        self.outcome: Outcome | None = None
        self.done: Deferred[Outcome] | None = None


class Lane:
    """What waits for one device.

    :ivar until: nothing of this device before that.
    """

    __slots__ = ("first", "until", "waiting")

    def __init__(self) -> None:
        self.first: Item | None = None
        self.waiting: deque[Item] = deque()
        self.until = 0.0


class Lanes:
    """The lanes of all devices that have something waiting."""

    def __init__(self) -> None:
        self._lanes: dict[DeviceId, Lane] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def enter(self, item: Item) -> bool:
        """Put a push into its device's lane; ``False``: it is held."""
        device = item.push.device_id
        lane = self._lanes.get(device)
        if lane is None:
            lane = self._lanes[device] = Lane()
        item.lane = lane
        if lane.first is None and not lane.waiting and not lane.until:
            lane.first = item
            return True
        item.state = State.HELD
        lane.waiting.append(item)
        return False

    def leave(self, item: Item, now: float) -> Item | None:
        """Take a push out of its lane; gives the one that is ready now, if any."""
        lane, item.lane = item.lane, None
        if lane is None:
            return None
        if lane.first is item:
            lane.first = None
        return self._advance(item.push.device_id, lane, now)

    def pause(self, device: DeviceId, until: float) -> float:
        """Let nothing of a device go before a moment; gives the moment that counts."""
        lane = self._lanes.setdefault(device, Lane())
        lane.until = max(lane.until, until)
        return lane.until

    def over(self, device: DeviceId, now: float) -> Item | None:
        """A device's pause may be over; gives the push that is ready now, if any."""
        lane = self._lanes.get(device)
        return None if lane is None else self._advance(device, lane, now)

    def held(self) -> list[Item]:
        """Every push that is held."""
        return [one for lane in self._lanes.values() for one in lane.waiting]

    def _advance(self, device: DeviceId, lane: Lane, now: float) -> Item | None:
        if lane.first is not None or lane.until > now:
            return None
        lane.until = 0.0
        while lane.waiting:
            item = lane.waiting.popleft()
            if item.state is State.HELD:
                item.state = State.READY
                lane.first = item
                return item
        if self._lanes.get(device) is lane:
            del self._lanes[device]
        return None

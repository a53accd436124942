"""What an operator has to do something about before pushes work again.

Refused credentials, devices that seem dead by the hundred, a certificate about to end: each
cause is logged once when it comes up, shown in health while it lasts, and forgotten when
what it stood for works again.

Knows: causes and sentences.  Does not know: gateways, subscriptions.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from twisted.logger import Logger

from gms_twisted.app.health import Health
from gms_twisted.domain.sources import WallClock

MAX_ALARMS = 200
"""Most causes at a time; the oldest is forgotten first."""


@dataclass(slots=True)
class Alarm:
    """One cause.

    :ivar since: Unix seconds.
    :ivar times: how often it came up.
    """

    sentence: str
    since: float
    times: int = 1


class PushAlarms:
    """All that is wrong now."""

    log = Logger()

    def __init__(self, wall: WallClock) -> None:
        self._wall = wall
        self._alarms: OrderedDict[str, Alarm] = OrderedDict()

    def set(self, cause: str, sentence: str) -> None:
        """Something is wrong; logged unless that was known already.

        :param cause: one of few, ``apns2 push.provider.SalesApp``; no secrets.
        :param sentence: for the operator; no secrets.
        """
        known = self._alarms.get(cause)
        if known is not None and known.sentence == sentence:
            known.times += 1
            return
        if known is None and len(self._alarms) >= MAX_ALARMS:
            self._alarms.popitem(last=False)
        self._alarms[cause] = Alarm(sentence, self._wall.now())
        self.log.error("Alarm of {cause}: {sentence}", cause=cause, sentence=sentence)

    def clear(self, cause: str) -> None:
        """It works; nothing known is no fault."""
        if self._alarms and self._alarms.pop(cause, None) is not None:
            self.log.info("Alarm is over: {cause}", cause=cause)

    def tell(self, cause: str, sentence: str) -> None:
        """Something is wrong; with no sentence: it works."""
        if sentence:
            self.set(cause, sentence)
        else:
            self.clear(cause)

    def health(self) -> Health:
        """What health details show."""
        shown = [
            {"cause": cause, "message": one.sentence, "since": one.since, "times": one.times}
            for cause, one in self._alarms.items()
        ]
        return Health(not shown, {"alarms": shown})

"""How fast one chat may be used (hardening C02, C03).

Messages and refreshes have a rate each.  Typing notices are never refused: those
that come too fast are merged, and the last one of a burst is sent later.

Knows: rates of one chat.  Does not know: who calls, what a chat is.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from gms_twisted.app.rates import Rates
from gms_twisted.config.options import LimitOptions
from gms_twisted.domain.chat import NoticeType
from gms_twisted.domain.errors import TooManyRequests
from gms_twisted.domain.ids import ServiceId
from gms_twisted.domain.sources import Clock

MAX_REFUSED_SENDS = 200
"""A chat is closed when so many messages were refused within :data:`REFUSED_WINDOW_S`."""

REFUSED_WINDOW_S = 60.0

_TYPING_BURST = 2
_KEEP = 20_000


class SendingTooFast(TooManyRequests):
    """Too many messages.

    :ivar hopeless: it has gone on for so long that the chat is to be closed.
    """

    code = "gms.chat.too_many_messages"

    def __init__(self, retry_after_s: float, hopeless: bool) -> None:
        super().__init__("Too many messages in this chat.", retry_after_s)
        self.hopeless = hopeless


@dataclass(slots=True)
class _Typing:
    """What a chat's customer was last seen doing.

    :ivar sent: the notice that the chat server got last.
    :ivar waiting: the notice to send when the rate allows it.
    """

    sent: NoticeType
    at: float
    waiting: NoticeType | None = None


class ChatLimits:
    """The rates of all chats."""

    def __init__(self, clock: Clock, options: LimitOptions) -> None:
        self._clock = clock
        self._typing: OrderedDict[ServiceId, _Typing] = OrderedDict()
        self.reconfigure(options)

    def reconfigure(self, options: LimitOptions) -> None:
        """Take new rates; everybody begins with a full bucket."""
        clock = self._clock
        self._options = options
        self._sends = Rates(clock, options.c02_sends_per_s, options.c02_sends_burst, _KEEP)
        self._refreshes = Rates(clock, options.c03_refresh_per_s, options.c03_refresh_burst, _KEEP)
        self._starts = Rates(clock, options.c03_refresh_per_s, options.c03_refresh_burst, _KEEP)
        self._notices = Rates(clock, options.c02_typing_per_s, _TYPING_BURST, _KEEP)
        self._refused = Rates(clock, MAX_REFUSED_SENDS / REFUSED_WINDOW_S, MAX_REFUSED_SENDS, _KEEP)

    @property
    def message_chars(self) -> int:
        """Longest message."""
        return self._options.c02_message_chars

    def send(self, service_id: ServiceId) -> None:
        """Count a message.

        :raises SendingTooFast: it must not be sent.
        """
        wait_s = self._sends.take(service_id)
        if wait_s > 0:
            raise SendingTooFast(wait_s, hopeless=self._refused.take(service_id) > 0)

    def start(self, service_id: ServiceId) -> None:
        """Count a start, the first or a repeated one; at the rate of refreshes.

        :raises TooManyRequests: it must not be made.
        """
        wait_s = self._starts.take(service_id)
        if wait_s > 0:
            raise TooManyRequests("This chat is started too often.", wait_s)

    def refresh(self, service_id: ServiceId) -> None:
        """Count a refresh.

        :raises TooManyRequests: it must not be made.
        """
        wait_s = self._refreshes.take(service_id)
        if wait_s > 0:
            raise TooManyRequests("This chat is refreshed too often.", wait_s)

    def typing(self, service_id: ServiceId, notice: NoticeType) -> float:
        """Count a typing notice: 0.0 to send it now.

        Otherwise it is merged into the one before, or kept for :meth:`waiting`;
        then the result is the seconds until that should be asked (negative: never,
        there is nothing to send or somebody will ask already).
        """
        now = self._clock.seconds()
        typing = self._typing.get(service_id)
        if typing is not None and typing.waiting is None and typing.sent is notice:
            if now - typing.at < 1.0 / self._options.c02_typing_per_s:
                return -1.0
        elif typing is not None and typing.waiting is not None:
            typing.waiting = notice
            return -1.0
        wait_s = self._notices.take(service_id)
        if wait_s > 0 and typing is not None:
            typing.waiting = notice
            return wait_s
        self._typing[service_id] = _Typing(notice, now)
        self._typing.move_to_end(service_id)
        while len(self._typing) > _KEEP:
            self._typing.popitem(last=False)
        return 0.0

    def waiting(self, service_id: ServiceId) -> NoticeType | None:
        """The notice to send now after all; ``None`` when the last one sent says the same."""
        typing = self._typing.get(service_id)
        if typing is None or typing.waiting is None:
            return None
        notice, typing.waiting = typing.waiting, None
        if notice is typing.sent:
            return None
        self._notices.take(service_id)
        typing.sent, typing.at = notice, self._clock.seconds()
        return notice

    def forget(self, service_id: ServiceId) -> None:
        """Drop what is known about a chat that is over."""
        for rates in (self._sends, self._refreshes, self._starts, self._notices, self._refused):
            rates.forget(service_id)
        self._typing.pop(service_id, None)

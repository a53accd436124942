"""What happens in a chat while its comet customer is gone.

Three limits, each counted from when the client was last heard of: after
``client_gone_after`` the agent is told, once something of the agent's has waited for
``client_timeout_notification`` the customer's device gets a push, and after
``client_timeout`` the customer leaves for good (hardening C10).

Spec: Chat API; Push Notification Service (the device is the one that the service was
created with, ``_device_os`` and ``_device_notification_id``).

Knows: limits and texts, what an absent customer has not seen.  Does not know: Bayeux,
transports of pushes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Protocol

from twisted.logger import Logger

from gms_twisted.app.chat_keeper import ChatKeeper
from gms_twisted.app.chat_line import ChatLine
from gms_twisted.app.chat_records import ChatState
from gms_twisted.app.chat_rows import row
from gms_twisted.app.interfaces import CHAT_REFRESH_TAG
from gms_twisted.app.service_definitions import ServiceDefinition
from gms_twisted.app.services import ServiceInstances
from gms_twisted.config.options import ChatOptions
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.chat import ChatEvent, Notice, NoticeType, PartyType
from gms_twisted.domain.ids import DeviceId, GmsUser
from gms_twisted.domain.sources import Timers

GONE_TEXT = "The customer cannot be reached at the moment."

NEWS_TEXT = "You have a new message in your chat."
"""What a device gets without ``client_timeout_notification_message``."""

_REMEMBERED = 100


class DeviceNotifier(Protocol):
    """Sends a push to one device."""

    async def notify(
        self,
        device_os: str,
        device_id: DeviceId,
        user: GmsUser | None,
        tag: str,
        message: str,
        event_id: str,
        *,
        provider: str,
        debug: bool,
    ) -> bool:
        """Push, and tell whether that is settled: delivered, or never to be.

        :param device_os: as a service was told it, ``iOS``.
        :param event_id: 32 hexadecimal digits, the same in every repetition.
        """


class Absence:
    """The absence of one chat's customer.

    :ivar since: when the client was last heard of, on the clock that never jumps.
    """

    log = Logger()

    def __init__(
        self,
        line: ChatLine,
        keeper: ChatKeeper,
        services: ServiceInstances,
        notifier: DeviceNotifier,
        timers: Timers,
    ) -> None:
        self._line = line
        self._keeper = keeper
        self._services = services
        self._notifier = notifier
        self._timers = timers
        self.since = timers.seconds()
        self._unseen: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED)
        self._tried_at: float | None = None

    def begin(self) -> None:
        """The client is gone, or has given a sign of life just now."""
        self.since = self._timers.seconds()

    def note(self, name: str, events: Iterable[ChatEvent], options: PushOptions) -> None:
        """Remember what may be worth a push, when nobody comes to see it.

        :param name: the service's.
        """
        filtered = self._filtered(name, options)
        for event in events:
            printed = row(event)
            if event.party_type is PartyType.CLIENT or printed is None or printed[0] in filtered:
                continue
            if not self._unseen or event.position > self._unseen[-1][0]:
                self._unseen.append((event.position, self._timers.seconds()))

    def next_s(self, state: ChatState, seen: int, options: ChatOptions) -> float | None:
        """Tell how long until something is to be done; ``None``: nothing, as things are.

        :param seen: position of the last event that has reached the client.
        """
        now = self._timers.seconds()
        ends = [self.since + self._timeout_s(state, options)]
        if not state.told:
            ends.append(self.since + options.client_gone_after_s)
        if (push_at := self._push_at(state, seen, options)) is not None:
            ends.append(push_at)
        left = [end - now for end in ends if end > now]
        return min(left) if left else None

    async def pass_time(self, state: ChatState, seen: int, options: ChatOptions) -> ChatState:
        """Do what is due; returns the chat as it is then."""
        if state.closed:
            return state
        gone_s = self._timers.seconds() - self.since
        if gone_s >= self._timeout_s(state, options):
            exchange = await self._line.leave(state, state.known)
            self.log.info("Chat {session_id}: its customer is gone", session_id=state.session_id)
            return await self._keeper.change(state, exchange.applied_to)
        if gone_s >= options.client_gone_after_s and not state.told:
            text = (
                self._definition(state.name).options.get("_agent_timeout_notification_message")
                or options.agent_timeout_notification_message
                or GONE_TEXT
            )
            state = await self._tell_agent(state, Notice(NoticeType.CUSTOM, text), told=True)
        elif gone_s < options.client_gone_after_s and state.told:
            # It has made a call over HTTP, which the agent has seen.
            state = await self._keeper.change(state, lambda before: replace(before, told=False))
        push_at = self._push_at(state, seen, options)
        if push_at is not None and push_at <= self._timers.seconds():
            state = await self._push(state, options)
        return state

    async def end(self, state: ChatState) -> ChatState:
        """The customer is back: show the agent a sign of life."""
        self._tried_at = None
        if not state.told or state.closed:
            return state
        # Choice: a custom notice would only say again that something is odd; that the
        # customer types no more is true, and tells any desk that it is there.
        return await self._tell_agent(state, Notice(NoticeType.TYPING_STOPPED), told=False)

    # The push.

    def _push_at(self, state: ChatState, seen: int, options: ChatOptions) -> float | None:
        """When the customer's device gets a push, ``None`` when nothing waits for it.

        Choice: the first push comes when something has waited for the time that the option
        names.  What comes after it waits as long again, so a talkative agent is one push
        each time, not one for every line.
        """
        known = max(seen, state.pushed)
        while self._unseen and self._unseen[0][0] <= known:
            self._unseen.popleft()
        if state.closed or not self._unseen:
            return None
        waiting_since = max(self.since, self._unseen[0][1], self._tried_at or 0.0)
        default_s = options.client_timeout_notification_s
        wait_s = self._definition(state.name).seconds("_client_timeout_notification", default_s)
        return waiting_since + wait_s

    async def _push(self, state: ChatState, options: ChatOptions) -> ChatState:
        position = self._unseen[-1][0]
        self._tried_at = self._timers.seconds()
        instance = await self._services.peek(state.service_id)
        definition = self._definition(state.name)
        parameters = {} if instance is None else instance.parameters
        device_os = definition.parameter("_device_os", parameters)
        device_id = definition.parameter("_device_notification_id", parameters)
        if device_os and device_id:
            word = f"{state.service_id}:{state.session_id}:push:{position}"
            settled = await self._notifier.notify(
                device_os,
                DeviceId(device_id),
                state.user,
                f"{CHAT_REFRESH_TAG}{state.service_id.replace('-', '')}",
                definition.options.get("_client_timeout_notification_message")
                or options.client_timeout_notification_message
                or NEWS_TEXT,
                blake2b(word.encode(), digest_size=16).hexdigest(),
                provider=definition.parameter("_provider_name", {}),
                debug=definition.flag("_use_debug_push_certificate", False),
            )
            if not settled:
                return state
        return await self._keeper.change(state, lambda before: replace(before, pushed=position))

    # Options and the agent.

    def _definition(self, name: str) -> ServiceDefinition:
        return self._services.definitions.get(name) or ServiceDefinition(name, False, "")

    def _timeout_s(self, state: ChatState, options: ChatOptions) -> float:
        return self._definition(state.name).seconds("_client_timeout", options.client_timeout_s)

    def _filtered(self, name: str, options: PushOptions) -> Sequence[str]:
        own = self._definition(name).options.get("_filtering_chat_events")
        if own is None:
            return options.filtering_chat_events
        return [word.strip() for word in own.split(",")]

    async def _tell_agent(self, state: ChatState, notice: Notice, *, told: bool) -> ChatState:
        word = f"{'gone' if told else 'back'}-{state.version}"
        exchange = await self._line.refresh(state, state.known, notice=notice, dedupe=word)
        return await self._keeper.change(
            state, lambda before: replace(exchange.applied_to(before), told=told)
        )

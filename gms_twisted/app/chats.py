"""The Chat API, version 1: one chat for each service.

Spec: Chat API.  The chat itself lives at the chat server; here is what the
client of a service has seen of it, and who gets to hear of news.

Calls for one chat are carried out one after the other, so that two pollers of a
service share its events and none comes twice.

Knows: the calls, positions, states.  Does not know: HTTP, the chat server's
protocol, how events travel on ``/_genesys``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from twisted.logger import Logger

from gms_twisted.app.chat_answers import Answer, Call, ChatAnswers
from gms_twisted.app.chat_delivery import CometDelivery
from gms_twisted.app.chat_keeper import ChatKeeper
from gms_twisted.app.chat_limits import ChatLimits, SendingTooFast
from gms_twisted.app.chat_line import ChatLine, Exchange
from gms_twisted.app.chat_permission import ChatPermission
from gms_twisted.app.chat_quiet import QuietRefreshes
from gms_twisted.app.chat_records import CHAT, ChatRecords, ChatState
from gms_twisted.app.chat_requests import ONLY, Attempt, StartRequest, TalkRequest, wants_verbose
from gms_twisted.app.chat_rows import Row, rows
from gms_twisted.app.chat_start import ChatStarter
from gms_twisted.app.interfaces import ChatServerUnavailable
from gms_twisted.app.pauses import pause
from gms_twisted.app.service_records import Changes, ServiceInstance
from gms_twisted.app.services import ServiceInstances
from gms_twisted.app.tasks import Tasks
from gms_twisted.app.turns import TurnsByKey
from gms_twisted.config.options import ChatOptions, LimitOptions
from gms_twisted.domain.chat import Notice, NoticeType
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.ids import GmsUser, ServiceId
from gms_twisted.domain.sources import Timers
from gms_twisted.domain.values import FormValue
from gms_twisted.store.interfaces import Delete

_TYPING = {
    Call.START_TYPING: NoticeType.TYPING_STARTED,
    Call.STOP_TYPING: NoticeType.TYPING_STOPPED,
}


class ChatOver(InvalidRequest):
    """The chat is over, and ``chat/chat_400_response_on_disconnected`` is set."""

    code = "gms.chat.disconnected"


class Chats:
    """The Chat API's rules.

    :param permission: asked before every call.
    """

    log = Logger()

    def __init__(
        self,
        services: ServiceInstances,
        records: ChatRecords,
        keeper: ChatKeeper,
        starter: ChatStarter,
        line: ChatLine,
        delivery: CometDelivery,
        answers: ChatAnswers,
        limits: ChatLimits,
        permission: ChatPermission,
        tasks: Tasks,
        timers: Timers,
        options: ChatOptions,
    ) -> None:
        self._services = services
        self._records = records
        self._keeper = keeper
        self._starter = starter
        self._line = line
        self._delivery = delivery
        self._answers = answers
        self._limits = limits
        self._tasks = tasks
        self._timers = timers
        self.options = options
        self._permission = permission
        self._turns: TurnsByKey[ServiceId] = TurnsByKey()
        self._quiet = QuietRefreshes(self._turns, keeper, line)

    def reconfigure(self, options: ChatOptions, limits: LimitOptions) -> None:
        """Take new options, for chats that are going on too."""
        self.options = options
        self._limits.reconfigure(limits)
        self._starter.options = options
        self._keeper.options = options
        self._answers.options = options

    async def call(
        self,
        service_id: str,
        call: Call,
        fields: Mapping[str, FormValue],
        user: GmsUser | None,
        attempt: Attempt = ONLY,
    ) -> Answer:
        """Carry out a call of the Chat API; returns the chat object.

        :raises ServiceNotFound: there is no such service for this user.
        :raises NoChatHere: it never has a chat.
        :raises NoAgentYet: its application has not found an agent yet.
        :raises ChatNotStarted: it has no chat yet (calls other than ``START``).
        :raises InvalidRequest: a parameter is malformed.
        :raises TooManyRequests: the chat is used too fast.
        :raises ChatServerUnavailable: no chat server answered.
        :raises ChatMoved: it is another node's by now.
        """
        instance = await self._services.find(service_id, user)
        await self._permission.check(instance)
        if call is Call.START:
            self._limits.start(instance.service_id)
            return await self._tasks.finish(
                "start of a chat", self._start(instance, self._wanted(instance, fields, user), user)
            )
        if call is Call.DISCONNECT:
            verbose = wants_verbose(fields)
            return await self._tasks.finish(
                "end of a chat", self._disconnect(instance, verbose=verbose)
            )
        wanted = TalkRequest.read(fields, self._limits.message_chars, attempt)
        if call is Call.SEND and not wanted.message:
            raise InvalidRequest("message is missing or empty.", "message")
        state = await self._records.read(instance.service_id)
        try:
            self._count(instance, call, wanted)
        except SendingTooFast as error:
            if error.hopeless:
                self._tasks.spawn("end of a flooded chat", self._throw_out(instance))
            raise
        if call is Call.REFRESH and self._quiet.refresh(state, wanted):
            return self._answer(call, state, state.position, [], wanted)
        return await self._tasks.finish("call to a chat", self._talk(instance, call, wanted))

    async def begin(
        self,
        instance: ServiceInstance,
        fields: Mapping[str, FormValue],
        user: GmsUser | None,
    ) -> Answer:
        """Do what :attr:`Call.START` does, for a request of the service's own."""
        return await self.call(instance.service_id, Call.START, fields, user)

    def _count(self, instance: ServiceInstance, call: Call, wanted: TalkRequest) -> None:
        if call not in _TYPING and wanted.message:
            self._limits.send(instance.service_id)
        else:
            self._limits.refresh(instance.service_id)

    # Beginning.

    @staticmethod
    def _wanted(
        instance: ServiceInstance, fields: Mapping[str, FormValue], user: GmsUser | None
    ) -> StartRequest:
        wanted = StartRequest.read(fields, user or instance.user)
        if wanted.comet and user is None and instance.user is None:
            raise InvalidRequest(
                "notify_by=comet needs the header gms_user on this request or on the one that "
                "created the service; some proxies drop headers with an underscore in the name "
                "(nginx: underscores_in_headers on).",
                "gms_user",
            )
        return wanted

    async def _start(
        self, instance: ServiceInstance, wanted: StartRequest, user: GmsUser | None
    ) -> Answer:
        """Spec: Chat API, "Start Chat".  Starting twice gives the same chat (C05)."""
        async with self._turns.of(instance.service_id):
            state = await self._records.find(instance.service_id)
            if state is None:
                state = await self._starter.begin(instance, wanted, user)
                if state.comet:
                    self._delivery.begin(state)
            position = self._seen(state)
            return self._answers.answer(Call.START, state, position, verbose=wanted.verbose)

    # Going on.

    async def _talk(self, instance: ServiceInstance, call: Call, wanted: TalkRequest) -> Answer:
        async with self._turns.of(instance.service_id):
            state = await self._records.read(instance.service_id)
            if state.closed:
                return await self._afterwards(instance, call, state, wanted)
            notice = self._notice(instance.service_id, call)
            message = wanted.message or None
            if call in _TYPING:
                message = None
            if state.comet:
                return await self._talk_comet(instance, call, state, wanted, message, notice)
            after = await self._effective(state, wanted)
            exchange = await self._line.refresh(
                state, after, message=message, notice=notice, dedupe=wanted.attempt.word
            )
            state = await self._remember(state, exchange, after, wanted.attempt)
            shown = rows(exchange.events, after)
            return self._answer(call, state, state.position, shown, wanted)

    async def _talk_comet(
        self,
        instance: ServiceInstance,
        call: Call,
        state: ChatState,
        wanted: TalkRequest,
        message: str | None,
        notice: Notice | None,
    ) -> Answer:
        """What is new goes out on ``/_genesys``; here only what the client sends goes in."""
        service_id = instance.service_id
        self._delivery.heard(service_id)
        if wanted.position is not None and call is Call.REFRESH and message is None:
            self._delivery.rewind(service_id, wanted.position)
        if message is not None or notice is not None:
            if wanted.verbose and message is not None:
                self._delivery.verbose_echo(service_id)
            exchange = await self._line.refresh(
                state, state.known, message=message, notice=notice, dedupe=wanted.attempt.word
            )
            # Not the position: what this answer saw is still to come on /_genesys.
            state = await self._remember(state, exchange, state.known, wanted.attempt)
        return self._answer(call, state, self._seen(state), [], wanted)

    async def _afterwards(
        self, instance: ServiceInstance, call: Call, state: ChatState, wanted: TalkRequest
    ) -> Answer:
        """Answer a call to a chat that is over: what was said can still be read."""
        if self._refuses_when_over(instance):
            raise ChatOver("The chat is over.")
        if state.comet:
            if wanted.position is not None:
                self._delivery.repeat(state, min(wanted.position, state.known))
            return self._answer(call, state, self._seen(state), [], wanted)
        position = _last_seen(state, wanted) if wanted.position is None else wanted.position
        after = min(position, state.known)
        try:
            exchange = await self._line.refresh(state, after)
        except ChatServerUnavailable:
            return self._answer(call, state, state.position, [], wanted)
        state = await self._remember(state, exchange, after, wanted.attempt)
        return self._answer(call, state, state.position, rows(exchange.events, after), wanted)

    async def _effective(self, state: ChatState, wanted: TalkRequest) -> int:
        """After which event to answer (C04): a position ahead is the server's own."""
        position = wanted.position
        if position is None:
            return _last_seen(state, wanted)
        if position <= state.known:
            return position
        ahead = await self._line.refresh(state, state.known)
        return min(position, max(state.known, ahead.reached))

    def _notice(self, service_id: ServiceId, call: Call) -> Notice | None:
        """The typing notice to send with a call; too many are merged (C02)."""
        kind = _TYPING.get(call)
        if kind is None:
            return None
        wait_s = self._limits.typing(service_id, kind)
        if wait_s > 0:
            self._tasks.spawn("late typing notice", self._type_later(service_id, wait_s))
        return Notice(kind) if wait_s == 0 else None

    async def _type_later(self, service_id: ServiceId, wait_s: float) -> None:
        await pause(self._timers, wait_s)
        async with self._turns.of(service_id):
            kind = self._limits.waiting(service_id)
            state = await self._records.find(service_id)
            if kind is None or state is None or state.closed:
                return
            await self._line.refresh(state, state.known, notice=Notice(kind))

    async def _remember(
        self, state: ChatState, exchange: Exchange, after: int, attempt: Attempt
    ) -> ChatState:
        """Store what an exchange told, with whatever keeps chat and service alive.

        :param after: where the answer begins.
        """

        def after_exchange(before: ChatState) -> ChatState:
            now = exchange.applied_to(before)
            # A part of a long transcript that is read again: the next part is next.
            partly = exchange.reached < now.known
            position = exchange.reached if partly else max(now.position, exchange.reached)
            if now.comet:
                return now
            if attempt.call and (position != now.position or now.call in attempt.missed):
                now = replace(now, call=attempt.call, previous=after)
            return now if position == now.position else replace(now, position=position)

        return await self._change(state, after_exchange)

    async def _change(
        self, state: ChatState, change: Callable[[ChatState], ChatState]
    ) -> ChatState:
        changed = await self._keeper.change(state, change)
        if changed.closed and not state.closed:
            self._limits.forget(state.service_id)
            self._delivery.wake(state.service_id)
        return changed

    def _answer(
        self, call: Call, state: ChatState, position: int, shown: list[Row], wanted: TalkRequest
    ) -> Answer:
        return self._answers.answer(call, state, position, shown, verbose=wanted.verbose)

    def _seen(self, state: ChatState) -> int:
        """What the client has got, or is about to get on ``/_genesys``."""
        if not state.comet:
            return state.position
        if state.finished:
            return state.known
        published = self._delivery.published(state.service_id)
        return max(state.joined, state.delivered if published is None else published)

    def _refuses_when_over(self, instance: ServiceInstance) -> bool:
        return self._services.definition_of(instance).flag(
            "_chat_400_response_on_disconnected", self.options.chat_400_response_on_disconnected
        )

    # Ending.

    async def _disconnect(self, instance: ServiceInstance, *, verbose: bool) -> Answer:
        """Spec: Chat API, "Disconnect from chat session".  Twice is as good as once (C05)."""
        async with self._turns.of(instance.service_id):
            state = await self._records.read(instance.service_id)
            # The position is repeated, as in the examples: leaving is not shown.
            position = self._seen(state)
            if not state.closed:
                exchange = await self._line.leave(state, state.known)

                def over(before: ChatState) -> ChatState:
                    # This answer tells the client.  A client that is gone from Bayeux must
                    # not take the end of this chat for that of its next one.
                    return replace(exchange.applied_to(before), finished=before.comet)

                state = await self._change(state, over)
            return self._answers.answer(Call.DISCONNECT, state, position, verbose=verbose)

    async def _throw_out(self, instance: ServiceInstance) -> None:
        """Close a chat that does nothing but flood, and say why (C02)."""
        async with self._turns.of(instance.service_id):
            state = await self._records.find(instance.service_id)
            if state is None or state.closed:
                return
            self.log.warn("Chat {session_id} is closed: a flood", session_id=state.session_id)
            notice = Notice(NoticeType.CUSTOM, "The chat was closed: too many messages.")
            await self._line.refresh(state, state.known, notice=notice)
            exchange = await self._line.leave(state, state.known)
            await self._change(state, exchange.applied_to)

    async def is_going_on(self, instance: ServiceInstance) -> bool:
        """Tell whether the service has a chat that has not ended."""
        state = await self._records.find(instance.service_id)
        return state is not None and not state.closed

    async def end(self, instance: ServiceInstance) -> Changes:
        """Leave the chat of a service that is about to be deleted; what removes its record."""
        left = await self.leave(instance.service_id)
        return Changes((Delete(CHAT, instance.service_id),)) if left else Changes()

    async def leave(self, service_id: ServiceId) -> bool:
        """Leave the chat of a service that is about to be deleted; tells whether it had one."""
        async with self._turns.of(service_id):
            state = await self._records.find(service_id)
            if state is None:
                return False
            if not state.closed:
                await self._line.leave_quietly(state)
            self._limits.forget(service_id)
            self._delivery.end(service_id)
            return True

    async def rest(self, going: Callable[[ServiceId], bool]) -> None:
        """Wait until the calls that are under way for some services are over."""
        for service_id in filter(going, self._turns.keys()):
            async with self._turns.of(service_id):
                pass


def _last_seen(state: ChatState, wanted: TalkRequest) -> int:
    """How far a client is that does not say it: where its last answer ended, if it got that."""
    missed = state.call and state.call in wanted.attempt.missed
    return state.previous if missed else state.position

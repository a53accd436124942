"""The customers' side of the chat server: flex requests -> what happens -> answers.

Connectionless: every request names its user by id and key, so any connection,
and any server on the same store, will do.

Knows: users and their keys, who may read what, held refreshes, silence.  Does
not know: sockets, XML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from gms_twisted.chatserver.conversation import FlexState, describe, next_flex_state, refuse
from gms_twisted.chatserver.errors import ErrorCode, IllegalMove
from gms_twisted.chatserver.messages import (
    FlexJoin,
    FlexLogin,
    FlexLogout,
    FlexRefresh,
    FlexRequest,
    FlexStatus,
)
from gms_twisted.domain.chat import ChatCredentials, LeaveReason, PartyType
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.ids import ChatSessionId, ChatUserId
from gms_twisted.domain.sources import IdSource, Timers, WallClock
from gms_twisted.embedded.flex_presence import Presence
from gms_twisted.embedded.flex_users import FlexUsers
from gms_twisted.embedded.flex_view import visible_part
from gms_twisted.embedded.room import Draft, new_session
from gms_twisted.embedded.room_host import RoomHost
from gms_twisted.embedded.room_memory import Room
from gms_twisted.embedded.room_records import FlexUser, put_user
from gms_twisted.embedded.rooms import (
    MAX_USER_DATA_CHARS,
    Party,
    RoomClosed,
    RoomFull,
    RoomNotFound,
)
from gms_twisted.store.interfaces import Change, ConditionFailed, Store

SESSION_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
ATTEMPTS = 5


class FlexSide:
    """Answers flex requests; see the module."""

    log = Logger()

    def __init__(
        self, host: RoomHost, store: Store, timers: Timers, wall: WallClock, ids: IdSource
    ) -> None:
        self._host = host
        self._timers = timers
        self._wall = wall
        self._ids = ids
        self._users = FlexUsers(store, wall, ids, host.options.max_sessions)
        self._presence = Presence(
            timers, lambda: host.options.flex_disconnect_timeout_s, self._silent
        )
        self._making = 0

    def start(self) -> None:
        """Give every customer that is ours now the full time; after the host's start.

        Those whose silence is being counted already have what is left of theirs.
        """
        for room in self._host.shelf.open.values():
            for party in room.info.parties:
                if party.is_customer and party.present and party.home == self._host.home:
                    for user_id in party.user_ids:
                        if not self._presence.counts(user_id):
                            self._presence.heard(user_id, room.info.session_id)

    def stop(self) -> None:
        """Let held refreshes go and stop the clocks."""
        self._presence.stop()

    async def handle(
        self, request: FlexRequest, held: Callable[[Deferred[None]], None] = lambda waiter: None
    ) -> FlexStatus:
        """Do what a request asks, and answer it; raises only when it is cancelled.

        :param held: given what to cancel when nobody waits for the answer any more.
        """
        try:
            match request:
                case FlexLogin():
                    return await self._login(request)
                case FlexJoin():
                    return await self._join(request)
                case FlexRefresh():
                    return await self._refresh(request, held)
                case FlexLogout():
                    return await self._logout(request)
        except CancelledError:
            raise  # the server is being stopped; the client asks another one
        except IllegalMove as error:
            return FlexStatus(request.ref, error.code, describe(error.code))
        except RoomFull:
            return self._failed(request, ErrorCode.LIMIT_REACHED)
        except RoomNotFound:
            return self._failed(request, ErrorCode.UNKNOWN_SESSION)
        except GmsError as error:
            self.log.warn("A flex request failed: {error}", error=error)
        except Exception:  # noqa: BLE001 - the customer gets an answer whatever our fault is
            self.log.failure("A flex request failed")
        return self._failed(request, ErrorCode.INTERNAL)

    @staticmethod
    def _failed(request: FlexRequest, code: ErrorCode) -> FlexStatus:
        return FlexStatus(request.ref, code, describe(code))

    def is_quiet(
        self, credentials: ChatCredentials, session_id: ChatSessionId, position: int
    ) -> bool:
        """Make a refresh that says nothing, if it is known at once that it brings nothing.

        :returns: whether that is so: the chat goes on and ``position`` is its last.  Otherwise
            nothing was done; :meth:`handle` tells more.
        """
        user, room = self._users.at_hand(credentials), self._host.shelf.open.get(session_id)
        if (
            user is None
            or room is None
            or user.session_id != session_id
            or room.info.last_position != position
        ):
            return False
        party = _party_of(room, user)
        if not party.present or party.home != self._host.home:
            return False
        self._presence.heard(user.user_id, session_id)
        return True

    # The four requests

    async def _login(self, request: FlexLogin) -> FlexStatus:
        next_flex_state(FlexState.UNKNOWN, request)
        _require_small(request.user_data)
        user = await self._users.login(request.nickname, request.user_data)
        return FlexStatus(request.ref, credentials=ChatCredentials(user.user_id, user.secure_key))

    async def _join(self, request: FlexJoin) -> FlexStatus:
        user = await self._known_user(request.credentials)
        state = await self._state(user)
        next_flex_state(state, request)
        if state is FlexState.JOINED:
            return await self._rejoin(request, user)
        if request.session_id is not None:
            # Choice: nobody walks into a chat that is not his own by its id.
            raise refuse(ErrorCode.UNKNOWN_SESSION)
        if request.queue not in self._host.options.queues:
            raise refuse(ErrorCode.UNKNOWN_QUEUE)
        _require_small({**user.user_data, **request.user_data, "": request.subject})
        for _ in range(ATTEMPTS):
            joined = await self._known_join(request, user) or await self._new_session(request, user)
            if joined is not None:
                return joined
        raise refuse(ErrorCode.INTERNAL)

    async def _rejoin(self, request: FlexJoin, user: FlexUser) -> FlexStatus:
        """A join repeated by the same user: its session again."""
        room, party = await self._seat(user, request.session_id or user.session_id)
        self._presence.heard(user.user_id, room.info.session_id)
        return self._answer(request, room, party, 0)

    async def _known_join(self, request: FlexJoin, user: FlexUser) -> FlexStatus | None:
        """A join repeated with another user: the session that its word made."""
        session_id = await self._host.shelf.joined_by(request.dedupe) if request.dedupe else None
        if session_id is None:
            return None

        def decide(draft: Draft) -> Party | None:
            for party in draft.info.parties:
                if party.is_customer and party.present:
                    party = draft.settle_in(party)
                    draft.speak_for(party, user.user_id)
                    return party
            return None

        def and_user(draft: Draft) -> list[Change]:
            party = next(one for one in draft.info.parties if user.user_id in one.user_ids)
            return [put_user(replace(user, session_id=session_id, party_id=party.party_id), None)]

        party = await self._host.shelf.change(session_id, decide, and_user)
        if party is None:
            return None
        self._users.remember(replace(user, session_id=session_id, party_id=party.party_id))
        self._host.announce(session_id)
        self._presence.heard(user.user_id, session_id)
        return self._answer(request, await self._host.shelf.find(session_id), party, 0)

    async def _new_session(self, request: FlexJoin, user: FlexUser) -> FlexStatus | None:
        """Make a session; ``None`` when the word has just made one, or the id is taken."""
        if len(self._host.shelf.open) + self._making >= self._host.options.max_sessions:
            raise refuse(ErrorCode.LIMIT_REACHED)
        session_id = ChatSessionId(self._ids.text(SESSION_ALPHABET, 16))
        now = self._wall.now()
        data = {**user.user_data, **request.user_data}
        info = new_session(session_id, request.queue, request.subject, data, now)
        draft = Draft(info, {}, now, self._host.home)
        party = draft.enter(user.nickname, PartyType.CLIENT, user_id=user.user_id)
        joined = replace(user, session_id=session_id, party_id=party.party_id, user_data={})
        self._making += 1
        try:
            room = await self._host.shelf.create(draft, request.dedupe, joined)
        except ConditionFailed as error:
            self.log.debug("A join is decided anew: {condition}", condition=error.condition)
            return None
        finally:
            self._making -= 1
        self._users.remember(joined)
        self._host.announce(session_id)
        self._presence.heard(user.user_id, session_id)
        return self._answer(request, room, party, 0)

    async def _refresh(
        self, request: FlexRefresh, held: Callable[[Deferred[None]], None]
    ) -> FlexStatus:
        user, room, party = await self._who(request)
        if not party.present:
            return self._answer(request, room, party, request.position)
        session_id = room.info.session_id
        self._presence.heard(user.user_id, session_id)
        if party.home != self._host.home:
            # It comes from another server: what was said there is not known here, if the news
            # of it was lost with that server.
            await self._host.reread(session_id)
            room, party = await self._seat(user, session_id)
        # Choice: an empty message is none.
        speaks = bool(request.message) or request.notice is not None
        if speaks or party.home != self._host.home:
            # A chat that ended meanwhile is answered below, with the rest of its transcript.
            with suppress(RoomClosed):
                await self._host.change(session_id, lambda draft: self._speak(draft, user, request))
            room, party = await self._seat(user, session_id)
        if request.wait_s > 0 and not speaks:
            await self._hold(user, room, request, held)
            room, party = await self._seat(user, session_id)
        return self._answer(request, room, party, request.position)

    @staticmethod
    def _speak(draft: Draft, user: FlexUser, request: FlexRefresh) -> None:
        draft.require_open()
        party = draft.party(user.party_id)
        if not party.present:
            raise RoomClosed("The customer has left.")
        party = draft.settle_in(party)
        if request.message:
            draft.say(party, request.message, request.dedupe, request.message_type)
        if request.notice is not None:
            # A message and a notice in one request are two events of one word.
            word = request.dedupe and f"{request.dedupe}/notice"
            draft.tell(party, request.notice, word)

    async def _hold(
        self,
        user: FlexUser,
        room: Room,
        request: FlexRefresh,
        held: Callable[[Deferred[None]], None],
    ) -> None:
        """Wait until there is news for the customer, or its time is over."""
        deadline = self._timers.seconds() + request.wait_s
        while self._host.running:
            party = _party_of(room, user)
            part = visible_part(room, party, request.position)
            left_s = deadline - self._timers.seconds()
            if part.events or part.closed or left_s <= 0:
                return
            more = await self._presence.hold(user.user_id, room.news(), left_s, held)
            if _party_of(room, user).present:
                self._presence.heard(user.user_id, room.info.session_id)
            if not more:
                return

    async def _logout(self, request: FlexLogout) -> FlexStatus:
        user, room, party = await self._who(request)
        if not party.present:
            return self._answer(request, room, party, request.position)
        stop = self._host.options.stop_abandoned_interaction

        def decide(draft: Draft) -> bool:
            party = draft.party(user.party_id)
            if not party.present:
                return False
            if request.message:
                draft.say(party, request.message)
            draft.leave(draft.settle_in(party), LeaveReason.LEFT)
            draft.settle(stop_abandoned=stop)
            return True

        left = await self._host.change(room.info.session_id, decide)
        self._presence.forget(user.user_id)
        room, party = await self._seat(user, room.info.session_id)
        if not left:
            return self._answer(request, room, party, request.position)
        # Nothing will follow for this user, whoever is still talking.
        transcript = replace(visible_part(room, party, request.position), closed=True)
        return FlexStatus(request.ref, credentials=request.credentials, transcript=transcript)

    # What they share

    async def _known_user(self, credentials: ChatCredentials) -> FlexUser:
        user = await self._users.find(credentials)
        if user is None:
            raise refuse(ErrorCode.UNKNOWN_USER)
        return user

    async def _state(self, user: FlexUser) -> FlexState:
        if user.session_id is None:
            return FlexState.LOGGED_IN
        _, party = await self._seat(user, user.session_id)
        return FlexState.JOINED if party.present else FlexState.LEFT

    async def _who(self, request: FlexRefresh | FlexLogout) -> tuple[FlexUser, Room, Party]:
        """Who asks and where he sits; also for one who has left, who may still read."""
        user = await self._known_user(request.credentials)
        if user.session_id is None:
            next_flex_state(FlexState.LOGGED_IN, request)
        room, party = await self._seat(user, user.session_id)
        if party.present:
            next_flex_state(FlexState.JOINED, request)
        if request.session_id != user.session_id:
            raise refuse(ErrorCode.UNKNOWN_SESSION)
        return user, room, party

    async def _seat(self, user: FlexUser, session_id: ChatSessionId | None) -> tuple[Room, Party]:
        if session_id is None or session_id != user.session_id:
            raise refuse(ErrorCode.UNKNOWN_SESSION)
        room = await self._host.shelf.find(session_id)
        closed_at = room.info.closed_at
        ttl_s = self._host.options.closed_session_ttl_s
        if closed_at is not None and closed_at + ttl_s <= self._wall.now():
            raise refuse(ErrorCode.UNKNOWN_SESSION)
        return room, _party_of(room, user)

    def _answer(
        self, request: FlexJoin | FlexRefresh | FlexLogout, room: Room, party: Party, position: int
    ) -> FlexStatus:
        """The transcript after a position; code 5 with the rest when it is over."""
        transcript = visible_part(room, party, position)
        code = ErrorCode.SESSION_CLOSED if transcript.closed else None
        description = "" if code is None else describe(code)
        return FlexStatus(request.ref, code, description, request.credentials, transcript)

    # Silence

    def _silent(self, user_id: ChatUserId, session_id: ChatSessionId) -> None:
        self._host.tasks.spawn("removing a silent customer", self._remove(user_id, session_id))

    async def _remove(self, user_id: ChatUserId, session_id: ChatSessionId) -> None:
        """Take a silent customer out, unless another server has heard it since."""
        stop = self._host.options.stop_abandoned_interaction

        def decide(draft: Draft) -> None:
            for party in draft.info.parties:
                if user_id not in party.user_ids or not party.present:
                    continue
                heard_otherwise = any(map(self._presence.counts, party.user_ids))
                if party.home == self._host.home and not heard_otherwise:
                    draft.leave(party, LeaveReason.TIMEOUT)
                    draft.settle(stop_abandoned=stop)

        try:
            await self._host.change(session_id, decide)
        except GmsError as error:
            self.log.warn(
                "A silent customer is still in {chat}: {error}", chat=session_id, error=error
            )
            self._presence.heard(user_id, session_id)


def _require_small(user_data: Mapping[str, str]) -> None:
    """Refuse too much attached data.

    :raises IllegalMove: it is above :data:`gms_twisted.embedded.rooms.MAX_USER_DATA_CHARS`.
    """
    if sum(len(key) + len(value) for key, value in user_data.items()) > MAX_USER_DATA_CHARS:
        raise refuse(ErrorCode.LIMIT_REACHED)


def _party_of(room: Room, user: FlexUser) -> Party:
    return next(one for one in room.info.parties if one.party_id == user.party_id)

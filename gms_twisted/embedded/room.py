"""One chat's rules: what somebody does -> events to append, and what the chat is then.

Pure.  A :class:`Draft` is begun from a :class:`gms_twisted.embedded.rooms.SessionInfo`,
changed by what happens, stored as a whole by the caller, and only then becomes
the truth; a draft that is thrown away leaves no trace.

Positions are numbered here, 1 for the first event, without gaps; hidden events
count (hardening C04).

Knows: parties, events, queueing, when a chat ends.  Does not know: the store,
time (passed in), who listens.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gms_twisted.domain.chat import (
    AfterAction,
    ChatEvent,
    EventKind,
    LeaveReason,
    Notice,
    NoticeType,
    PartyType,
    Visibility,
)
from gms_twisted.domain.ids import AgentName, ChatSessionId, ChatUserId
from gms_twisted.embedded.rooms import (
    MAX_EVENTS,
    MAX_TEXT_CHARS,
    CustomerState,
    Dequeued,
    NotInRoom,
    Party,
    RoomClosed,
    RoomFull,
    SessionInfo,
)

_FLEETING = {NoticeType.TYPING_STARTED, NoticeType.TYPING_STOPPED, NoticeType.USER_UPDATE_NICK}


@dataclass(frozen=True, slots=True)
class Said:
    """An event to append.

    :ivar word: what recognises a repetition, ``""`` for none; unique in its chat.
    """

    event: ChatEvent
    word: str = ""


def new_session(
    session_id: ChatSessionId,
    queue: str,
    subject: str,
    user_data: Mapping[str, str],
    now: float,
) -> SessionInfo:
    """Make a chat with nobody in it that waits in ``queue``."""
    return SessionInfo(
        session_id=session_id,
        queue=queue,
        subject=subject,
        user_data=dict(user_data),
        started_at=now,
        last_position=0,
        parties=(),
        waiting_since=now,
        customer_since=now,
    )


def worth_showing(event: ChatEvent) -> bool:
    """Tell whether an event stands for its chat in a list."""
    if event.visibility is not Visibility.ALL:
        return False
    if event.kind is EventKind.NOTICE:
        return event.notice_type not in _FLEETING
    return event.kind is EventKind.MESSAGE


def why_dequeued(after: SessionInfo, events: Sequence[ChatEvent]) -> Dequeued:
    """Tell why a chat waits no longer.

    :param events: what has happened since it did.
    """
    if after.closed_at is None:
        return Dequeued.TAKEN
    by_itself = any(
        event.party_type is PartyType.CLIENT
        and event.kind is EventKind.LEFT
        and event.reason is not LeaveReason.CLOSED
        for event in events
    )
    return Dequeued.LEFT if by_itself else Dequeued.CLOSED


def _alike(nickname: str) -> str:
    """The same for nicknames that a reader would take for the same."""
    plain = unicodedata.normalize("NFKC", nickname).casefold()
    return "".join(letter for letter in plain if letter.isalnum())


class Draft:
    """A change of one chat that is being decided.

    :param words: positions by word of what was said before.
    :param now: Unix seconds.
    :param home: the server that serves whoever acts now.
    """

    def __init__(
        self, before: SessionInfo, words: Mapping[str, int], now: float, home: str
    ) -> None:
        self.before = before
        self.info = before
        self.said: list[Said] = []
        self.left: list[Party] = []
        self._words = words
        self._now = now
        self._home = home

    @property
    def changed(self) -> bool:
        """Tell whether anything happened."""
        return bool(self.said) or self.info != self.before

    # Who is there

    def require_open(self) -> None:
        """Refuse unless the chat is open.

        :raises RoomClosed: it is over.
        """
        if self.info.closed_at is not None:
            raise RoomClosed("The chat is over.")

    def agent(self, agent: AgentName) -> Party | None:
        """The agent's party that is in the chat now."""
        present = (party for party in self.info.parties if party.present)
        return next((party for party in present if party.agent == agent), None)

    def require_agent(self, agent: AgentName) -> Party:
        """The agent's party, refusing when it is not in the chat or that is over.

        :raises RoomClosed: it is over.
        :raises NotInRoom: the agent is outside.
        """
        self.require_open()
        party = self.agent(agent)
        if party is None:
            raise NotInRoom("You are not in this chat.")
        return party

    def party(self, party_id: str) -> Party:
        """A party by its id, which must exist."""
        return next(party for party in self.info.parties if party.party_id == party_id)

    def _present(self, *types: PartyType) -> list[Party]:
        return [one for one in self.info.parties if one.present and one.party_type in types]

    # What happens

    def enter(
        self,
        nickname: str,
        party_type: PartyType,
        *,
        visibility: Visibility = Visibility.ALL,
        user_id: ChatUserId | None = None,
        agent: AgentName | None = None,
    ) -> Party:
        """Somebody comes in.

        :raises RoomFull: the chat's transcript is full.
        """
        self._require_space("")
        party = Party(
            party_id=str(len(self.info.parties) + 1),
            nickname=self._distinct(nickname, agent),
            party_type=party_type,
            visibility=visibility,
            user_ids=(user_id,) if user_id is not None else (),
            agent=agent,
            joined=self.info.last_position + 1,
            home=self._home,
        )
        self.info = replace(self.info, parties=(*self.info.parties, party))
        self._append(EventKind.JOINED, party)
        return party

    def speak_for(self, party: Party, user_id: ChatUserId) -> None:
        """Another flex user is the same customer: its join was repeated."""
        if user_id not in party.user_ids:
            self._put(replace(party, user_ids=(*party.user_ids, user_id)))

    def settle_in(self, party: Party) -> Party:
        """Note that this server serves the party now."""
        if party.home != self._home:
            party = replace(party, home=self._home)
            self._put(party)
        return party

    def say(self, party: Party, text: str, word: str = "", message_type: str = "") -> int:
        """Somebody says something; gives its position, also of a repetition.

        :raises RoomFull: the text is too long, or the transcript is full.
        """
        return self._once(party, EventKind.MESSAGE, text=text, word=word, message_type=message_type)

    def tell(self, party: Party, notice: Notice, word: str = "") -> int:
        """Somebody sends a notice; as :meth:`say`."""
        return self._once(
            party,
            EventKind.NOTICE,
            text=notice.text,
            word=word,
            notice_type=notice.notice_type,
        )

    def leave(self, party: Party, reason: LeaveReason) -> None:
        """Somebody goes out; whether the chat goes on is for :meth:`settle`."""
        event = self._append(EventKind.LEFT, party, reason=reason)
        gone = replace(self.party(party.party_id), left=event.position)
        self._put(gone)
        self.left.append(gone)
        if party.is_customer and not self._present(PartyType.CLIENT):
            self._customer_is(CustomerState.GONE)

    def take_from_queue(self) -> None:
        """The chat no longer waits."""
        self.info = replace(self.info, waiting_since=None)

    def put_into_queue(self) -> None:
        """The chat waits again."""
        self.info = replace(self.info, waiting_since=self._now, reopened=True)

    def close(self) -> None:
        """The chat ends for everybody who is still there."""
        for party in self.info.parties:
            if party.present:
                self.leave(party, LeaveReason.CLOSED)
        self.info = replace(self.info, closed_at=self._now, waiting_since=None)

    def settle(self, *, stop_abandoned: bool) -> None:
        """After somebody left: close a chat that nobody who matters is left in.

        Customers and agents matter; supervisors and programs do not.  A chat that
        no agent ever had, and that its customer left, is closed when
        ``stop_abandoned`` says so and waits on otherwise.
        """
        # Choice: a customer left alone by its agents goes back into the queue;
        # there is nothing else that would find it again.
        if self.info.closed_at is not None or self._present(PartyType.AGENT):
            return
        if self._present(PartyType.CLIENT):
            if self.info.waiting_since is None:
                self.put_into_queue()
            return
        had_agent = any(party.party_type is PartyType.AGENT for party in self.info.parties)
        if had_agent or stop_abandoned or self.info.waiting_since is None:
            self.close()

    def leave_and(self, party: Party, action: AfterAction, *, stop_abandoned: bool) -> None:
        """An agent goes out and says what becomes of the chat."""
        self.leave(party, LeaveReason.LEFT)
        alone = not self._present(PartyType.AGENT)
        if action is AfterAction.CLOSE or (action is AfterAction.CLOSE_IF_NO_AGENTS and alone):
            self.close()
        self.settle(stop_abandoned=stop_abandoned)

    # How it is written down

    def _once(
        self,
        party: Party,
        kind: EventKind,
        *,
        text: str,
        word: str,
        notice_type: NoticeType | None = None,
        message_type: str = "",
    ) -> int:
        word = f"{party.party_id}:{word}" if word else ""
        if word in self._words:
            return self._words[word]
        self._require_space(text)
        event = self._append(
            kind, party, text=text, notice_type=notice_type, message_type=message_type, word=word
        )
        if party.is_customer:
            # A custom notice of a customer comes from GMS, which so tells that it
            # cannot be reached; the Chat API gives customers none of their own.
            away = notice_type is NoticeType.CUSTOM
            self._customer_is(CustomerState.AWAY if away else CustomerState.HERE)
        if worth_showing(event):
            self.info = replace(self.info, last=event)
        return event.position

    def _distinct(self, nickname: str, agent: AgentName | None) -> str:
        """Mark a nickname that somebody else in this chat has, or looks as if (C06)."""
        taken = {_alike(party.nickname) for party in self.info.parties if party.agent != agent}
        number, marked = 1, nickname
        while _alike(marked) in taken:
            number += 1
            marked = f"{nickname} ({number})"
        return marked

    def _append(
        self,
        kind: EventKind,
        party: Party,
        *,
        text: str = "",
        notice_type: NoticeType | None = None,
        message_type: str = "",
        reason: LeaveReason | None = None,
        word: str = "",
    ) -> ChatEvent:
        position = self.info.last_position + 1
        event = ChatEvent(
            kind=kind,
            position=position,
            time_shift_s=max(0, int(self._now - self.info.started_at)),
            party_id=party.party_id,
            nickname=party.nickname,
            party_type=party.party_type,
            visibility=party.visibility,
            text=text,
            notice_type=notice_type,
            message_type=message_type,
            reason=reason,
        )
        self.said.append(Said(event, word))
        self.info = replace(self.info, last_position=position)
        return event

    def _put(self, party: Party) -> None:
        parties = tuple(
            party if one.party_id == party.party_id else one for one in self.info.parties
        )
        self.info = replace(self.info, parties=parties)

    def _customer_is(self, state: CustomerState) -> None:
        if self.info.customer is not state:
            self.info = replace(self.info, customer=state, customer_since=self._now)

    def _require_space(self, text: str) -> None:
        """Refuse what would leave no room for everybody's leaving."""
        if len(text) > MAX_TEXT_CHARS:
            raise RoomFull(f"A text has at most {MAX_TEXT_CHARS} characters.")
        present = sum(party.present for party in self.info.parties)
        if self.info.last_position + present + 2 > MAX_EVENTS:
            raise RoomFull(f"A chat has at most {MAX_EVENTS} events.")

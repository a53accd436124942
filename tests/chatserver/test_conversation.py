"""What is legal when."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.chatserver.conversation import (
    AGENT_MOVES,
    FLEX_MOVES,
    SEAT_MOVES,
    AgentState,
    FlexState,
    SeatState,
    describe,
    next_agent_state,
    next_flex_state,
    next_seat_state,
)
from gms_twisted.chatserver.errors import ErrorCode, IllegalMove
from gms_twisted.chatserver.messages import (
    FlexJoin,
    FlexLogin,
    FlexLogout,
    FlexRefresh,
    FlexRequest,
    Join,
    Register,
    Release,
    Say,
    Tell,
)
from gms_twisted.domain.chat import ChatCredentials, Notice, NoticeType
from gms_twisted.domain.ids import ChatSessionId, ChatUserId

WHO = ChatCredentials(ChatUserId("U"), "k")
SESSION = ChatSessionId("S")
FLEX: tuple[FlexRequest, ...] = (
    FlexLogin(1, "a"),
    FlexJoin(1, WHO, "q"),
    FlexRefresh(1, WHO, SESSION, 0),
    FlexLogout(1, WHO, SESSION, 0),
)
SEATED = (
    Join(1, SESSION),
    Say(1, SESSION, "a"),
    Tell(1, SESSION, Notice(NoticeType.CUSTOM)),
    Release(1, SESSION),
)


class ConversationTests(SynchronousTestCase):
    """The tables are whole, and are what is applied."""

    def test_flex_table_is_applied(self) -> None:
        """Every move leads where the table says, or is refused with its code."""
        for state in FlexState:
            for request in FLEX:
                expected = FLEX_MOVES[state][type(request)]
                if isinstance(expected, FlexState):
                    self.assertIs(next_flex_state(state, request), expected)
                else:
                    with self.assertRaises(IllegalMove) as caught:
                        next_flex_state(state, request)
                    self.assertIs(caught.exception.code, expected)

    def test_agents_table_is_applied(self) -> None:
        """As above, for an agent's connection."""
        for state in AgentState:
            for request in (Register(1, "a"), *SEATED):
                expected = AGENT_MOVES[state][type(request)]
                if isinstance(expected, AgentState):
                    self.assertIs(next_agent_state(state, request), expected)
                else:
                    with self.assertRaises(IllegalMove) as caught:
                        next_agent_state(state, request)
                    self.assertIs(caught.exception.code, expected)

    def test_seat_table_is_applied(self) -> None:
        """As above, for an agent in one session."""
        for state in SeatState:
            for request in SEATED:
                expected = SEAT_MOVES[state][type(request)]
                if isinstance(expected, SeatState):
                    self.assertIs(next_seat_state(state, request), expected)
                else:
                    with self.assertRaises(IllegalMove) as caught:
                        next_seat_state(state, request)
                    self.assertIs(caught.exception.code, expected)

    def test_old_version_is_refused(self) -> None:
        """Before 101 the same words meant other things."""
        for call in (
            lambda: next_flex_state(FlexState.UNKNOWN, FlexLogin(1, "a", 100)),
            lambda: next_agent_state(AgentState.SILENT, Register(1, "a", 100)),
        ):
            with self.assertRaises(IllegalMove) as caught:
                call()
            self.assertIs(caught.exception.code, ErrorCode.UNSUPPORTED_VERSION)

    def test_every_code_has_words(self) -> None:
        """An answer can always say what is wrong."""
        for code in ErrorCode:
            self.assertTrue(describe(code))

"""Packets <-> messages: the printed examples, round trips, and what is refused."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.chatserver.errors import BadRequest, ErrorCode, ProtocolError
from gms_twisted.chatserver.fields import MAX_ITEMS, MAX_WAIT_S
from gms_twisted.chatserver.framing import FrameReader
from gms_twisted.chatserver.messages import (
    AgentAnswer,
    AgentRequest,
    EventPush,
    FlexJoin,
    FlexLogin,
    FlexLogout,
    FlexRefresh,
    FlexRequest,
    FlexStatus,
    Join,
    Offer,
    Register,
    Release,
    Say,
    Status,
    Tell,
)
from gms_twisted.chatserver.packets import (
    packet,
    read_agent_answer,
    read_agent_request,
    read_flex_answer,
    read_flex_request,
)
from gms_twisted.domain.chat import (
    AfterAction,
    ChatCredentials,
    ChatEvent,
    EventKind,
    LeaveReason,
    Notice,
    NoticeType,
    PartyType,
    Transcript,
    Visibility,
)
from gms_twisted.domain.ids import ChatSessionId, ChatUserId

WHO = ChatCredentials(ChatUserId("015E4FD3CD890036"), "b306749dabfa1cf6")
SESSION = ChatSessionId("000C2a7VVQRB001U")

# What XML can carry; the rest is dropped on writing.
TEXT = st.text(
    st.characters(
        exclude_categories=["Cs"], exclude_characters=[*map(chr, range(32)), "\ufffe", "\uffff"]
    )
    | st.sampled_from("\t\n\r<>&\"'"),
    max_size=30,
)
NAME = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)
REFS = st.integers(1, 2**31 - 1)
POSITIONS = st.integers(0, 2**31 - 1)
DATA = st.dictionaries(NAME, TEXT, max_size=4)
CREDENTIALS = st.builds(ChatCredentials, NAME.map(ChatUserId), NAME)
SESSIONS = NAME.map(ChatSessionId)
NOTICES = st.builds(Notice, st.sampled_from(NoticeType), TEXT)


def payload(message: FlexRequest | FlexStatus | AgentRequest | AgentAnswer) -> bytes:
    """A message's XML."""
    return FrameReader().receive_data(packet(message))[0]


@st.composite
def events(draw: st.DrawFn, position: int = 1) -> ChatEvent:
    """Any event."""
    kind = draw(st.sampled_from(EventKind))
    return ChatEvent(
        kind=kind,
        position=position,
        time_shift_s=draw(st.integers(0, 10_000)),
        party_id=draw(NAME),
        nickname=draw(TEXT),
        party_type=draw(st.sampled_from(PartyType)),
        visibility=draw(st.sampled_from(Visibility)),
        text=draw(TEXT),
        notice_type=draw(st.sampled_from(NoticeType)) if kind is EventKind.NOTICE else None,
        message_type=draw(NAME) if kind is EventKind.MESSAGE else "",
        reason=draw(st.sampled_from(LeaveReason)) if kind is EventKind.LEFT else None,
    )


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Any transcript."""
    positions = sorted(draw(st.sets(st.integers(1, 1000), max_size=4)))
    return Transcript(
        draw(SESSIONS),
        float(draw(st.integers(0, 2**32))),
        draw(st.integers(positions[-1] if positions else 0, 2000)),
        draw(st.booleans()),
        tuple(draw(events(position)) for position in positions),
    )


FLEX_REQUESTS = st.one_of(
    st.builds(FlexLogin, REFS, NAME, POSITIONS, st.none() | st.integers(-1440, 1440), DATA),
    st.builds(FlexJoin, REFS, CREDENTIALS, NAME, TEXT, DATA, st.none() | SESSIONS, NAME),
    st.builds(
        FlexRefresh,
        REFS,
        CREDENTIALS,
        SESSIONS,
        POSITIONS,
        st.just(None),
        st.just(""),
        st.none() | NOTICES,
        st.integers(0, 240).map(lambda quarter: quarter / 4),
        NAME,
    ),
    st.builds(FlexRefresh, REFS, CREDENTIALS, SESSIONS, POSITIONS, TEXT, NAME),
    st.builds(FlexLogout, REFS, CREDENTIALS, SESSIONS, POSITIONS, st.none() | TEXT),
)
AGENT_REQUESTS = st.one_of(
    st.builds(
        Register,
        REFS,
        NAME,
        POSITIONS,
        st.sampled_from([one for one in PartyType if one is not PartyType.CLIENT]),
        NAME,
    ),
    st.builds(Join, REFS, SESSIONS, st.sampled_from(Visibility)),
    st.builds(Say, REFS, SESSIONS, TEXT, NAME, NAME),
    st.builds(Tell, REFS, SESSIONS, NOTICES, NAME),
    st.builds(Release, REFS, SESSIONS, st.sampled_from(AfterAction)),
)
FLEX_ANSWERS = st.one_of(
    st.builds(FlexStatus, REFS, credentials=CREDENTIALS, transcript=st.none() | transcripts()),
    st.builds(
        FlexStatus, REFS, st.sampled_from(ErrorCode), TEXT, st.none() | CREDENTIALS, transcripts()
    ),
)
AGENT_ANSWERS = st.one_of(
    st.builds(Status, REFS),
    st.builds(Status, REFS, st.sampled_from(ErrorCode), TEXT),
    st.builds(EventPush, SESSIONS, events()),
    st.builds(Offer, SESSIONS, NAME, TEXT, DATA),
)


class RoundTripTests(SynchronousTestCase):
    """What is written is read back the same."""

    @settings(deadline=None, max_examples=60)
    @given(FLEX_REQUESTS)
    def test_flex_requests(self, message: FlexRequest) -> None:
        """Every flex request."""
        self.assertEqual(read_flex_request(payload(message)), message)

    @settings(deadline=None, max_examples=60)
    @given(FLEX_ANSWERS)
    def test_flex_answers(self, message: FlexStatus) -> None:
        """Every answer, with every transcript."""
        self.assertEqual(read_flex_answer(payload(message)), message)

    @settings(deadline=None, max_examples=60)
    @given(AGENT_REQUESTS)
    def test_agent_requests(self, message: AgentRequest) -> None:
        """Every agent's request."""
        self.assertEqual(read_agent_request(payload(message)), message)

    @settings(deadline=None, max_examples=60)
    @given(AGENT_ANSWERS)
    def test_agent_answers(self, message: AgentAnswer) -> None:
        """Everything an agent is sent."""
        self.assertEqual(read_agent_answer(payload(message)), message)


class ExampleTests(SynchronousTestCase):
    """The examples of the protocol's description."""

    def test_login(self) -> None:
        """Version, nickname, time zone and user data."""
        xml = b"""<flexLogin ref="1" version="102" nickname="VasyaP" timeZoneOffset="-420">
          <userData><item key="fldnFirstName">Vasya</item></userData>
        </flexLogin>"""
        expected = FlexLogin(1, "VasyaP", 102, -420, {"fldnFirstName": "Vasya"})
        self.assertEqual(read_flex_request(xml), expected)

    def test_refresh_with_message(self) -> None:
        """User, session, position, text."""
        xml = b"""<flexRefresh ref="3" userId="015E4FD3CD890036" secureKey="b306749dabfa1cf6"
                 sessionId="000C2a7VVQRB001U" position="1">
          <message>hello agent</message>
        </flexRefresh>"""
        self.assertEqual(read_flex_request(xml), FlexRefresh(3, WHO, SESSION, 1, "hello agent"))

    def test_refresh_with_notice(self) -> None:
        """A notice is an element with a type."""
        xml = b"""<flexRefresh ref="4" userId="015E4FD3CD890036" secureKey="b306749dabfa1cf6"
          sessionId="000C2a7VVQRB001U" position="3"><notice type="TYPING_STARTED"/></flexRefresh>"""
        notice = Notice(NoticeType.TYPING_STARTED)
        self.assertEqual(read_flex_request(xml), FlexRefresh(4, WHO, SESSION, 3, notice=notice))

    def test_status_with_transcript(self) -> None:
        """Joining and message, seconds from a start in UTC."""
        xml = b"""<flexStatus ref="3" result="success" userId="015E4FD3CD890036"
          secureKey="b306749dabfa1cf6"><transcript sessionId="000C2a7VVQRB001U"
            startedAt="2012-06-09T22:26:17Z" lastPosition="3" state="open">
            <newParty position="2" timeShift="15" partyId="2" nickname="ksippo" userType="AGENT"
              visibility="ALL"/>
            <message  position="3" timeShift="26" partyId="1" nickname="VasyaP" userType="CLIENT"
              visibility="ALL">hello agent</message>
          </transcript></flexStatus>"""
        joined = ChatEvent(EventKind.JOINED, 2, 15, "2", "ksippo", PartyType.AGENT)
        said = ChatEvent(
            EventKind.MESSAGE, 3, 26, "1", "VasyaP", PartyType.CLIENT, text="hello agent"
        )
        transcript = Transcript(SESSION, 1_339_280_777.0, 3, False, (joined, said))
        self.assertEqual(
            read_flex_answer(xml), FlexStatus(3, credentials=WHO, transcript=transcript)
        )

    def test_error(self) -> None:
        """A code and words."""
        xml = b'<flexStatus ref="9" result="error" code="3" description="unknown user"/>'
        self.assertEqual(
            read_flex_answer(xml), FlexStatus(9, ErrorCode.UNKNOWN_USER, "unknown user")
        )

    def test_unknown_code_is_an_internal_error(self) -> None:
        """A code of a later version is an error all the same."""
        xml = b'<flexStatus ref="9" result="error" code="42"/>'
        self.assertEqual(read_flex_answer(xml).code, ErrorCode.INTERNAL)


class RefusalTests(SynchronousTestCase):
    """What breaks the rules is refused, with an answer where one is possible."""

    def test_not_well_formed_closes(self) -> None:
        """Without XML there is no number to answer."""
        for xml in (
            b"",
            b"hello",
            b"<flexLogin",
            b"<a></b>",
            b"\xff\xfe",
            b"<a/><b/>",
            b"<a>\0</a>",
        ):
            with self.assertRaises(ProtocolError) as caught:
                read_flex_request(xml)
            self.assertNotIsInstance(caught.exception, BadRequest)

    def test_tricks_close(self) -> None:
        """Declarations, DTDs, entities and instructions are refused."""
        body = b'<flexLogin ref="1" version="102" nickname="a"/>'
        for xml in (
            b'<?xml version="1.0"?>' + body,
            b"<!DOCTYPE a>" + body,
            b'<!DOCTYPE a [<!ENTITY b "c">]><a ref="1">&b;</a>',
            b'<!DOCTYPE a SYSTEM "file:///etc/passwd">' + body,
            b"<?php x?>" + body,
            b'<a ref="1">&nbsp;</a>',
        ):
            with self.assertRaises(ProtocolError) as caught:
                read_flex_request(xml)
            self.assertNotIsInstance(caught.exception, BadRequest)

    def test_deep_and_wide_close(self) -> None:
        """Nesting and the number of elements are bounded."""
        deep = b"<a>" * 100 + b"</a>" * 100
        wide = b"<a>" + b"<b/>" * 30_000 + b"</a>"
        for xml in (deep, wide):
            with self.assertRaises(ProtocolError):
                read_flex_request(xml)

    def test_unusable_ref_closes(self) -> None:
        """A number that is missing, 0, negative, huge or none cannot be answered."""
        for ref in (
            "",
            'ref="0"',
            'ref="-1"',
            'ref="2147483648"',
            'ref="x"',
            'ref="1e3"',
            'ref="\u0661"',
        ):
            xml = f'<flexLogin {ref} version="102" nickname="a"/>'.encode()
            with self.assertRaises(ProtocolError) as caught:
                read_flex_request(xml)
            self.assertNotIsInstance(caught.exception, BadRequest)

    def test_C04_position_out_of_range_is_answered(self) -> None:
        """Positions that are no number, negative or above 2^31 - 1 are malformed."""
        for position in ("", "x", "-1", "2147483648", "9" * 400, "1.5", " 1"):
            xml = (
                f'<flexRefresh ref="7" userId="u" secureKey="k" sessionId="s" '
                f'position="{position}"/>'
            )
            with self.assertRaises(BadRequest) as caught:
                read_flex_request(xml.encode())
            self.assertEqual(caught.exception.ref, 7)
            self.assertIn("position", str(caught.exception))

    def test_wrong_fields_are_answered(self) -> None:
        """Each wrong field gives an error with the request's number."""
        for xml in (
            '<flexLogin ref="5" version="102"/>',
            '<flexLogin ref="5" version="x" nickname="a"/>',
            '<flexLogin ref="5" version="102" nickname="a" timeZoneOffset="1441"/>',
            f'<flexLogin ref="5" version="102" nickname="{"a" * 257}"/>',
            '<flexLogin ref="5" version="102" nickname="a"><userData><x/></userData></flexLogin>',
            '<flexLogin ref="5" version="102" nickname="a"><userData>'
            + '<item key="k"/>' * (MAX_ITEMS + 1)
            + "</userData></flexLogin>",
            '<flexJoin ref="5" userId="" secureKey="k" queue="q"/>',
            '<flexRefresh ref="5" userId="u" secureKey="k" sessionId="s" position="1" wait="-1"/>',
            '<flexRefresh ref="5" userId="u" secureKey="k" sessionId="s" position="1">'
            '<notice type="DANCING"/></flexRefresh>',
            '<flexFly ref="5"/>',
        ):
            with self.assertRaises(BadRequest) as caught:
                read_flex_request(xml.encode())
            self.assertEqual(caught.exception.ref, 5)

    def test_agents_wrong_fields_are_answered(self) -> None:
        """An agent is no customer, and says what it wants."""
        for xml in (
            b'<register ref="5" version="102" nickname="a" userType="CLIENT"/>',
            b'<register ref="5" version="102" nickname="a" userType="KING"/>',
            b'<join ref="5"/>',
            b'<notice ref="5" sessionId="s" type="DANCING"/>',
            b'<release ref="5" sessionId="s" afterAction="explode"/>',
            b'<flexLogin ref="5" version="102" nickname="a"/>',
        ):
            with self.assertRaises(BadRequest) as caught:
                read_agent_request(xml)
            self.assertEqual(caught.exception.ref, 5)

    def test_transcript_must_make_sense(self) -> None:
        """C04: positions strictly increase, up to the last one."""
        row = '<message position="{}" partyId="1" nickname="a" userType="CLIENT"/>'
        for positions, last in (((2, 2), 2), ((3, 2), 3), ((0,), 1), ((5,), 4)):
            rows = "".join(row.format(position) for position in positions)
            xml = (
                f'<flexStatus ref="1" result="success"><transcript sessionId="s" '
                f'startedAt="2012-06-09T22:26:17Z" lastPosition="{last}">{rows}'
                f"</transcript></flexStatus>"
            )
            with self.assertRaises(ProtocolError):
                read_flex_answer(xml.encode())

    def test_answers_that_make_no_sense(self) -> None:
        """Each wrong field of an answer or a push breaks the rules."""
        head = '<flexStatus ref="1" result="success">'
        good = 'sessionId="s" startedAt="2012-06-09T22:26:17Z" lastPosition="1"'
        row = '<message position="1" nickname="a" userType="CLIENT"/>'
        for xml in (
            '<flexStatus ref="1" result="perhaps"/>',
            '<flexStatus ref="1" result="error" code="x"/>',
            f'{head}<transcript startedAt="2012-06-09T22:26:17Z" lastPosition="1"/></flexStatus>',
            f'{head}<transcript {good} state="ajar"/></flexStatus>',
            f"{head}<transcript {good}><dance/></transcript></flexStatus>",
            f'{head}<transcript sessionId="s" startedAt="now" lastPosition="1"/></flexStatus>',
            f'{head}<transcript sessionId="s" startedAt="2012-13-41T99:26:17Z" '
            'lastPosition="1"/></flexStatus>',
            f'{head}<transcript sessionId="s" startedAt="2012-06-09T22:26:17Z"/></flexStatus>',
            f"{head}<transcript {good}>{row.replace('CLIENT', 'KING')}</transcript></flexStatus>",
        ):
            with self.assertRaises(ProtocolError):
                read_flex_answer(xml.encode())
        for xml in (
            '<event sessionId="s"/>',
            f'<event sessionId="s">{row}{row}</event>',
            "<event><message/></event>",
            "<dance/>",
        ):
            with self.assertRaises(ProtocolError):
                read_agent_answer(xml.encode())

    def test_fields_that_may_be_missing(self) -> None:
        """What an event or a logout leaves out has a usual value."""
        row = '<event sessionId="s"><message position="1"/></event>'
        pushed = read_agent_answer(row.encode())
        event = ChatEvent(EventKind.MESSAGE, 1, 0, "", "", PartyType.EXTERNAL)
        self.assertEqual(pushed, EventPush(ChatSessionId("s"), event))
        strange = '<event sessionId="s"><notice position="1" type="DANCING"/></event>'
        pushed = read_agent_answer(strange.encode())
        assert isinstance(pushed, EventPush)
        self.assertIs(pushed.event.notice_type, NoticeType.CUSTOM)
        logout = b'<flexLogout ref="1" userId="u" secureKey="k" sessionId="s"/>'
        read = read_flex_request(logout)
        assert isinstance(read, FlexLogout)
        self.assertEqual(read.position, 0)
        release = read_agent_request(b'<release ref="1" sessionId="s"/>')
        self.assertEqual(release, Release(1, ChatSessionId("s"), AfterAction.KEEP))
        with self.assertRaises(BadRequest):
            read_flex_request(b'<flexRefresh ref="1" userId="u" secureKey="k" sessionId="s"/>')

    def test_wait_is_cut(self) -> None:
        """A longer wait than a minute is a minute."""
        start = b'<flexRefresh ref="5" userId="u" secureKey="k" sessionId="s"'
        xml = start + b' position="1" wait="9999"/>'
        request = read_flex_request(xml)
        assert isinstance(request, FlexRefresh)
        self.assertEqual(request.wait_s, MAX_WAIT_S)

    @settings(deadline=None, max_examples=100)
    @given(
        st.binary(max_size=200)
        | st.text(max_size=80).map(lambda text: f"<a>{text}</a>".encode("utf-8", "replace"))
    )
    def test_C11_garbage_ends_in_protocol_error_only(self, data: bytes) -> None:
        """Whatever comes, nothing but a message or a ProtocolError results."""
        for read in (read_flex_request, read_flex_answer, read_agent_request, read_agent_answer):
            with self.assertRaises(ProtocolError):
                read(data)

    @settings(deadline=None, max_examples=60)
    @given(FLEX_REQUESTS, st.integers(0, 10_000), st.integers(0, 255))
    def test_C11_damaged_packet_ends_in_protocol_error_only(
        self, message: FlexRequest, place: int, byte: int
    ) -> None:
        """One wrong byte gives another message or a ProtocolError."""
        data = bytearray(payload(message))
        data[place % len(data)] = byte
        try:
            read_flex_request(bytes(data))
        except ProtocolError:
            return


class TextTests(SynchronousTestCase):
    """Text survives, except for what XML forbids."""

    def test_forbidden_characters_are_dropped(self) -> None:
        """Control characters, lone surrogates and non-characters go, the rest stays."""
        said = Say(1, SESSION, "a\0\x08b\ud800c\ufffed\te\nf\rg\U0001f600]]>")
        read = read_agent_request(payload(said))
        assert isinstance(read, Say)
        self.assertEqual(read.text, "abcd\te\nf\rg\U0001f600]]>")

    def test_values_keep_their_white_space(self) -> None:
        """Tabs and line ends in attributes are not turned into spaces."""
        sent = FlexJoin(1, WHO, "q", "a\tb\nc\rd  e\"f'g<h>&")
        self.assertEqual(read_flex_request(payload(sent)), sent)

    def test_G07_secrets_have_no_repr(self) -> None:
        """Neither keys nor texts show up when a message is printed."""
        shown = repr(FlexRefresh(1, WHO, SESSION, 1, "my secret text"))
        self.assertNotIn(WHO.secure_key, shown)
        self.assertNotIn("my secret text", shown)

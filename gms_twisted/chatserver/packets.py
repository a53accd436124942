"""Packets of a chat-server connection <-> typed messages.

Five directions: flex requests, flex answers, agents' requests, and what agents
are sent; each has a ``read_...``, and :func:`packet` writes them all.  A packet
that is not XML, or has no usable ``ref``, is a :class:`ProtocolError` and ends
the connection; one whose other fields are wrong is a :class:`BadRequest`, which
carries the ``ref`` for the answer.

======================  =====================================================
element                 message
======================  =====================================================
``flexLogin``           :class:`FlexLogin`
``flexJoin``            :class:`FlexJoin`
``flexRefresh``         :class:`FlexRefresh`
``flexLogout``          :class:`FlexLogout`
``flexStatus``          :class:`FlexStatus`
``register``            :class:`Register`
``join``                :class:`Join`
``message``             :class:`Say`; inside ``event`` and ``transcript`` an event
``notice``              :class:`Tell`; inside ``event`` and ``transcript`` an event
``release``             :class:`Release`
``status``              :class:`Status`
``event``               :class:`EventPush`
``offer``               :class:`Offer`
======================  =====================================================

Knows: names, types and bounds of fields.  Does not know: what is legal when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from gms_twisted.chatserver.errors import BadRequest, ErrorCode, ProtocolError
from gms_twisted.chatserver.events import read_event, read_transcript, write_event, write_transcript
from gms_twisted.chatserver.fields import (
    MAX_NAME_CHARS,
    MAX_NUMBER,
    MAX_OFFSET_MIN,
    Fields,
    read_ref,
)
from gms_twisted.chatserver.framing import frame
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
from gms_twisted.chatserver.xmltext import escape_text, read, write
from gms_twisted.domain.chat import (
    AfterAction,
    ChatCredentials,
    Notice,
    PartyType,
    Visibility,
)
from gms_twisted.domain.ids import ChatSessionId

M = TypeVar("M")


def _flex_login(fields: Fields) -> FlexLogin:
    offset = None
    if "timeZoneOffset" in fields.element.attributes:
        offset = fields.number("timeZoneOffset", -MAX_OFFSET_MIN, MAX_OFFSET_MIN)
    return FlexLogin(
        fields.ref,
        fields.name("nickname"),
        fields.number("version", 0, MAX_NUMBER),
        offset,
        fields.user_data(),
    )


def _flex_join(fields: Fields) -> FlexJoin:
    session_id = fields.name("sessionId", "")
    return FlexJoin(
        fields.ref,
        fields.credentials(),
        fields.name("queue", ""),
        fields.element.attributes.get("subject", ""),
        fields.user_data(),
        ChatSessionId(session_id) if session_id else None,
        fields.name("dedupe", ""),
    )


def _flex_refresh(fields: Fields) -> FlexRefresh:
    message = fields.element.child("message")
    notice = fields.element.child("notice")
    return FlexRefresh(
        fields.ref,
        fields.credentials(),
        fields.session_id(),
        fields.number("position", 0, MAX_NUMBER),
        fields.message(),
        "" if message is None else message.attributes.get("messageType", "")[:MAX_NAME_CHARS],
        None if notice is None else fields.notice(notice),
        fields.wait_s(),
        fields.name("dedupe", ""),
    )


def _flex_logout(fields: Fields) -> FlexLogout:
    return FlexLogout(
        fields.ref,
        fields.credentials(),
        fields.session_id(),
        fields.number("position", 0, MAX_NUMBER, 0),
        fields.message(),
    )


def _register(fields: Fields) -> Register:
    party_type = fields.word("userType", PartyType, PartyType.AGENT)
    if party_type is PartyType.CLIENT:
        raise fields.wrong("userType")
    return Register(
        fields.ref,
        fields.name("nickname"),
        fields.number("version", 0, MAX_NUMBER),
        party_type,
        fields.name("queue", ""),
    )


def _join(fields: Fields) -> Join:
    return Join(
        fields.ref, fields.session_id(), fields.word("visibility", Visibility, Visibility.ALL)
    )


def _say(fields: Fields) -> Say:
    return Say(
        fields.ref,
        fields.session_id(),
        fields.element.text,
        fields.name("messageType", ""),
        fields.name("dedupe", ""),
    )


def _tell(fields: Fields) -> Tell:
    notice = fields.notice(fields.element)
    return Tell(fields.ref, fields.session_id(), notice, fields.name("dedupe", ""))


def _release(fields: Fields) -> Release:
    return Release(
        fields.ref, fields.session_id(), fields.word("afterAction", AfterAction, AfterAction.KEEP)
    )


def _flex_status(fields: Fields) -> FlexStatus:
    transcript = fields.element.child("transcript")
    named = "userId" in fields.element.attributes
    return FlexStatus(
        fields.ref,
        fields.code(),
        fields.element.attributes.get("description", ""),
        fields.credentials() if named else None,
        None if transcript is None else read_transcript(transcript),
    )


def _status(fields: Fields) -> Status:
    return Status(fields.ref, fields.code(), fields.element.attributes.get("description", ""))


def _event_push(fields: Fields) -> EventPush:
    if len(fields.element.children) != 1:
        raise ProtocolError("An event holds one transcript element.")
    return EventPush(fields.session_id(), read_event(fields.element.children[0]))


def _offer(fields: Fields) -> Offer:
    return Offer(
        fields.session_id(),
        fields.name("queue", ""),
        fields.element.attributes.get("subject", ""),
        fields.user_data(),
    )


_FLEX_REQUESTS: Mapping[str, Callable[[Fields], FlexRequest]] = {
    "flexLogin": _flex_login,
    "flexJoin": _flex_join,
    "flexRefresh": _flex_refresh,
    "flexLogout": _flex_logout,
}
_FLEX_ANSWERS: Mapping[str, Callable[[Fields], FlexStatus]] = {"flexStatus": _flex_status}
_AGENT_REQUESTS: Mapping[str, Callable[[Fields], AgentRequest]] = {
    "register": _register,
    "join": _join,
    "message": _say,
    "notice": _tell,
    "release": _release,
}
_AGENT_ANSWERS: Mapping[str, Callable[[Fields], AgentAnswer]] = {
    "status": _status,
    "event": _event_push,
    "offer": _offer,
}
_UNASKED = {"event", "offer"}


def _read(payload: bytes, readers: Mapping[str, Callable[[Fields], M]]) -> M:
    element = read(payload)
    ref = 0
    if element.name not in _UNASKED:
        ref = read_ref(element)
    reader = readers.get(element.name)
    if reader is None:
        raise BadRequest("unknown element", ref) if ref else ProtocolError("Unknown element.")
    return reader(Fields(element, ref))


def read_flex_request(payload: bytes) -> FlexRequest:
    """Read what a customers' application says.

    :raises BadRequest: a field is wrong; answer with :attr:`ErrorCode.MALFORMED`.
    :raises ProtocolError: close the connection.
    """
    return _read(payload, _FLEX_REQUESTS)


def read_flex_answer(payload: bytes) -> FlexStatus:
    """Read what a server says to a customers' application; raises as above."""
    return _read(payload, _FLEX_ANSWERS)


def read_agent_request(payload: bytes) -> AgentRequest:
    """Read what an agent says; raises as above."""
    return _read(payload, _AGENT_REQUESTS)


def read_agent_answer(payload: bytes) -> AgentAnswer:
    """Read what a server says to an agent; raises as above."""
    return _read(payload, _AGENT_ANSWERS)


def _user_data_xml(data: Mapping[str, str]) -> str:
    if not data:
        return ""
    items = "".join(
        write("item", {"key": key}, escape_text(value)) for key, value in data.items() if key
    )
    return f"<userData>{items}</userData>"


def _message_xml(text: str | None, message_type: str = "") -> str:
    if text is None:
        return ""
    return write("message", {"messageType": message_type or None}, escape_text(text))


def _notice_xml(notice: Notice | None) -> str:
    if notice is None:
        return ""
    return write("notice", {"type": notice.notice_type.value}, escape_text(notice.text))


def _identity(credentials: ChatCredentials) -> dict[str, object]:
    return {"userId": credentials.user_id, "secureKey": credentials.secure_key}


def _result(ref: int, code: ErrorCode | None, description: str) -> dict[str, object]:
    if code is None:
        return {"ref": ref, "result": "success"}
    return {"ref": ref, "result": "error", "code": int(code), "description": description}


def _seconds(value: float) -> str | None:
    return f"{value:.3f}".rstrip("0").rstrip(".") if value > 0 else None


def _xml_of_flex(message: FlexRequest | FlexStatus) -> str:
    match message:
        case FlexLogin(ref, nickname, version, offset, user_data):
            attributes: dict[str, object] = {"ref": ref, "version": version, "nickname": nickname}
            attributes["timeZoneOffset"] = offset
            return write("flexLogin", attributes, _user_data_xml(user_data))
        case FlexJoin(ref, credentials, queue, subject, user_data, session_id, dedupe):
            attributes = {"ref": ref, **_identity(credentials), "sessionId": session_id}
            attributes |= {"queue": queue, "subject": subject or None, "dedupe": dedupe or None}
            return write("flexJoin", attributes, _user_data_xml(user_data))
        case FlexRefresh():
            attributes = {"ref": message.ref, **_identity(message.credentials)}
            attributes |= {"sessionId": message.session_id, "position": message.position}
            attributes |= {"wait": _seconds(message.wait_s), "dedupe": message.dedupe or None}
            content = _message_xml(message.message, message.message_type)
            return write("flexRefresh", attributes, content + _notice_xml(message.notice))
        case FlexLogout(ref, credentials, session_id, position, text):
            attributes = {"ref": ref, **_identity(credentials), "sessionId": session_id}
            attributes["position"] = position
            return write("flexLogout", attributes, _message_xml(text))
    attributes = _result(message.ref, message.code, message.description)
    if message.credentials is not None:
        attributes |= _identity(message.credentials)
    content = "" if message.transcript is None else write_transcript(message.transcript)
    return write("flexStatus", attributes, content)


def _xml_of_agent(message: AgentRequest | AgentAnswer) -> str:
    match message:
        case Register(ref, nickname, version, party_type, queue):
            attributes: dict[str, object] = {"ref": ref, "version": version, "nickname": nickname}
            attributes |= {"userType": party_type.value, "queue": queue or None}
            return write("register", attributes)
        case Join(ref, session_id, visibility):
            attributes = {"ref": ref, "sessionId": session_id, "visibility": visibility.value}
            return write("join", attributes)
        case Say(ref, session_id, text, message_type, dedupe):
            attributes = {"ref": ref, "sessionId": session_id}
            attributes |= {"messageType": message_type or None, "dedupe": dedupe or None}
            return write("message", attributes, escape_text(text))
        case Tell(ref, session_id, notice, dedupe):
            attributes = {"ref": ref, "sessionId": session_id, "dedupe": dedupe or None}
            attributes["type"] = notice.notice_type.value
            return write("notice", attributes, escape_text(notice.text))
        case Release(ref, session_id, after):
            attributes = {"ref": ref, "sessionId": session_id, "afterAction": after.value}
            return write("release", attributes)
        case Status(ref, code, description):
            return write("status", _result(ref, code, description))
        case EventPush(session_id, event):
            return write("event", {"sessionId": session_id}, write_event(event))
    attributes = {"sessionId": message.session_id, "queue": message.queue}
    attributes["subject"] = message.subject or None
    return write("offer", attributes, _user_data_xml(message.user_data))


def packet(message: FlexRequest | FlexStatus | AgentRequest | AgentAnswer) -> bytes:
    """Write a message as bytes for the connection, length included.

    :raises PacketTooLarge: it does not fit.
    """
    if isinstance(message, FlexLogin | FlexJoin | FlexRefresh | FlexLogout | FlexStatus):
        xml = _xml_of_flex(message)
    else:
        xml = _xml_of_agent(message)
    return frame(xml.encode("utf-8"))

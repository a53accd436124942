"""The chat object: what every call of the Chat API answers.

Spec: Chat API, "Chat Interaction API Resources"; "COMETD Based Chat API".

Knows: members, their order and JSON types, the shapes of comet mode.
Does not know: chat servers, the store, HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from urllib.parse import urlsplit

from gms_twisted.app.chat_records import ChatState
from gms_twisted.app.chat_rows import Row, started_at
from gms_twisted.config.options import ChatOptions
from gms_twisted.domain.ids import ServiceId

COMET_CHANNEL = "/_genesys"

# As printed, grammar included: programs compare it.
COMET_MESSAGE = "Messages will sent over CometD service channel /_genesys"

AVAILABLE = "Chat service is available"
FINISHED = "Chat was finished"

Answer = dict[str, object]


class Call(Enum):
    """What a client may ask of a chat.  Values as in the URL, after ``ixn/chat``."""

    START = ""
    REFRESH = "refresh"
    SEND = "send"
    START_TYPING = "startTyping"
    STOP_TYPING = "stopTyping"
    DISCONNECT = "disconnect"


def chat_url(service_id: ServiceId, operation: str = "") -> str:
    """The URL of a service's chat, or of an operation on it, as answers give it."""
    base = f"/genesys/1/service/{service_id}/ixn/chat"
    return f"{base}/{operation}" if operation else base


class ChatAnswers:
    """Builds answers.

    :param options: ``position_type``, ``comet_response`` and the balancer's path count.
    """

    def __init__(self, options: ChatOptions) -> None:
        self.options = options

    def answer(
        self,
        call: Call,
        state: ChatState,
        position: int,
        shown: Sequence[Row] = (),
        *,
        verbose: bool = False,
    ) -> Answer:
        """Answer a call over HTTP.

        :param position: what the client gets as its ``transcriptPosition``.
        :param shown: new rows; left out in comet mode, where they come on ``/_genesys``.
        """
        shape = self.options.comet_response if state.comet else ""
        # In the reference's own examples these two calls answer with a chat object in
        # comet mode as well, the one where only the message is meant for create excepted.
        whole = call is Call.DISCONNECT or (call is Call.START and shape == "short")
        if shape == "message" and not whole:
            return {"message": COMET_MESSAGE}
        if shape == "short" and not whole:
            return {"_id": state.service_id, "comet_channel": COMET_CHANNEL}
        answer: Answer = {
            "chatIxnState": self._state_word(call, state),
            "chatSessionId": state.session_id,
            "transcriptPosition": self._position(position),
            "chatServiceMessage": FINISHED if state.closed else AVAILABLE,
        }
        if call is not Call.START and call is not Call.DISCONNECT:
            answer["transcriptToShow"] = [] if state.comet else list(shown)
            answer["startedAt"] = started_at(state.started_at)
        if verbose or (shape == "superset" and call is Call.START):
            answer |= self._verbose(state)
        if shape == "superset":
            answer |= {
                "message": COMET_MESSAGE,
                "_id": state.service_id,
                "comet_channel": COMET_CHANNEL,
            }
        return answer

    def message(
        self,
        state: ChatState,
        position: int,
        shown: Sequence[Row] = (),
        *,
        over: bool = False,
        verbose: bool = False,
    ) -> Answer:
        """Build what goes into ``message`` of an event on ``/_genesys``.

        :param over: this is the last one.
        """
        answer: Answer = {
            "chatIxnState": "DISCONNECTED" if over else "TRANSCRIPT",
            "chatSessionId": state.session_id,
            # A number here whatever the option says, as all comet examples have it.
            "transcriptPosition": position,
            "chatServiceMessage": FINISHED if over else AVAILABLE,
            "transcriptToShow": list(shown),
            "startedAt": started_at(state.started_at),
        }
        return answer | self._verbose(state) if verbose else answer

    @staticmethod
    def _state_word(call: Call, state: ChatState) -> str:
        if state.closed:
            return "DISCONNECTED"
        return "CONNECTED" if call is Call.START else "TRANSCRIPT"

    def _position(self, position: int) -> str | int:
        return position if self.options.position_type == "number" else str(position)

    def _verbose(self, state: ChatState) -> Answer:
        server, service_id = state.server, state.service_id
        path = urlsplit(self.options.chat_load_balancer_url_path).path
        refresh = chat_url(service_id, "refresh")
        return {
            "userId": state.credentials.user_id,
            "secureKey": state.credentials.secure_key,
            "checkChatServiceLoadBalancerPath": (
                f"{path}?chatServerLoadBalancerAlias={server.alias}"
            ),
            "chatServerLoadBalancerAlias": server.alias,
            "chatServerHost": server.host,
            "chatWebApiPort": str(server.port),
            "isTLSrequired": "true" if server.tls else "false",
            "clientTimeZoneOffset": state.time_zone,
            "_chatIxnAPI_SEND_URL": chat_url(service_id, "send"),
            "_chatIxnAPI_REFRESH_URL": refresh,
            "_chatIxnAPI_START_TYPING_URL": chat_url(service_id, "startTyping"),
            "_chatIxnAPI_STOP_TYPING_URL": chat_url(service_id, "stopTyping"),
            "_chatIxnAPI_DISCONNECT_URL": chat_url(service_id, "disconnect"),
            "_chatIxnAPI_REFRESH_FROM_START_URL": f"{refresh}?transcriptPosition=1",
        }

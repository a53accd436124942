"""What an error packet's status means for the notification it names.

APNs: "Error Response Format", codes.
"""

from __future__ import annotations

from dataclasses import dataclass

from gms_twisted.apns.window import Status


@dataclass(frozen=True, slots=True)
class Refusal:
    """What to do with a refused notification.

    :ivar reason: the gateway's word.
    :ivar dead: the device can be reached no more.
    :ivar again: trying again may help.
    :ivar alarm: a sentence for the operator, or ``""``.
    """

    reason: str
    dead: bool = False
    again: bool = False
    alarm: str = ""


_REFUSALS = {
    Status.PROCESSING_ERROR: Refusal("ProcessingError", again=True),
    Status.MISSING_TOKEN: Refusal("MissingDeviceToken"),
    Status.MISSING_TOPIC: Refusal(
        "MissingTopic", alarm="The APNs certificate names no application (missing topic)."
    ),
    Status.MISSING_PAYLOAD: Refusal("MissingPayload"),
    Status.INVALID_TOKEN_SIZE: Refusal("InvalidTokenSize", dead=True),
    Status.INVALID_TOPIC_SIZE: Refusal(
        "InvalidTopicSize", alarm="The APNs gateway refuses the certificate's topic."
    ),
    Status.INVALID_PAYLOAD_SIZE: Refusal("InvalidPayloadSize"),
    Status.INVALID_TOKEN: Refusal("InvalidToken", dead=True),
    Status.PROTOCOL_ERROR: Refusal(
        "ProtocolError", alarm="The APNs gateway cannot read what we send."
    ),
    Status.UNKNOWN: Refusal("Unknown"),
}
_OTHER = Refusal("Other")


def refusal(status: int) -> Refusal:
    """Look up a status; an unknown one drops the notification it names."""
    try:
        return _REFUSALS.get(Status(status), _OTHER)
    except ValueError:
        return _OTHER


def status_word(status: int) -> str:
    """Name a status for a counter, from a bounded list."""
    return str(status) if status in Status.__members__.values() else "other"

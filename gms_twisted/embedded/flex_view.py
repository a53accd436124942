"""What of a chat its customer gets to see.

PURE.  Knows: visibility, how much an answer holds.  Does not know: requests, users' keys.
"""

from __future__ import annotations

from gms_twisted.domain.chat import ChatEvent, Transcript, Visibility
from gms_twisted.embedded.room_memory import Room
from gms_twisted.embedded.rooms import Party

ANSWER_BYTES = 900 * 1024
"""How much of a transcript one answer holds; the next refresh brings the rest."""


def visible_part(room: Room, party: Party, position: int) -> Transcript:
    """What a customer may see after a position: shown to all, and while it was there.

    A transcript too long for one answer is cut; it then says that the chat is
    open and ends where it was cut, so that the next refresh goes on from there.
    """
    end = room.info.last_position if party.left is None else party.left
    over = room.info.closed_at is not None or party.left is not None
    shown: list[ChatEvent] = []
    size = 0
    for event in room.events[max(0, min(position, end)) : end]:
        if event.visibility is not Visibility.ALL:
            continue
        size += 400 + 6 * (len(event.text) + len(event.nickname))
        if size > ANSWER_BYTES and shown:
            end, over = shown[-1].position, False
            break
        shown.append(event)
    info = room.info
    # Whole seconds, as packets have them.
    started_at = float(int(info.started_at))
    return Transcript(info.session_id, started_at, end, over, tuple(shown))

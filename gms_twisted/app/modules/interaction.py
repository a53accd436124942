"""Module ``interaction`` (prefix ``ixn``): calls of a session.

Spec: Orchestration Server-based Services, "Samples".
Knows: elements, members of events and of the object model.  Does not know: telephones.
"""

from __future__ import annotations

from collections.abc import Mapping

from gms_twisted.app.modules.failures import UnknownElement
from gms_twisted.app.modules.queue import resource_of
from gms_twisted.app.modules.targets import parse_target, target_of
from gms_twisted.app.modules.values import Attributes, members, needed, text, texts
from gms_twisted.app.operations import Outcome, Owner, Tell
from gms_twisted.app.telephony import (
    ContactCentre,
    Interaction,
    OutboundCall,
    TelephonyFailed,
)
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.scxml.effects import StartOperation

MAX_DATA = 100
MAX_DATA_NAME = 255
MAX_DATA_VALUE = 4096
"""Bounds of attached data: members, characters of a name, of a value."""

OWNING_SESSION = "OP-Session-ID"
"""The member of user data that names the session."""

_DN = "dn"
_UDATA = "udata"
_ENDED = "ended"


class Interactions:
    """A :class:`gms_twisted.app.operations.Module`.

    A session reaches its own calls only; any other id is ``unknown`` to it.  Without
    ``interactionid`` its only call is meant.
    """

    prefix = "interaction"

    def __init__(self, centre: ContactCentre) -> None:
        self._centre = centre

    async def act(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome:
        """``createcall``, ``terminate``, ``redirect``, ``udata``.

        ``attach``, ``associate`` and ``accept`` have nothing to do, for a call is a session's
        own from its beginning; with ``udata`` they add to its data.

        :raises TelephonyFailed: it cannot be.
        :raises InvalidRequest: an attribute cannot be read; names it.
        """
        match operation.element:
            case "createcall":
                return await self._create_call(owner, operation)
            case "terminate":
                return await self._terminate(owner, operation)
            case "redirect":
                return await self._redirect(owner, operation)
            case "udata" | "attach" | "associate" | "accept":
                return await self._take(owner, operation, tell)
            case _:
                raise UnknownElement

    async def _create_call(self, owner: Owner, operation: StartOperation) -> Outcome:
        attributes = operation.attributes
        call = OutboundCall(
            call_id=operation.request_id,
            session_id=owner.session_id,
            source=_number(attributes, "from", "invalidsource"),
            destination=_number(attributes, "to", "invaliddestination"),
            user_data=read_data(operation),
        )
        interaction_id = await self._centre.create_call(call)
        return Outcome("voice.createcall.done", {"interactionid": interaction_id})

    async def _terminate(self, owner: Owner, operation: StartOperation) -> Outcome:
        # A call that it has placed joins a session when it is answered only: by its id it can
        # be hung up before.
        named = bool(text(operation.attributes, "interactionid"))
        call = await self._call(owner, operation.attributes, dialing=named)
        await self._centre.terminate(call.interaction_id)
        return _done(operation, call.interaction_id)

    async def _redirect(self, owner: Owner, operation: StartOperation) -> Outcome:
        call = await self._call(owner, operation.attributes)
        try:
            # Choice: a text alone is a number to ring, where a queue's would be a group.
            target = target_of(operation.attributes.get("to"), _DN)
        except InvalidRequest as error:
            raise TelephonyFailed("invaliddestination", str(error)) from None
        selection = await self._centre.redirect(call.interaction_id, target)
        return _done(operation, call.interaction_id, resource=resource_of(selection))

    async def _take(self, owner: Owner, operation: StartOperation, tell: Tell) -> Outcome:
        call = await self._call(owner, operation.attributes)
        if call.state == _ENDED:
            raise TelephonyFailed(f"invalidstate.{_ENDED}", "The interaction is over.")
        data = read_data(operation)
        if data:
            await self._centre.attach(call.interaction_id, data)
            changed = {"interactionid": call.interaction_id, _UDATA: data}
            tell(Outcome("interaction.udata.changed", changed))
        elif operation.element == _UDATA:
            raise InvalidRequest("udata is missing or empty.", _UDATA)
        return _done(operation, call.interaction_id)

    async def _call(
        self, owner: Owner, attributes: Attributes, *, dialing: bool = False
    ) -> Interaction:
        """The call that is meant.

        :raises TelephonyFailed: the session has no such call.
        """
        interaction_id = text(attributes, "interactionid")
        calls = await self._centre.interactions(owner.session_id, dialing=dialing)
        found = [call for call in calls if interaction_id in ("", call.interaction_id)]
        if len(found) != 1:
            raise TelephonyFailed("unknown", "The session has no such interaction.")
        return found[0]


def _done(operation: StartOperation, interaction_id: str, **more: object) -> Outcome:
    event = f"interaction.{operation.element}.done"
    return Outcome(event, {"interactionid": interaction_id, **more})


def _number(attributes: Attributes, name: str, reason: str) -> str:
    """A number to call, alone or as a resource object.

    :raises TelephonyFailed: there is none.
    """
    value = attributes.get(name)
    try:
        if isinstance(value, Mapping):
            return parse_target(needed(value, _DN)).name
        return needed(attributes, name)
    except InvalidRequest as error:
        raise TelephonyFailed(reason, f"{name}: {error}") from None


def read_data(operation: StartOperation) -> Mapping[str, str]:
    """Data to attach: the attribute ``udata``, an object, and each ``<param>``.

    :raises InvalidRequest: it is no object, or too much.
    """
    data = texts({**members(operation.attributes, _UDATA), **operation.params})
    if len(data) > MAX_DATA:
        raise InvalidRequest(f"udata has more than {MAX_DATA} members.", _UDATA)
    if any(len(name) > MAX_DATA_NAME or len(data[name]) > MAX_DATA_VALUE for name in data):
        raise InvalidRequest(
            f"udata has a name longer than {MAX_DATA_NAME} or a value longer than "
            f"{MAX_DATA_VALUE} characters.",
            _UDATA,
        )
    return data


def interaction_object(interaction: Interaction) -> dict[str, object]:
    """A call as a member of ``_genesys.ixn.interactions``."""
    return {
        "g_uid": interaction.interaction_id,
        "category": "voice",
        "tenantid": "",
        "parentid": "",
        "contactedaddr": interaction.dnis,
        "parties": [],
        "udata": {**interaction.user_data, OWNING_SESSION: interaction.session_id},
        "xdata": {},
        "location": {},
        "voice": {
            "ani": interaction.ani,
            "dnis": interaction.dnis,
            # Choice: one id for all three; nobody compares them.
            "callid": interaction.interaction_id,
            "connid": interaction.interaction_id,
            "type": interaction.kind,
        },
    }

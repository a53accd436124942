"""Routes of the built-in contact centre: agents and customers made by a call.

All are for internal callers only, as those of the Notification API.  Nothing of this is in
the reference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from twisted.web.iweb import IRequest

from gms_twisted.app.switchboard import AgentView, Arrival, GroupView, Switchboard
from gms_twisted.app.tasks import Tasks
from gms_twisted.app.telephony import Interaction
from gms_twisted.domain.errors import InvalidRequest, UnsupportedMedia, shown
from gms_twisted.domain.values import Form
from gms_twisted.http.interfaces import BodyKind
from gms_twisted.http.strict_json import loads
from gms_twisted.rest.forms import form_of
from gms_twisted.rest.replies import json_reply
from gms_twisted.rest.root import route

BASE = "/embedded"

_DATA = "udata"


class ContactCentreApi:
    """Make agents ready, let customers call, answer and hang up."""

    def __init__(self, switchboard: Switchboard, tasks: Tasks) -> None:
        self._switchboard = switchboard
        self._tasks = tasks

    @route(BASE + "/agents", "GET", internal=True, home=True)
    async def agents(self, request: IRequest) -> bytes:
        """200 with ``{"groups": [...]}``: agents, what they do, and what waits for them."""
        groups = [_group(one) for one in self._switchboard.groups()]
        return json_reply(request, {"groups": groups})

    @route(BASE + "/agents/<group>/<agent>", "POST", body=BodyKind.FORM, internal=True, home=True)
    async def set_agent(self, request: IRequest, group: str, agent: str) -> bytes:
        """Put an agent into a group: ``state`` is ``ready``, ``busy``, ``away`` or ``logout``.

        200 with the agent; 400, 409 for one who sits at the desk, 503 when there is no room.
        """
        state = _text(form_of(request), "state")
        view = self._switchboard.set_agent(group, agent, state)
        answer = {"name": agent, "state": "logout"} if view is None else _agent(view)
        return json_reply(request, {"group": group, **answer})

    @route(BASE + "/calls", "GET", internal=True, home=True)
    async def calls(self, request: IRequest) -> bytes:
        """200 with ``{"calls": [...]}``: the latest 1,000, ended ones for five minutes."""
        return json_reply(request, {"calls": [_call(one) for one in self._switchboard.calls()]})

    @route(BASE + "/calls", "POST", body=BodyKind.ANY, internal=True, home=True)
    async def arrive(self, request: IRequest) -> bytes:
        """Let a customer call: ``dnis``, ``ani``, ``access_code``, ``udata``.

        ``udata`` is a JSON object, as text too, or fields ``udata.NAME``.  200 with
        ``{"id"}``; 400, 404 when no service fits, 503.
        """
        members = _members(form_of(request))
        dnis = _member(members, "dnis")
        if not dnis.strip():
            raise InvalidRequest("dnis is missing or empty.", "dnis")
        arrival = Arrival(
            dnis, _member(members, "ani"), _member(members, "access_code"), _user_data(members)
        )
        # It goes on when the caller goes away: the number is free once it has matched.
        call = await self._tasks.finish("an inbound call", self._switchboard.arrive(arrival))
        return json_reply(request, {"id": call.interaction_id})

    @route(BASE + "/calls/<call_id>", "GET", internal=True, home=True)
    async def call(self, request: IRequest, call_id: str) -> bytes:
        """200 with the call; 404."""
        return json_reply(request, _call(self._switchboard.call(call_id)))

    @route(BASE + "/calls/<call_id>", "POST", body=BodyKind.FORM, internal=True, home=True)
    async def customer(self, request: IRequest, call_id: str) -> bytes:
        """What a customer who is called does: ``answered``, ``refused``, ``busy``, ``no_answer``.

        200 with the call; 400, 404, 409 when nobody is being called.
        """
        state = _text(form_of(request), "state")
        return json_reply(request, _call(self._switchboard.customer(call_id, state)))

    @route(BASE + "/calls/<call_id>", "DELETE", internal=True, home=True)
    async def hang_up(self, request: IRequest, call_id: str) -> bytes:
        """The customer hangs up.  200 with the call, also the second time; 404."""
        return json_reply(request, _call(self._switchboard.hang_up(call_id)))


def _text(form: Form, name: str) -> str:
    """A field as text."""
    value = form.fields.get(name, "")
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} cannot be a file.", name)
    return value


def _members(form: Form) -> Mapping[str, object]:
    """The members of a JSON object, or the fields of a form; the query's where it has none.

    :raises UnsupportedMedia: the body is neither.
    """
    if form.content:
        raise UnsupportedMedia("The body must be a form or JSON.")
    if form.document is None:
        return form.fields
    if not isinstance(form.document, dict):
        raise InvalidRequest("The JSON document must be an object.")
    return {**form.fields, **form.document}


def _member(members: Mapping[str, object], name: str, shown_as: str = "") -> str:
    """A member as text: numbers and booleans count as theirs, null as absent."""
    value = members.get(name, "")
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if not isinstance(value, str):
        raise InvalidRequest(f"{shown_as or name} must be text.", shown_as or name)
    return value


def _user_data(members: Mapping[str, object]) -> Mapping[str, str]:
    """Read attached data in any of its forms; single members beat the object."""
    given = members.get(_DATA)
    if given is None or given == "":
        given = {}
    if isinstance(given, str):
        try:
            given = loads(given.encode())
        except InvalidRequest as error:
            raise InvalidRequest("udata must be a JSON object.", _DATA) from error
    if not isinstance(given, dict):
        raise InvalidRequest("udata must be a JSON object.", _DATA)
    data = {key: _member(given, key, f"{_DATA}.{shown(key)}") for key in given}
    prefix = _DATA + "."
    for name in members:
        if name.startswith(prefix):
            data[name[len(prefix) :]] = _member(members, name)
    return data


def _group(group: GroupView) -> dict[str, object]:
    return {
        "name": group.name,
        "agents": [_agent(one) for one in group.agents],
        "waiting": [
            {
                "id": one.submission_id,
                "session": one.session_id,
                "call": one.interaction_id or None,
                "position": one.place.position,
                "priority": one.place.priority,
                "waited_s": one.place.waited_s,
            }
            for one in group.waiting
        ],
    }


def _agent(agent: AgentView) -> dict[str, object]:
    return {
        "name": agent.name,
        "display_name": agent.display_name,
        "state": agent.state,
        "dn": agent.dn,
        "call": agent.call or None,
        "desk": agent.desk,
    }


def _call(call: Interaction) -> dict[str, object]:
    return {
        "id": call.interaction_id,
        "kind": call.kind,
        "state": call.state,
        "ani": call.ani,
        "dnis": call.dnis,
        "session": call.session_id or None,
        "group": call.group or None,
        "agent": call.agent or None,
        "since": call.since,
        "udata": dict(call.user_data),
    }

"""How to bring each application to each of its states.

Whatever can happen at any time is tried at every one of these moments.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from tests.support.application import NAMES, SESSION, Application, Between, named

ACCESS = {
    "_id": SESSION,
    "_access_number": "1-888-555-5751",
    "_access_code": "123456",
    "_expiration_time": "30",
}
DEVICE = {"_device_os": "iOS", "_device_notification_id": "b16416334828b1d26ef14f329628b55b"}
PHONE = {"_phone_number": "+16504660001"}
GROUP = {"_resource_group": "DNIS"}
PLACE = {"_latitude": "48.8566", "_longitude": "2.3522"}

PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "request-chat-poll": {**DEVICE, "_poke_message": "Are you there?"},
    "request-inbound-delay": {**GROUP, **DEVICE, **PHONE},
    "request-inbound-delay-location": {**PLACE, **DEVICE, **PHONE},
    "request-inbound-immediate": {**GROUP, **PHONE},
    "request-inbound-poll": {**GROUP, **PHONE},
    "request-outbound-delay": {**PHONE, **DEVICE},
    "request-outbound-immediate": PHONE,
    "request-outbound-poll": PHONE,
}
"""What each needs to be created."""

Way = Callable[[Application], object]


def start(app: Application) -> str:
    """Create the service; returns the request's id."""
    return app.ask("gms.start")


def near(app: Application) -> None:
    """A group is near the place."""
    start(app)
    app.done(app.last("gms.nearest"), group="paris:france", distance_km=0.4)


def subscribe(app: Application) -> None:
    """The device is subscribed to everything."""
    if "_latitude" in app.parameters:
        near(app)
    else:
        start(app)
    for one in app.started("gsgNotification.create"):
        app.done(one, content='{"id":"s1"}', status=200)


def announce(app: Application) -> None:
    """The latest event has gone out to the device."""
    app.done(app.last("gsgNotification.publish"), content="", status=200)


def wait_for_agent(app: Application) -> None:
    """It looks for an agent, and the device, if there is one, knows."""
    if "_device_os" in app.parameters:
        subscribe(app)
        announce(app)
    else:
        start(app)


def find(app: Application) -> None:
    """What is looked for is found."""
    resource = {"dn": "7001", "switch": "SIP", "type": "DN"}
    app.done(app.last("queue.submit"), targetselected="7001@SIP.DN", resource=resource)


def reserve(app: Application) -> None:
    """A number is given out."""
    app.done(app.last("gsgBasedServices.reserve"), content=json.dumps(ACCESS), status=200)


def finish_all(app: Application) -> None:
    """Every action that is under way succeeds, and those that follow from that."""
    results: dict[str, dict[str, object]] = {
        "gsgBasedServices.reserve": {"content": json.dumps(ACCESS), "status": 200},
        "gsgNotification.create": {"content": '{"id":"s1"}', "status": 200},
        "gsgNotification.publish": {"content": "", "status": 200},
        "interaction.createcall": {"interactionid": "call-1"},
        "gms.nearest": {"group": "paris:france", "distance_km": 0.4},
    }
    while waiting := [one for one in app.under_way() if named(one) in results]:
        for one in waiting:
            app.done(one, **results[named(one)])


def to(*steps: Way) -> Way:
    """One step after the other."""

    def go(app: Application) -> None:
        for step in steps:
            step(app)

    return go


def _fail_search(app: Application) -> None:
    app.failed(app.last("queue.submit"), "unknown", description="There is no such target.")


def _placed(app: Application) -> None:
    app.done(app.last("interaction.createcall"), interactionid="call-1")


def _give_up(app: Application) -> None:
    _fail_search(app)
    while app.state() == "pausing":
        app.wait(10)
        _fail_search(app)


def _began_chat(app: Application) -> None:
    app.hear("gms.chat.started", param={"chatSessionId": "000BCA"})


def _in_state(app: Application) -> None:
    """Nothing more is to be done."""


_RECHECK: Way = lambda app: app.wait(300)  # noqa: E731
_CALL: Way = lambda app: app.call()  # noqa: E731
_ASK: Way = lambda app: app.ask("reserve")  # noqa: E731
_ACCEPT: Way = lambda app: app.ask("accept")  # noqa: E731


def _searching(available: Way, over: str, *, device: bool) -> dict[str, Way]:
    """The moments of whatever waits for an agent."""
    moments = {
        "waiting_for_start": _in_state,
        "looking_for_agent": wait_for_agent,
        "pausing": to(wait_for_agent, _fail_search),
        "offered": available,
        "looking_again": to(available, _RECHECK),
        over: to(wait_for_agent, _give_up),
    }
    if device:
        moments |= {"subscribing": start, "agent_found": to(subscribe, find)}
    return moments


def _serving(called: Way) -> dict[str, Way]:
    """The moments of whatever sends a call to an agent."""
    return {
        "routing": called,
        "between_tries": to(called, _fail_search),
        "connected": to(called, find),
    }


def _calling(accepted: Way) -> dict[str, Way]:
    """The moments of whatever calls a customer."""
    ringing = to(accepted, _placed)
    return {"calling": accepted, "ringing": ringing, **_serving(to(ringing, _CALL))}


_SEARCHED = to(wait_for_agent, find)
_RESERVED = to(_SEARCHED, reserve)
_NUMBERED = to(start, reserve)
_DELAYED = {
    **_searching(_RESERVED, "expiring", device=True),
    **_serving(to(_RESERVED, _CALL)),
    "reserving": _SEARCHED,
}

MOMENTS: Mapping[str, Mapping[str, Way]] = {
    "request-chat-poll": {
        **_searching(_SEARCHED, "over", device=True),
        "chatting": to(_SEARCHED, _began_chat),
        "chat_over": to(_SEARCHED, _began_chat, lambda app: app.hear("gms.chat.ended", param={})),
    },
    "request-inbound-delay": _DELAYED,
    "request-inbound-delay-location": {**_DELAYED, "locating": start, "subscribing": near},
    "request-inbound-immediate": {
        "waiting_for_start": _in_state,
        "reserving": start,
        "waiting_for_call": _NUMBERED,
        **_serving(to(_NUMBERED, _CALL)),
    },
    "request-inbound-poll": {
        **_searching(_SEARCHED, "over", device=False),
        **_serving(to(_SEARCHED, _ASK, reserve, _CALL)),
    },
    "request-outbound-delay": {
        **_searching(_SEARCHED, "expiring", device=True),
        **_calling(to(_SEARCHED, _ACCEPT)),
    },
    "request-outbound-immediate": {"waiting_for_start": _in_state, **_calling(start)},
    "request-outbound-poll": {
        **_searching(_SEARCHED, "over", device=False),
        **_calling(to(_SEARCHED, _ACCEPT)),
    },
}
"""By application and state, how to get there."""


def at(name: str, moment: str = "waiting_for_start", **parameters: str) -> Application:
    """An application in one of its states."""
    return _go(Application(name, {**PARAMETERS[name], **parameters}), moment)


def disturbed(name: str, moment: str, between: Between | None) -> Application:
    """The same; ``between`` is called after each event on the way and later."""
    return _go(Application(name, PARAMETERS[name], between), moment)


def _go(app: Application, moment: str) -> Application:
    name = app.document.name
    MOMENTS[name][moment](app)
    assert app.state() == moment, f"{name} is in {app.state()}, not {moment}"
    return app


def without(name: str, *parameters: str) -> Application:
    """An application that has not been told everything it needs."""
    given = {key: value for key, value in PARAMETERS[name].items() if key not in parameters}
    return Application(name, given)


def everywhere(*names: str) -> Iterator[tuple[str, str]]:
    """All applications, or these, and their states."""
    for name in names or NAMES:
        for moment in MOMENTS[name]:
            yield name, moment

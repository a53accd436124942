"""Values that want to be something else than values (hardening X06)."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.scxml.effects import Respond
from tests.applications.moments import PARAMETERS, at, start
from tests.support.application import NAMES, Application

HOSTILE = (
    *("'", '"', "\\", "`", "\x00", "a\u2028b", "]]>", "</script>", "<!--", "${_data}", "%0d%0a"),
    *("');__Raise('interaction.deleted');('", '"});__Raise("service.expired");({"a":"'),
    *("__proto__", "constructor", "hasOwnProperty", "undefined", "null", "NaN", "0", "false"),
    *('{"_access_number":"1"}', "service.expired", "\U0001f600", "x" * 65_536),
)
NAMES_OF_OURS = (
    *(
        "__proto__",
        "_event",
        "_data",
        "_genesys",
        "_sessionId",
        "_name",
        "_internal",
        "_ioprocessors",
    ),
    *("_", "_constructor", "__Log", "__Raise", "__lookupGetter__"),
)
CHECKED = {"_device_os", "_access_info_via_event", "_ttl"}
"""Parameters that are read here and not only handed on."""
LAST = {name: "chatting" if name == "request-chat-poll" else "connected" for name in NAMES}


def path_of(app: Application) -> list[object]:
    """The states that it went through."""
    return [one for one in app.trace if isinstance(one, tuple)]


def texts_of(app: Application) -> str:
    """Everything that it asked for, as JSON."""
    effects = [one for one in app.effects if not isinstance(one, Respond)]
    return json.dumps(effects, default=_plain)


def _plain(value: object) -> object:
    return {name: getattr(value, name) for name in value.__slots__}  # type: ignore[attr-defined]


class ParameterTests(SynchronousTestCase):
    """Parameters of the creation."""

    def test_X06_handed_on(self) -> None:
        """A value goes on as it is, and the service does what it does with any other."""
        for name in NAMES:
            usual = path_of(at(name, LAST[name]))
            for parameter in self.parameters_of(name):
                for value in HOSTILE:
                    app = at(name, LAST[name], **{parameter: value})
                    where = (name, parameter, value[:40])
                    self.assertEqual(path_of(app), usual, where)
                    self.assertEqual(app.complaints(), [], where)
                    if parameter not in ("_data_id", "_poke_message", "_verbose"):
                        self.assertIn(json.dumps(value), texts_of(app), where)

    def parameters_of(self, name: str) -> list[str]:
        """Those that an application does not look into."""
        known = {*PARAMETERS[name], "_agent_group", "_data_id"}
        if "inbound" in name:
            known |= {"_phone_number", "_provide_code", "_booking_expiration_timeout"}
        if name == "request-chat-poll":
            known |= {"_poke_message", "_verbose"}
        return sorted(known - CHECKED)

    def test_read(self) -> None:
        """What is read here and makes no sense is refused, without saying it again."""
        for name, parameter in (
            ("request-inbound-delay", "_device_os"),
            ("request-outbound-delay", "_device_os"),
            ("request-inbound-delay", "_access_info_via_event"),
            ("request-inbound-delay-location", "_access_info_via_event"),
        ):
            for value in HOSTILE:
                if parameter == "_access_info_via_event" and value in ("0", "false"):
                    continue
                app = at(name, **{parameter: value})
                answer = app.answer(start(app))
                assert answer is not None
                self.assertFalse(answer.positive)
                self.assertLess(len(answer.body), 200)
                self.assertTrue(app.ended)

    def test_time(self) -> None:
        """A life that is none is an hour."""
        for value in HOSTILE:
            if value != "0":
                app = at("request-inbound-poll", "looking_for_agent", _ttl=value)
                app.wait(3599)
                self.assertFalse(app.ended, value[:40])
                app.wait(1)
                self.assertTrue(app.ended, value[:40])

    def test_names(self) -> None:
        """Parameters named like things of ours take nobody's place."""
        for name in NAMES:
            usual = path_of(at(name, LAST[name]))
            app = at(name, LAST[name], **dict.fromkeys(NAMES_OF_OURS, "mine"))
            self.assertEqual(path_of(app), usual, name)
            self.assertEqual(app.complaints(), [], name)
            self.assertNotIn("mine", texts_of(app))


class RequestTests(SynchronousTestCase):
    """Parameters of requests."""

    def test_names(self) -> None:
        """A request may call its parameters as it likes."""
        names = ("__proto__", "hasOwnProperty", "constructor", "toString", "length", "requestid")
        for name, moment, request in (
            *(("request-inbound-poll", "offered", one) for one in ("status", "reserve")),
            *(("request-outbound-poll", "offered", one) for one in ("status", "accept")),
            ("request-chat-poll", "chatting", "internal-poke"),
            ("request-chat-poll", "offered", "status"),
        ):
            app = at(name, moment)
            asked = len(app.effects)
            app.ask(request, **dict.fromkeys(names, "mine"))
            self.assertEqual(len(app.effects), asked + 1, (name, request))
            self.assertEqual(app.complaints(), [])

    def test_X06_values(self) -> None:
        """A value goes on as it is."""
        for value in HOSTILE:
            app = at("request-chat-poll", "chatting")
            app.ask("internal-poke", poke_message=value)
            self.assertEqual(app.published()[-1], ("poke", value))
            app = at("request-inbound-poll", "offered")
            app.ask("reserve", _provide_code=value, _latitude=value, _longitude=value)
            place = app.last("gms.nearest").attributes
            self.assertEqual((place["latitude"], place["longitude"]), (value, value))
            app.done(app.last("gms.nearest"), group=value, distance_km=1)
            wanted = app.last("gsgBasedServices.reserve").attributes
            self.assertEqual((wanted["_provide_code"], wanted["_resource_group"]), (value, value))
            self.assertEqual(app.complaints(), [])

    def test_kinds(self) -> None:
        """What is no text counts as absent, or as the text it is written as."""
        for value in (None, [], {}, [1], {"a": 1}):
            app = at("request-chat-poll", "chatting")
            app.ask("internal-poke", poke_message=value)
            self.assertEqual(app.published()[-1], ("poke", "Are you there?"))
        for number, text in ((5, "5"), (True, "true"), (0.5, "0.5")):
            app = at("request-chat-poll", "chatting")
            app.ask("internal-poke", poke_message=number)
            self.assertEqual(app.published()[-1], ("poke", text))

    def test_no_parameters_at_all(self) -> None:
        """An event without data is a request without parameters."""
        for name in NAMES:
            for request in ("status", "reserve", "accept", "internal-poke"):
                app = at(name, LAST[name])
                app.hear(request)
                self.assertEqual(app.complaints(), [], (name, request))

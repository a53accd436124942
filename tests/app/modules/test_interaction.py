"""Module ``interaction``: calls of a session, and how scripts see them."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.modules.failures import UnknownElement
from gms_twisted.app.modules.interaction import (
    MAX_DATA,
    MAX_DATA_NAME,
    MAX_DATA_VALUE,
    Interactions,
    interaction_object,
)
from gms_twisted.app.modules.modules import Modules
from gms_twisted.app.operations import Outcome
from gms_twisted.app.telephony import OutboundCall, Target, TelephonyFailed
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.scxml.effects import StartOperation
from tests.support.orchestration import CALL, OWNER, SESSION, FakeCentre, Rig, operation


def ask(element: str, **attributes: object) -> StartOperation:
    """An action of the module."""
    return operation("interaction", element, **attributes)  # type: ignore[arg-type]  # names


class Fixture(SynchronousTestCase):
    """A module over a contact centre with one call."""

    def setUp(self) -> None:
        """Build it."""
        self.centre = FakeCentre(calls={"i1": CALL})
        self.module = Interactions(self.centre)
        self.rig = Rig(self, self.module)

    def reason(self, asked: StartOperation) -> str:
        """Why it cannot be."""
        reason: str = self.rig.refuses(TelephonyFailed, asked).reason
        return reason


class CreateCallTests(Fixture):
    """``ixn:createcall``."""

    def test_done(self) -> None:
        """Numbers may be texts, digits or resource objects; data is text."""
        for source in ("gms_rp", {"type": "rp", "dn": "gms_rp"}):
            asked = ask("createcall", to=6504669999, udata={"a": 1, "b": None}, **{"from": source})
            outcome = self.rig.ask(asked)
            self.assertEqual(outcome.event, "voice.createcall.done")
            self.assertIn("interactionid", outcome.data)
            expected = OutboundCall("r1", SESSION, "gms_rp", "6504669999", {"a": "1"})
            self.assertEqual(self.centre.placed.pop(), expected)

    def test_params(self) -> None:
        """Parameters are data, too."""
        asked = ask("createcall", to="1", udata='{"a":"1"}', **{"from": "2"})
        self.rig.ask(replace(asked, params={"b": True}))
        self.assertEqual(self.centre.placed[0].user_data, {"a": "1", "b": "true"})

    def test_no_number(self) -> None:
        """Without a number the word says which one is missing."""
        nothing: object
        for nothing in (None, "", {}, {"dn": ""}, [1]):
            asked = ask("createcall", to="1", **{"from": nothing})
            self.assertEqual(self.reason(asked), "invalidsource")
            asked = ask("createcall", to=nothing, **{"from": "1"})
            self.assertEqual(self.reason(asked), "invaliddestination")
        self.assertEqual(self.centre.placed, [])

    def test_event_of_a_failure(self) -> None:
        """Failures are of ``voice``, as the done event is."""
        self.centre.refusal = TelephonyFailed("invaliddestination", "No.")
        rig = Rig(self, Modules({"interaction": Interactions(self.centre)}))
        outcome = rig.ask(ask("createcall", to="1", **{"from": "2"}))
        self.assertEqual(outcome.event, "error.voice.createcall")
        self.assertEqual(outcome.data["error"], "invaliddestination")
        outcome = rig.ask(ask("createcall", to="1", udata=5, **{"from": "2"}))
        self.assertEqual(outcome.event, "error.voice.createcall")
        outcome = rig.ask(ask("terminate", interactionid="i9"))
        self.assertEqual(outcome.event, "error.interaction.terminate")

    def test_before_the_answer(self) -> None:
        """A call that nobody has answered yet can be hung up by who placed it, nobody else."""
        interaction_id = self.create()
        del self.centre.calls["i1"]
        self.centre.calls[interaction_id] = replace(
            CALL, interaction_id=interaction_id, state="dialing"
        )
        asked = ask("terminate", interactionid=interaction_id)
        self.rig.refuses(TelephonyFailed, asked, replace(OWNER, session_id="other"))
        self.rig.refuses(TelephonyFailed, ask("terminate"))
        self.rig.refuses(TelephonyFailed, ask("udata", interactionid=interaction_id))
        self.rig.ask(asked)
        self.assertNotIn(interaction_id, self.centre.calls)

    def create(self) -> str:
        """Place a call; gives its id."""
        outcome = self.rig.ask(ask("createcall", to="1", **{"from": "2"}))
        return str(outcome.data["interactionid"])

    def test_data_bounds(self) -> None:
        """There is a limit to members, names and values."""

        def create(udata: dict[str, str]) -> StartOperation:
            return ask("createcall", to="1", udata=udata, **{"from": "2"})

        most = {f"{n:03}": "" for n in range(MAX_DATA)}
        longest = {"n" * MAX_DATA_NAME: "v" * MAX_DATA_VALUE}
        for udata in (most, longest):
            self.rig.ask(create(udata))
        for udata in (
            {**most, "x": ""},
            {"n" * (MAX_DATA_NAME + 1): ""},
            {"n": "v" * (MAX_DATA_VALUE + 1)},
        ):
            self.rig.refuses(InvalidRequest, create(udata))


class CallTests(Fixture):
    """What is done to a call."""

    def test_terminate(self) -> None:
        """It is hung up."""
        outcome = self.rig.ask(ask("terminate", interactionid="i1", reason="finished"))
        self.assertEqual(outcome, Outcome("interaction.terminate.done", {"interactionid": "i1"}))
        self.assertEqual(self.centre.calls, {})

    def test_only_call(self) -> None:
        """Without an id the only call is meant; with two, or none, nobody knows which."""
        self.centre.calls["i2"] = replace(CALL, interaction_id="i2")
        self.assertEqual(self.reason(ask("terminate")), "unknown")
        self.rig.ask(ask("terminate", interactionid="i2"))
        self.rig.ask(ask("terminate"))
        self.assertEqual(self.reason(ask("terminate")), "unknown")

    def test_calls_of_others(self) -> None:
        """A session cannot touch another's call."""
        self.centre.calls["i2"] = replace(CALL, interaction_id="i2", session_id="other")
        for element in ("terminate", "redirect", "udata", "attach", "accept", "associate"):
            asked = ask(element, interactionid="i2", to="1", udata={"a": "b"})
            self.assertEqual(self.reason(asked), "unknown")
        self.assertEqual(len(self.centre.calls), 2)
        self.assertEqual(self.centre.attached, [])

    def test_redirect(self) -> None:
        """It goes to a number, a short form or a resource; the event says who is rung."""
        for to, target in (
            ("7001", Target("7001", "dn")),
            ("Billing.GA", Target("Billing", "agentgroup")),
            ({"type": "agent", "name": "Lee"}, Target("Lee", "agent")),
        ):
            outcome = self.rig.ask(ask("redirect", interactionid="i1", to=to))
            self.assertEqual(self.centre.redirected.pop(), ("i1", target))
            self.assertEqual(outcome.event, "interaction.redirect.done")
            resource = outcome.data["resource"]
            assert isinstance(resource, dict)
            self.assertEqual((resource["dn"], resource["agent"]), ("7001", "Lee"))
        self.assertEqual(self.reason(ask("redirect")), "invaliddestination")

    def test_data(self) -> None:
        """Data is added, and the session hears that it has changed."""
        for element in ("udata", "attach", "associate", "accept"):
            self.rig.told.clear()
            outcome = self.rig.ask(ask(element, udata={"a": 1}))
            done = Outcome(f"interaction.{element}.done", {"interactionid": "i1"})
            self.assertEqual(outcome, done)
            self.assertEqual(self.centre.attached.pop(), ("i1", {"a": "1"}))
            (told,) = self.rig.told
            self.assertEqual(told.event, "interaction.udata.changed")
            self.assertEqual(told.data, {"interactionid": "i1", "udata": {"a": "1"}})

    def test_nothing_to_do(self) -> None:
        """A call is the session's already, unless it is over; data must be given to add it."""
        self.rig.ask(ask("accept", interactionid="i1"))
        self.assertEqual((self.rig.told, self.centre.attached), ([], []))
        self.rig.refuses(InvalidRequest, ask("udata"))
        self.centre.calls["i1"] = replace(CALL, state="ended")
        self.assertEqual(self.reason(ask("accept")), "invalidstate.ended")

    def test_unknown_element(self) -> None:
        """There are no other actions."""
        for element in ("detach", "merge"):
            self.rig.refuses(UnknownElement, ask(element))


class ObjectTests(SynchronousTestCase):
    """``_genesys.ixn.interactions``."""

    def test_members(self) -> None:
        """Numbers under ``voice``, the owning session among the data."""
        made = interaction_object(CALL)
        self.assertEqual((made["g_uid"], made["category"]), ("i1", "voice"))
        self.assertEqual(made["udata"], {"name": "Ann", "OP-Session-ID": OWNER.session_id})
        self.assertEqual(
            made["voice"],
            {
                "ani": "+16504669999",
                "dnis": "5001",
                "callid": "i1",
                "connid": "i1",
                "type": "inbound",
            },
        )
        self.assertEqual(CALL.user_data, {"name": "Ann"})

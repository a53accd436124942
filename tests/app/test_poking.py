"""Pokes that the desk asks for: which services take them, how they answer."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.builtin.orchestrated import OrchestratedServices
from gms_twisted.app.orchestration import Reply
from gms_twisted.app.poking import PokeRefused, Poking
from gms_twisted.config.ors_options import OrsOptions
from gms_twisted.domain.errors import ServiceNotFound
from gms_twisted.domain.ids import GmsUser
from tests.support.chat_house import ChatHouse
from tests.support.sessions import FakeSessions, Session

NAME = "request-chat-poll"
OWNER = GmsUser("BuzzBrain")


class PokingTests(SynchronousTestCase):
    """A service whose session does as it is told."""

    def make(self, options: Mapping[str, str] | None = None) -> None:
        """Make a house with one service, of :data:`OWNER`."""
        configured = {"_type": "ors", "_service": "file:///chat.scxml", **(options or {})}
        self.house = house = ChatHouse(self, services={NAME: configured})
        self.sessions = FakeSessions()
        self.sessions.answers["gms.start"] = Reply(True, "{}")
        self.sessions.answers["internal-poke"] = Reply(True, "OK")
        house.services.register_orchestrated(
            OrchestratedServices(
                house.services,
                self.sessions,
                house.chats,
                house.permission,
                self,
                OrsOptions(),
            )
        )
        self.poking = Poking(house.services)

    async def delete_of(self, subscriber: str) -> None:
        """There are none."""

    def create(self, **fields: str) -> tuple[str, Session]:
        """Create the service."""
        self.house.run(self.house.services.create(NAME, fields, OWNER, ""))
        ((service_id, session),) = self.sessions.sessions.items()
        return service_id, session

    def test_asked(self) -> None:
        """The session is asked for internal-poke with the agent's text, whoever owns it."""
        self.make()
        service_id, session = self.create()
        self.house.run(self.poking.poke(service_id, "Still there?"))
        name, parameters, _ = session.requests[-1]
        self.assertEqual((name, parameters), ("internal-poke", {"poke_message": "Still there?"}))

    def test_its_own_text(self) -> None:
        """Without a text there is no parameter, so that the application takes its own."""
        self.make()
        service_id, session = self.create()
        self.house.run(self.poking.poke(service_id, ""))
        self.assertEqual(session.requests[-1][1], {})

    def test_refused(self) -> None:
        """The application's sentence is the error's; text that is no JSON is one, too."""
        self.make()
        service_id, _ = self.create()
        for body, said in (
            ('{"message": "There is no chat.", "exception": "gms.x"}', "There is no chat."),
            ("no chat", "no chat"),
            ('{"message": 5}', "The service said no."),
            ("", "The service said no."),
            ("x" * 600, "x" * 500),
        ):
            self.sessions.answers["internal-poke"] = Reply(False, body)
            error = self.house.fail(self.poking.poke(service_id, "x"), PokeRefused)
            self.assertEqual(str(error), said)

    def test_over(self) -> None:
        """A service that is over, or whose session is, cannot be poked."""
        self.make()
        self.house.fail(self.poking.poke("unknown", "x"), ServiceNotFound)
        service_id, _ = self.create()
        self.sessions.sessions.clear()
        self.house.fail(self.poking.poke(service_id, "x"), ServiceNotFound)

    def test_default_text(self) -> None:
        """What is said by default: the option, else what the service was created with."""
        self.make()
        service_id, _ = self.create(_poke_message="Ours?")
        self.assertEqual(self.house.run(self.poking.default_text(service_id)), "Ours?")
        self.make({"_poke_message": "Are you there?"})
        service_id, _ = self.create(_poke_message="Ours?")
        self.assertEqual(self.house.run(self.poking.default_text(service_id)), "Are you there?")
        self.make()
        service_id, _ = self.create()
        self.assertEqual(self.house.run(self.poking.default_text(service_id)), "")

    def test_no_text_for_those_without(self) -> None:
        """Services that are built in, or over, have nothing to poke."""
        self.make()
        self.assertIsNone(self.house.run(self.poking.default_text("unknown")))
        plain = self.house.run(self.house.services.create("request-chat", {}, OWNER, ""))
        self.assertIsNone(self.house.run(self.poking.default_text(plain["_id"])))

"""The desk's call ``poke``: who may, how often, what is told."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from gms_twisted.domain.errors import InvalidRequest, Unavailable
from gms_twisted.embedded.desk_poke import MAX_TEXT, POKE_PAUSE_S, CannotPoke, PokedLately, Poker
from gms_twisted.embedded.rooms import NotInRoom
from tests.support.desk_house import DeskCase

POKE_URL = "http://localhost:8080/genesys/1/service/service-1/internal-poke"


class FakePoker:
    """Remembers pokes, and fails or waits when told so."""

    def __init__(self) -> None:
        self.poked: list[tuple[str, str]] = []
        self.text: str | None = "Are you there?"
        self.failure: Exception | None = None
        self.waiting: Deferred[None] | None = None

    async def default_text(self, service_id: str) -> str | None:
        """What it is told."""
        if self.failure is not None:
            raise self.failure
        return self.text

    async def poke(self, service_id: str, text: str) -> None:
        """Remember it."""
        self.poked.append((service_id, text))
        if self.waiting is not None:
            await self.waiting
        if self.failure is not None:
            raise self.failure


class PokeTests(DeskCase):
    """Bob chats with a customer who can be poked."""

    def setUp(self) -> None:
        """Accept it."""
        self.fake = FakePoker()
        super().setUp()
        self.bob = self.window("bob")
        self.chat = self.customer(poke_url=POKE_URL).chat
        self.accepted = self.call(self.bob, "accept", chat=self.chat)

    def poker(self) -> Poker:
        """The one that remembers."""
        return self.fake

    def test_offered(self) -> None:
        """The customer's data says so, with the service's text; the URL itself is not shown."""
        customer = self.accepted["customer"]
        self.assertEqual(customer["poke"], {"text": "Are you there?", "pause_s": POKE_PAUSE_S})
        self.assertEqual(customer["data"], {"product": "shoes"})

    def test_not_offered(self) -> None:
        """To a chat without poke_url, and when the service cannot be asked or is over."""
        plain = self.call(self.bob, "accept", chat=self.customer().chat)
        self.assertIsNone(plain["customer"]["poke"])
        self.fake.text = None
        self.assertIsNone(self.call(self.bob, "open", chat=self.chat)["customer"]["poke"])
        self.fake.failure = Unavailable("The store is closed.")
        self.assertIsNone(self.call(self.bob, "open", chat=self.chat)["customer"]["poke"])

    def test_poked(self) -> None:
        """The service is asked with the text, without control characters and outer blanks."""
        self.assertEqual(self.call(self.bob, "poke", chat=self.chat, text=" Hel\x07lo? "), {})
        self.clock.advance(POKE_PAUSE_S)
        self.call(self.bob, "poke", chat=self.chat, text="")
        self.assertEqual(self.fake.poked, [("service-1", "Hello?"), ("service-1", "")])

    def test_at_most_one_in_ten_seconds(self) -> None:
        """The next one is refused until then; another chat's is not."""
        self.call(self.bob, "poke", chat=self.chat, text="")
        self.clock.advance(POKE_PAUSE_S - 1)
        error = self.refused(self.bob, PokedLately, "poke", chat=self.chat, text="")
        self.assertEqual(error.retry_after_s, 1.0)
        other = self.customer("Other", poke_url=POKE_URL).chat
        self.call(self.bob, "accept", chat=other)
        self.call(self.bob, "poke", chat=other, text="")
        self.clock.advance(1)
        self.call(self.bob, "poke", chat=self.chat, text="")
        self.assertEqual(len(self.fake.poked), 3)

    def test_two_at_once(self) -> None:
        """While one is under way there is no second."""
        self.fake.waiting = Deferred()
        first = Deferred.fromCoroutine(self.asked(self.bob, "poke", chat=self.chat, text=""))
        self.assertNoResult(first)
        self.refused(self.bob, PokedLately, "poke", chat=self.chat, text="")
        self.fake.waiting.callback(None)
        self.assertEqual(self.successResultOf(first), {})

    def test_refused(self) -> None:
        """The service's reason is the agent's, who may try again at once."""
        self.fake.failure = Unavailable("There is no chat at this moment.")
        error = self.refused(self.bob, Unavailable, "poke", chat=self.chat, text="")
        self.assertEqual(str(error), "There is no chat at this moment.")
        self.fake.failure = None
        self.call(self.bob, "poke", chat=self.chat, text="")

    def test_only_in_own_chats(self) -> None:
        """Nobody pokes the customers of others, of chats that wait, or of chats that are over."""
        ada = self.window("ada")
        self.refused(ada, NotInRoom, "poke", chat=self.chat, text="")
        waiting = self.customer("Waits", poke_url=POKE_URL).chat
        self.refused(self.bob, NotInRoom, "poke", chat=waiting, text="")
        self.call(self.bob, "end", chat=self.chat)
        self.refused(self.bob, NotInRoom, "poke", chat=self.chat, text="")
        self.assertEqual(self.fake.poked, [])

    def test_nothing_to_poke(self) -> None:
        """A chat that came without poke_url has none."""
        plain = self.customer().chat
        self.call(self.bob, "accept", chat=plain)
        self.refused(self.bob, CannotPoke, "poke", chat=plain, text="")

    def test_text_at_the_bound(self) -> None:
        """As long as a notification may be, not longer; it is text."""
        self.call(self.bob, "poke", chat=self.chat, text="x" * MAX_TEXT)
        self.refused(self.bob, InvalidRequest, "poke", chat=self.chat, text="x" * (MAX_TEXT + 1))
        self.refused(self.bob, InvalidRequest, "poke", chat=self.chat, text=5)
        self.refused(self.bob, InvalidRequest, "poke", chat=self.chat)


class NoPokerTests(DeskCase):
    """A desk without services."""

    def test_none(self) -> None:
        """Nobody is offered to be poked, or can be."""
        bob = self.window("bob")
        chat = self.customer(poke_url=POKE_URL).chat
        self.assertIsNone(self.call(bob, "accept", chat=chat)["customer"]["poke"])
        self.refused(bob, CannotPoke, "poke", chat=chat, text="")

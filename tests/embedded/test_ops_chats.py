"""Tests of open chats as operators see them, on real rooms."""

from __future__ import annotations

from typing import Any

from gms_twisted.embedded.ops_chats import ChatOverview, served
from tests.support.desk_house import DeskCase


class ChatOverviewTests(DeskCase):
    """Who waits, who talks, who answers."""

    def setUp(self) -> None:
        """Look at the rooms of the desk."""
        super().setUp()
        self.overview = ChatOverview(self.rooms, self.accounts, self.desk.states)

    def chats(self) -> list[Any]:
        """The rows."""
        return list(self.overview.chats())

    def test_waiting_first(self) -> None:
        """A chat that waits comes before one that is answered; each once."""
        window = self.window("bob")
        taken = self.customer("Cara")
        self.customer("Vasya")
        self.call(window, "accept", chat=taken.chat)
        rows = self.chats()
        self.assertEqual([(row["nickname"], row["waiting"]) for row in rows],
                         [("Vasya", True), ("Cara", False)])  # fmt: skip
        self.assertEqual(rows[1]["agents"], ["bob"])
        self.assertEqual(rows[0]["group"], "default")
        self.assertEqual(rows[0]["service"], "service-1")

    def test_no_text_of_a_chat(self) -> None:
        """Neither subject, nor e-mail, nor what is said."""
        self.customer("Vasya")
        [row] = self.chats()
        for hidden in ("v@example.com", "shoes", "test"):
            self.assertNotIn(hidden, [str(value) for value in row.values()])

    def test_agents(self) -> None:
        """Every account, with its state and its chats."""
        window = self.window("bob")
        self.call(window, "state", state="ready")
        taken = self.customer("Cara")
        self.call(window, "accept", chat=taken.chat)
        rows: list[Any] = list(self.run_now(self.overview.agents()))
        self.assertEqual(
            [(row["name"], row["state"], row["chats"]) for row in rows],
            [("ada", "offline", 0), ("bob", "ready", 1)],
        )

    def test_served(self) -> None:
        """Chats are counted where their customer is, whoever answers, until they are over."""
        self.customer("Vasya")
        self.customer("Cara")
        self.assertEqual(served(self.rooms), 2)
        self.rooms.home = "other"
        self.assertEqual(served(self.rooms), 0)

"""Tests of the desk's server side, on real rooms: docs/desk-protocol.md, hardening C07 to C10."""

from __future__ import annotations

from gms_twisted.app.desk_accounts import SESSION_LIFETIME_S
from gms_twisted.app.interfaces import HandshakeRefused
from gms_twisted.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, TooLarge
from gms_twisted.domain.ids import AgentName
from gms_twisted.embedded.desk_agents import Taken
from gms_twisted.embedded.rooms import NotInRoom
from tests.support.desk_house import Customer, DeskCase, Window


class EntranceTests(DeskCase):
    """Who gets in."""

    def test_C07_a_handshake_with_a_bad_ticket_is_refused(self) -> None:
        """Unknown, used, or of another shape."""
        ticket = self.accounts.ticket(self.logins["ada"])
        self.handshake(ticket)
        for bad in (ticket, "x", ""):
            self.assertRaises(HandshakeRefused, self.handshake, bad)
        for hook in self.channels.hooks:
            self.assertRaises(HandshakeRefused, hook, Window("w"), {"desk": 5})

    def test_a_session_without_a_ticket_may_call_nothing(self) -> None:
        """The customers' own sessions come by the same door."""
        window = Window("customer")
        for hook in self.channels.hooks:
            hook(window, {})
        self.refused(window, Forbidden, "hello")

    def test_C07_logout_ends_the_windows_of_that_login(self) -> None:
        """They are told why, and end; others stay."""
        login, _ = self.run_now(self.accounts.login("ada", "correct horse", "a"))
        other = self.window("ada")
        window = self.handshake(self.accounts.ticket(login))
        self.call(window, "hello")
        self.run_now(self.accounts.logout(login))
        self.assertEqual(window.of_type("signed_out")[0]["reason"], "logout")
        self.assertTrue(window.ended)
        self.assertFalse(other.ended)

    def test_C07_a_window_whose_login_ended_before_its_first_call_gets_nothing(self) -> None:
        """A ticket does not outlive its log-in."""
        login, _ = self.run_now(self.accounts.login("ada", "correct horse", "a"))
        window = self.handshake(self.accounts.ticket(login))
        self.run_now(self.accounts.logout(login))
        self.refused(window, Forbidden, "hello")

    def test_C07_a_login_that_runs_out_ends_its_windows(self) -> None:
        """Twelve hours after the log-in, whether the agent touches the page or not."""
        login, _ = self.run_now(self.accounts.login("ada", "correct horse", "a"))
        window = self.handshake(self.accounts.ticket(login))
        self.call(window, "hello")
        self.clock.advance(SESSION_LIFETIME_S - 1)
        self.assertFalse(window.ended)
        self.clock.advance(1)
        self.assertEqual(window.of_type("signed_out")[0]["reason"], "logout")
        self.assertTrue(window.ended)

    def test_a_closed_window_leaves_nothing_on_the_clock(self) -> None:
        """The end of its log-in is of no interest any more."""
        before = len(self.clock.getDelayedCalls())
        window = self.window("ada")
        self.assertEqual(len(self.clock.getDelayedCalls()), before + 1)
        window.close()
        calls = [call for call in self.clock.getDelayedCalls() if call.getTime() > 3600]
        self.assertEqual(calls, [])

    def test_disabling_an_agent_ends_its_windows(self) -> None:
        """At once."""
        window, operator = self.window("bob"), self.window("ada")
        self.call(operator, "agent_enable", name="bob", enabled=False)
        self.assertEqual(window.of_type("signed_out")[0]["reason"], "disabled")
        self.assertTrue(window.ended)
        self.refused(window, Forbidden, "hello")

    def test_only_operators_administer(self) -> None:
        """Each of the four calls is refused to an agent."""
        window = self.window("bob")
        for do in ("agents", "agent_add", "agent_link", "agent_enable"):
            self.refused(window, Forbidden, do, name="x", display_name="X", role="agent")


class QueueTests(DeskCase):
    """Chats that wait."""

    def test_hello_tells_the_state_of_the_world(self) -> None:
        """Who I am, what waits, how the desk is set."""
        customer = self.customer()
        state = self.call(self.window("bob"), "hello")
        self.assertEqual(state["agent"]["display_name"], "Bob")
        self.assertEqual(state["queue"][0]["chat"], customer.chat)
        self.assertEqual(state["queue"][0]["group"], "default")
        self.assertEqual(state["queue"][0]["email"], "v@example.com")
        self.assertEqual(
            state["settings"]["canned"], [{"key": "hi", "text": "Hello, how can I help?"}]
        )
        self.assertEqual(state["settings"]["max_message"], 4000)
        self.assertEqual(state["chats"], [])

    def test_a_new_chat_is_shown_to_everybody(self) -> None:
        """Ready or not."""
        windows = [self.window("ada"), self.window("bob")]
        customer = self.customer()
        for window in windows:
            self.assertEqual(window.of_type("queue_added")[0]["entry"]["chat"], customer.chat)

    def test_the_first_to_accept_gets_it(self) -> None:
        """The other is told so, and sees it go."""
        ada, bob = self.window("ada"), self.window("bob")
        customer = self.customer()
        customer.say("hello agent")
        answer = self.call(bob, "accept", chat=customer.chat)
        self.assertEqual(
            [event["type"] for event in answer["events"]], ["joined", "message", "joined"]
        )
        self.assertEqual(answer["customer"]["data"], {"product": "shoes"})
        self.assertEqual(answer["customer"]["files"][0]["key"], "pic")
        self.assertEqual(answer["summary"]["state"], "open")
        self.refused(ada, Taken, "accept", chat=customer.chat)
        self.assertEqual(ada.of_type("queue_removed")[0]["reason"], "taken")

    def test_a_customer_who_leaves_the_queue_disappears_from_it(self) -> None:
        """Everybody sees it go."""
        window = self.window("bob")
        self.customer().leave()
        self.assertIn(window.of_type("queue_removed")[0]["reason"], ("left", "closed"))


class ChatTests(DeskCase):
    """Chats of an agent."""

    def setUp(self) -> None:
        """Bob has a chat, in two windows."""
        super().setUp()
        self.bob, self.other = self.window("bob"), self.window("bob")
        self.vasya = self.customer()
        self.call(self.bob, "accept", chat=self.vasya.chat)

    def test_both_sides_hear_each_other(self) -> None:
        """And both windows of the agent hear both."""
        self.vasya.say("hello agent")
        answer = self.call(self.bob, "send", chat=self.vasya.chat, text="hello customer", ref="1")
        self.assertIn("hello customer", self.vasya.sees())
        for window in (self.bob, self.other):
            said = [
                (event["event"]["text"], event["event"]["mine"])
                for event in window.of_type("chat_event")
                if event["event"]["type"] == "message"
            ]
            self.assertEqual(said, [("hello agent", False), ("hello customer", True)])
        self.assertEqual(
            self.bob.of_type("chat_event")[-1]["event"]["position"], answer["position"]
        )

    def test_the_same_ref_appends_once(self) -> None:
        """A repetition after a lost answer is harmless."""
        first = self.call(self.bob, "send", chat=self.vasya.chat, text="hi", ref="7")
        again = self.call(self.bob, "send", chat=self.vasya.chat, text="hi", ref="7")
        self.assertEqual(first, again)
        self.assertEqual(self.vasya.sees().count("hi"), 1)

    def test_C01_text_is_cleaned_and_bounded(self) -> None:
        """Controls go, markup stays as text, 4,000 characters are the most."""
        text = "<img src=x onerror=alert(1)>\x00\x1b[31m\ttab\nline"
        self.call(self.bob, "send", chat=self.vasya.chat, text=text, ref="1")
        self.assertIn("<img src=x onerror=alert(1)>[31m\ttab\nline", self.vasya.sees())
        chat = self.vasya.chat
        self.refused(self.bob, TooLarge, "send", chat=chat, text="x" * 4001, ref="2")
        self.refused(self.bob, InvalidRequest, "send", chat=chat, text=" \x00", ref="3")
        self.refused(self.bob, InvalidRequest, "send", chat=chat, text="\ud800", ref="4")

    def test_typing_is_told_once(self) -> None:
        """The same state again is not a new notice."""
        for on in (True, True, False):
            self.call(self.bob, "typing", chat=self.vasya.chat, on=on)
        kinds = [event["event"]["type"] for event in self.other.of_type("chat_event")]
        self.assertEqual(kinds[-2:], ["typing_started", "typing_stopped"])

    def test_unread_marks_survive_a_restart(self) -> None:
        """What was not looked at is counted, also by a new process."""
        self.vasya.say("one")
        position = self.bob.of_type("chat_event")[-1]["event"]["position"]
        self.call(self.bob, "read", chat=self.vasya.chat, position=position)
        self.assertEqual(self.other.of_type("chat_changed")[-1]["summary"]["unread"], 0)
        self.vasya.say("two")
        self.assertEqual(self.bob.of_type("chat_event")[-1]["unread"], 1)
        self.run_now(self.rooms.stop())
        self.open_server()
        chats = self.call(self.window("bob"), "hello")["chats"]
        self.assertEqual([(chat["chat"], chat["unread"]) for chat in chats], [(self.vasya.chat, 1)])

    def test_open_reads_what_came_after_a_position(self) -> None:
        """After a reconnect only the news is needed."""
        self.vasya.say("one")
        position = self.bob.of_type("chat_event")[-1]["event"]["position"]
        self.vasya.say("two")
        answer = self.call(self.bob, "open", chat=self.vasya.chat, after=position)
        self.assertEqual([event["text"] for event in answer["events"]], ["two"])

    def test_C09_only_web_addresses_of_allowed_hosts_are_pushed(self) -> None:
        """No scripts, no files, no credentials, no tricks."""
        chat = self.vasya.chat
        for bad in (
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "https://user:secret@example.com/",
            "https:///x",
            "//example.com",
            "https://exa mple.com",
            "https://example.com\\@evil.example",
            "http://[::1",
        ):
            self.refused(self.bob, InvalidRequest, "push_url", chat=chat, url=bad)
        self.call(self.bob, "push_url", chat=chat, url="https://example.com/a?b=c")
        self.assertIn("https://example.com/a?b=c", self.vasya.sees())

    def test_ending_closes_the_chat_and_keeps_it_in_the_list_for_a_while(self) -> None:
        """The customer is told; the entry goes after ten minutes."""
        self.call(self.bob, "end", chat=self.vasya.chat)
        self.assertEqual(self.other.of_type("chat_changed")[-1]["summary"]["state"], "closed")
        self.assertEqual(len(self.call(self.other, "hello")["chats"]), 1)
        self.clock.advance(601)
        self.assertEqual(self.other.of_type("chat_gone")[-1]["chat"], self.vasya.chat)
        self.assertEqual(self.call(self.other, "hello")["chats"], [])

    def test_requeue_puts_the_chat_back(self) -> None:
        """It leaves my list and waits again."""
        ada = self.window("ada")
        self.call(self.bob, "requeue", chat=self.vasya.chat)
        self.assertEqual(self.bob.of_type("chat_gone")[-1]["chat"], self.vasya.chat)
        entry = ada.of_type("queue_added")[-1]["entry"]
        self.assertEqual((entry["chat"], entry["reopened"]), (self.vasya.chat, True))
        self.call(ada, "accept", chat=self.vasya.chat)

    def test_chats_of_others_are_not_mine(self) -> None:
        """Every call about a chat is refused to an agent who is not in it."""
        ada, chat = self.window("ada"), self.vasya.chat
        for do, members in (
            ("open", {}),
            ("send", {"text": "x", "ref": "1"}),
            ("typing", {"on": True}),
            ("push_url", {"url": "https://example.com/"}),
            ("read", {"position": 1}),
            ("end", {}),
            ("requeue", {}),
            ("history", {}),
            ("past", {"earlier": chat}),
        ):
            self.refused(ada, NotInRoom, do, chat=chat, **members)

    def test_earlier_chats_of_the_same_customer_can_be_read(self) -> None:
        """Those of others cannot."""
        stranger = self.customer("Eve", "eve")
        self.call(self.bob, "accept", chat=stranger.chat)
        self.call(self.bob, "end", chat=stranger.chat)
        self.vasya.say("first time")
        self.call(self.bob, "end", chat=self.vasya.chat)
        again = self.customer()
        self.call(self.bob, "accept", chat=again.chat)
        past = self.call(self.bob, "history", chat=again.chat)["chats"]
        self.assertEqual([one["chat"] for one in past], [self.vasya.chat])
        self.assertEqual(past[0]["agents"], ["Bob"])
        events = self.call(self.bob, "past", chat=again.chat, earlier=self.vasya.chat)["events"]
        self.assertIn("first time", [event["text"] for event in events])
        self.refused(self.bob, NotFound, "past", chat=again.chat, earlier=stranger.chat)

    def test_state_is_shared_between_windows(self) -> None:
        """Only the other ones are told."""
        self.call(self.bob, "state", state="ready")
        self.assertEqual(self.other.of_type("agent_state")[-1]["state"], "ready")
        self.assertEqual(self.bob.of_type("agent_state"), [])
        self.refused(self.bob, InvalidRequest, "state", state="asleep")

    def test_bad_members_name_themselves(self) -> None:
        """Wrong types are refused, and nothing happens."""
        for do, members, parameter in (
            ("nonsense", {}, "do"),
            ("accept", {}, "chat"),
            ("accept", {"chat": 5}, "chat"),
            ("open", {"chat": self.vasya.chat, "after": -1}, "after"),
            ("open", {"chat": self.vasya.chat, "after": True}, "after"),
            ("typing", {"chat": self.vasya.chat, "on": "yes"}, "on"),
        ):
            error = self.refused(self.bob, InvalidRequest, do, **members)
            self.assertEqual(error.parameter, parameter)


class AbsenceTests(DeskCase):
    """Agents who disappear (hardening C10)."""

    def wait(self, customer: Customer, seconds: int) -> None:
        """Let time pass while the customer polls."""
        for _ in range(seconds):
            self.clock.advance(1)
            customer.sees()

    def test_C10_chats_go_back_when_the_last_window_stays_closed(self) -> None:
        """After the grace of a minute; nothing of the transcript is lost."""
        bob, other, ada = self.window("bob"), self.window("bob"), self.window("ada")
        customer = self.customer()
        self.call(bob, "accept", chat=customer.chat)
        customer.say("are you there?")
        bob.close()
        self.wait(customer, 120)
        self.assertEqual(len(self.call(other, "hello")["chats"]), 1)
        other.close()
        self.wait(customer, 61)
        self.assertTrue(ada.of_type("queue_added")[-1]["entry"]["reopened"])
        answer = self.call(ada, "accept", chat=customer.chat)
        self.assertIn("are you there?", [event["text"] for event in answer["events"]])

    def test_C10_an_agent_who_returns_in_time_goes_on(self) -> None:
        """The chats are still there."""
        bob = self.window("bob")
        customer = self.customer()
        self.call(bob, "accept", chat=customer.chat)
        bob.close()
        self.clock.advance(40)
        again = self.window("bob")
        self.clock.advance(40)
        self.assertEqual(
            [chat["chat"] for chat in self.call(again, "hello")["chats"]], [customer.chat]
        )
        self.call(again, "send", chat=customer.chat, text="sorry", ref="1")


class AdministrationTests(DeskCase):
    """What operators do at the desk."""

    def test_an_operator_adds_an_agent(self) -> None:
        """And hands over a link that works once."""
        ada = self.window("ada")
        link = self.call(ada, "agent_add", name="cy", display_name="Cy", role="agent")["link"]
        token = link.removeprefix("/desk/#link=")
        login, _ = self.run_now(self.accounts.claim(token, "", "", "correct horse"))
        self.assertEqual(login.agent.name, AgentName("cy"))
        self.refused(ada, Conflict, "agent_add", name="cy", display_name="Cy", role="agent")
        agents = self.call(ada, "agents")["agents"]
        self.assertEqual(
            [(agent["name"], agent["state"]) for agent in agents],
            [("ada", "away"), ("bob", "offline"), ("cy", "offline")],
        )

    def test_a_new_link_can_be_made_for_an_agent(self) -> None:
        """For one who forgot the password."""
        link = self.call(self.window("ada"), "agent_link", name="bob")["link"]
        token = link.removeprefix("/desk/#link=")
        self.assertEqual(self.run_now(self.accounts.link(token)).name, "bob")

"""Tests of :mod:`gms_twisted.app.desk_accounts`: links, log-ins, tickets (hardening C07)."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.desk_accounts import DeskAccounts
from gms_twisted.app.desk_people import BadLogin, LinkNotFound, Login, NameTaken, NotLoggedIn
from gms_twisted.domain.errors import Conflict, Forbidden, InvalidRequest, TooManyRequests
from gms_twisted.domain.ids import AgentName
from gms_twisted.embedded.passwords import ScryptHasher
from gms_twisted.store.memory import MemoryStore
from gms_twisted.system import SystemIds
from tests.support.sources import ManualWallClock

T = TypeVar("T")


class FiveFailures:
    """A throttle that allows five tries per key that are not given back."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def wait_s(self, key: str) -> float:
        """Sixty seconds from the fifth failure on."""
        return 60.0 if self.counts.get(key, 0) >= 5 else 0.0

    def take(self, key: str) -> float:
        """Count."""
        self.counts[key] = self.counts.get(key, 0) + 1
        return 0.0

    def give_back(self, key: str) -> None:
        """Do not count it after all."""
        self.counts[key] -= 1


class HeldHasher:
    """A hasher whose comparisons wait until they are let go."""

    def __init__(self, hasher: ScryptHasher) -> None:
        self._hasher = hasher
        self.held: list[Deferred[None]] | None = None

    async def hash(self, password: str) -> str:
        """Hash at once."""
        return await self._hasher.hash(password)

    async def matches(self, password: str, hashed: str) -> bool:
        """Compare, when it may."""
        if self.held is not None:
            waiting: Deferred[None] = Deferred()
            self.held.append(waiting)
            await waiting
        return await self._hasher.matches(password, hashed)

    def let_go(self) -> None:
        """Go on with all that wait."""
        held, self.held = self.held or [], None
        for waiting in held:
            waiting.callback(None)


class AccountsCase(SynchronousTestCase):
    """Accounts on an empty store, with a cheap hash and real randomness."""

    def setUp(self) -> None:
        """Make them."""
        self.clock = Clock()
        self.wall = ManualWallClock(self.clock)
        ids = SystemIds()
        self.throttle = FiveFailures()
        scrypt = ScryptHasher(lambda function, *args: succeed(function(*args)), ids, cost=16)
        self.hasher = HeldHasher(scrypt)
        self.accounts = DeskAccounts(
            MemoryStore(self.wall, ids), ids, self.clock, self.wall, self.hasher, self.throttle
        )
        self.ended: list[tuple[str, str]] = []
        self.accounts.when_ended(lambda name, key: self.ended.append((name, key)))

    def run_now(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of work that needs no time."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def fails(self, work: Coroutine[Any, Any, Any], error: type[Exception]) -> object:
        """The failure of work that needs no time."""
        return self.failureResultOf(Deferred.fromCoroutine(work), error).value

    def operator(self, password: str = "correct horse") -> tuple[Login, str]:
        """Claim the first link as ``ada``."""
        token = self.run_now(self.accounts.first_link())
        assert token is not None
        return self.run_now(self.accounts.claim(token, "ada", "Ada L.", password))

    def agent(self, name: str = "bob", password: str = "battery staple") -> tuple[Login, str]:
        """Add an agent and claim its link."""
        token = self.run_now(self.accounts.add(name, name.title(), "agent"))
        return self.run_now(self.accounts.claim(token, "", "", password))


class LinkTests(AccountsCase):
    """One-time links."""

    def test_C07_no_account_exists_before_the_first_link_is_used(self) -> None:
        """There is no default password: nobody can log in on a fresh store."""
        self.fails(self.accounts.login("admin", "admin", "1.2.3.4"), BadLogin)
        self.assertEqual(self.run_now(self.accounts.agents()), [])

    def test_the_first_link_makes_an_operator(self) -> None:
        """Its holder chooses a name and a password and is logged in."""
        login, _ = self.operator()
        self.assertEqual((login.agent.name, login.agent.role), ("ada", "operator"))
        self.run_now(self.accounts.login("Ada ", "correct horse", "1.2.3.4"))

    def test_there_is_no_first_link_once_somebody_has_an_account(self) -> None:
        """A restart prints none."""
        self.operator()
        self.assertIsNone(self.run_now(self.accounts.first_link()))

    def test_C07_a_link_works_once(self) -> None:
        """The second use finds nothing."""
        token = self.run_now(self.accounts.new_link(""))
        self.run_now(self.accounts.claim(token, "ada", "Ada", "correct horse"))
        self.fails(self.accounts.claim(token, "eve", "Eve", "wrong horse 1"), LinkNotFound)

    def test_C07_a_link_ends_after_a_day(self) -> None:
        """One second late is too late."""
        token = self.run_now(self.accounts.new_link(""))
        self.clock.advance(86_401)
        self.fails(self.accounts.link(token), LinkNotFound)

    def test_a_link_for_an_agent_resets_the_password(self) -> None:
        """And ends the log-ins made with the former one."""
        _, cookie = self.agent()
        token = self.run_now(self.accounts.new_link("bob"))
        self.run_now(self.accounts.claim(token, "ignored", "", "another battery"))
        self.fails(self.accounts.whose(cookie), NotLoggedIn)
        self.fails(self.accounts.login("bob", "battery staple", "a"), BadLogin)
        self.run_now(self.accounts.login("bob", "another battery", "a"))
        self.assertIn(("bob", ""), self.ended)

    def test_a_taken_name_is_refused_and_the_link_stays_good(self) -> None:
        """Nothing is half done."""
        self.operator()
        token = self.run_now(self.accounts.new_link(""))
        self.fails(self.accounts.claim(token, "ada", "Eve", "correct horse"), NameTaken)
        self.run_now(self.accounts.claim(token, "eve", "Eve", "correct horse"))

    def test_bad_fields_name_themselves(self) -> None:
        """Name, display name and password each have their rules."""
        token = self.run_now(self.accounts.new_link(""))
        for name, shown, password, parameter in (
            ("-x", "A", "correct horse", "name"),
            ("ada", " ", "correct horse", "display_name"),
            ("ada", "A\x1b[31m", "correct horse", "display_name"),
            ("ada", "A", "short", "password"),
            ("ada", "A", "x" * 201, "password"),
        ):
            error = self.fails(self.accounts.claim(token, name, shown, password), InvalidRequest)
            self.assertEqual(getattr(error, "parameter", None), parameter)


class LoginTests(AccountsCase):
    """Log-ins."""

    def test_C07_every_login_has_a_new_token(self) -> None:
        """A token from before is never taken over."""
        _, first = self.operator()
        _, second = self.run_now(self.accounts.login("ada", "correct horse", "a"))
        self.assertNotEqual(first, second)

    def test_C07_unknown_name_and_wrong_password_look_the_same(self) -> None:
        """Same class, same text."""
        self.operator()
        unknown = self.fails(self.accounts.login("eve", "correct horse", "a"), BadLogin)
        wrong = self.fails(self.accounts.login("ada", "wrong horse 12", "b"), BadLogin)
        self.assertEqual(str(unknown), str(wrong))

    def test_C07_five_failures_stop_even_the_right_password(self) -> None:
        """From the same address, or for the same name."""
        self.operator()
        for _ in range(5):
            self.fails(self.accounts.login("ada", "wrong horse 12", "a"), BadLogin)
        error = self.fails(self.accounts.login("ada", "correct horse", "z"), TooManyRequests)
        self.assertEqual(getattr(error, "retry_after_s", 0), 60.0)

    def test_C07_tries_at_the_same_time_are_counted_before_they_are_judged(self) -> None:
        """Of twenty guesses at once five are compared, the others refused."""
        self.operator()
        self.hasher.held = []
        tries = [
            Deferred.fromCoroutine(self.accounts.login("ada", f"wrong horse {number}", "a"))
            for number in range(20)
        ]
        self.assertEqual(len(self.hasher.held), 5)
        self.hasher.let_go()
        for index, one in enumerate(tries):
            self.failureResultOf(one, BadLogin if index < 5 else TooManyRequests)

    def test_C07_right_passwords_are_not_counted(self) -> None:
        """Many agents may come from one address."""
        self.operator()
        for _ in range(20):
            self.run_now(self.accounts.login("ada", "correct horse", "a"))

    def test_C07_whoever_is_disabled_while_logging_in_stays_out(self) -> None:
        """No log-in is left for the day when the account is enabled again."""
        self.operator()
        self.agent()
        self.hasher.held = []
        login = Deferred.fromCoroutine(self.accounts.login("bob", "battery staple", "a"))
        self.run_now(self.accounts.enable(AgentName("bob"), False))
        self.hasher.let_go()
        self.failureResultOf(login, BadLogin)

    def test_C07_a_reset_beats_a_change_of_password_under_way(self) -> None:
        """Who knew the old password only must not undo it."""
        login, _ = self.agent()
        self.hasher.held = []
        change = Deferred.fromCoroutine(
            self.accounts.change_password(login, "battery staple", "stolen staple 1", "a")
        )
        token = self.run_now(self.accounts.new_link("bob"))
        self.run_now(self.accounts.claim(token, "", "", "another battery"))
        self.hasher.let_go()
        self.failureResultOf(change, Conflict)
        self.run_now(self.accounts.login("bob", "another battery", "a"))

    def test_C07_logout_ends_it_on_the_server(self) -> None:
        """The cookie is worth nothing afterwards, and listeners are told."""
        login, cookie = self.operator()
        self.run_now(self.accounts.logout(login))
        self.fails(self.accounts.whose(cookie), NotLoggedIn)
        self.assertEqual(self.ended, [("ada", login.key)])

    def test_a_login_ends_after_twelve_hours(self) -> None:
        """Whoever it is."""
        _, cookie = self.operator()
        self.clock.advance(12 * 3600 + 1)
        self.fails(self.accounts.whose(cookie), NotLoggedIn)

    def test_C07_the_csrf_value_is_needed(self) -> None:
        """Missing and different are both refused."""
        login, _ = self.operator()
        self.accounts.check_csrf(login, login.csrf)
        for sent in ("", "x", "\udcff"):
            self.assertRaises(Forbidden, self.accounts.check_csrf, login, sent)

    def test_the_store_knows_neither_password_nor_token(self) -> None:
        """Only digests are kept."""
        login, cookie = self.operator("a very secret phrase")
        seen = repr((login, login.agent)) + login.agent.password + login.key
        self.assertNotIn(cookie, seen)
        self.assertNotIn("a very secret phrase", seen)

    def test_a_new_password_ends_other_logins_but_not_this_one(self) -> None:
        """The one who changes it stays."""
        _, other = self.operator()
        login, cookie = self.run_now(self.accounts.login("ada", "correct horse", "a"))
        self.fails(
            self.accounts.change_password(login, "wrong horse 12", "new horse 123", "a"), BadLogin
        )
        self.run_now(self.accounts.change_password(login, "correct horse", "new horse 123", "a"))
        self.run_now(self.accounts.whose(cookie))
        self.fails(self.accounts.whose(other), NotLoggedIn)


class AdministrationTests(AccountsCase):
    """What operators do."""

    def test_disabling_ends_everything_at_once(self) -> None:
        """Log-ins, tickets and the right to log in."""
        self.operator()
        login, cookie = self.agent()
        ticket = self.accounts.ticket(login)
        self.run_now(self.accounts.enable(AgentName("bob"), False))
        self.fails(self.accounts.whose(cookie), NotLoggedIn)
        self.fails(self.accounts.login("bob", "battery staple", "a"), BadLogin)
        self.assertRaises(NotLoggedIn, self.accounts.redeem, ticket)

    def test_a_link_of_a_disabled_agent_is_void(self) -> None:
        """It cannot be used to come back."""
        self.agent()
        token = self.run_now(self.accounts.new_link("bob"))
        self.run_now(self.accounts.enable(AgentName("bob"), False))
        self.fails(self.accounts.claim(token, "", "", "another battery"), LinkNotFound)

    def test_the_last_operator_stays(self) -> None:
        """Nobody can lock everybody out."""
        self.operator()
        self.fails(self.accounts.enable(AgentName("ada"), False), Conflict)

    def test_a_second_agent_of_a_name_is_refused(self) -> None:
        """Names are unique."""
        self.agent()
        self.fails(self.accounts.add("BOB", "Bob II", "agent"), NameTaken)


class TicketTests(AccountsCase):
    """Tickets trade a log-in for one Bayeux handshake."""

    def test_a_ticket_works_once(self) -> None:
        """The second handshake is refused."""
        login, _ = self.operator()
        ticket = self.accounts.ticket(login)
        self.assertEqual(self.accounts.redeem(ticket), ("ada", login.key))
        self.assertRaises(NotLoggedIn, self.accounts.redeem, ticket)

    def test_a_ticket_ends_after_a_minute(self) -> None:
        """At sixty seconds it is void."""
        login, _ = self.operator()
        ticket = self.accounts.ticket(login)
        self.clock.advance(60)
        self.assertRaises(NotLoggedIn, self.accounts.redeem, ticket)

    def test_logout_voids_the_tickets_of_that_login(self) -> None:
        """One taken before is no use afterwards."""
        login, _ = self.operator()
        ticket = self.accounts.ticket(login)
        self.run_now(self.accounts.logout(login))
        self.assertRaises(NotLoggedIn, self.accounts.redeem, ticket)

    def test_tickets_are_bounded(self) -> None:
        """The oldest gives way to the thousand-and-first."""
        login, _ = self.operator()
        first = self.accounts.ticket(login)
        for _ in range(1000):
            last = self.accounts.ticket(login)
        self.assertRaises(NotLoggedIn, self.accounts.redeem, first)
        self.accounts.redeem(last)

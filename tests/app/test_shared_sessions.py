"""Sessions of several nodes on one Redis: asked anywhere, run by one."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from gms_twisted.app.orchestration import (
    AnswerLate,
    RequestUnhandled,
    SessionAt,
    SessionOver,
    SessionUnknown,
)
from gms_twisted.domain.errors import NodeAway, TooLarge
from tests.app.test_orchestrator import ACTION, ECHO, TIMER
from tests.support.redis_server import SKIP
from tests.support.session_nodes import SessionNode, SessionNodes

TALKER = """
<state id="a">
  <transition event="tell">
    <send target="'#_scxml_' + _event.data.param.to" event="'hello'" id="s1"
      namelist="_event.data.param"/>
  </transition>
  <transition event="post">
    <send target="'http://gms/scxml/session/' + _event.data.param.to + '/basichttp'"
      type="'http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor'" event="'posted'"/>
  </transition>
  <transition event="hello"><script>_data.heard = _event.origin;</script></transition>
  <transition event="posted"><script>_data.heard = _event.name;</script></transition>
  <transition event="error.communication">
    <script>_data.failed = (_data.failed || 0) + 1;</script>
  </transition>
</state>
"""

COUNTER = """
<datamodel><data id="names" expr="[]"/></datamodel>
<state id="a">
  <transition event="status">
    <ws:response requestid="_event.sendid" resultcode="_data.names.join()"/>
  </transition>
  <transition event="*">
    <script>_data.names.push(_event.name + ':' + JSON.stringify(_event.data));</script>
  </transition>
</state>
"""

TEXTS = {"echo": ECHO, "timer": TIMER, "action": ACTION, "talker": TALKER, "counter": COUNTER}


class Fixture(TestCase):
    """Two nodes; the first owns everything.

    :cvar texts: applications.
    """

    skip = SKIP or None
    texts = TEXTS

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Start them."""
        self.world = SessionNodes(self, self.texts)
        self.one = await self.world.node("one", owns_all=True)
        self.two = await self.world.node("two")

    async def refused(self, node: SessionNode, work: Any, kind: type[Exception]) -> Exception:
        """What something raises."""
        try:
            await node.do(work)
        except kind as error:
            return error
        raise AssertionError(f"No {kind.__name__} was raised.")

    async def data(self, session: SessionAt) -> Any:
        """The data of a session."""
        return (await self.two.do(self.two.sessions.query(session.session_id)))["data"]


class ForwardingTests(Fixture):
    """What comes to the wrong node is as if it had come to the right one."""

    async def test_requests(self) -> None:
        """Answers come back byte for byte, yes or no."""
        session = await self.one.session("echo")
        ask = self.two.sessions.request
        created = await self.two.do(ask(session, "gms.start", {}))
        self.assertTrue(created.positive)
        self.assertEqual(created.body, f'{{"_id":"{session.session_id}"}}')
        self.assertEqual((await self.two.do(ask(session, "status", {"a": "ä\ud800"}))).body, "1")
        refusal = await self.two.do(ask(session, "refuse", {}))
        self.assertEqual((refusal.positive, refusal.body), (False, "no"))
        self.assertEqual(await self.two.states(session), ["a"])

    async def test_errors(self) -> None:
        """So do errors: unknown, unhandled, late, over, too large."""
        session = await self.one.session("echo")
        ask = self.two.sessions.request
        await self.refused(self.two, ask(session, "nothing", {}), RequestUnhandled)
        big = {"x": "y" * 2_000_000}
        await self.refused(self.two, ask(session, "status", big), TooLarge)
        await self.refused(self.two, ask(session, "status", {"x": object()}), TooLarge)
        late = await self.two.begin(ask(session, "silence", {}))
        await self.world.pass_time(11.0)
        self.assertIsInstance(self.failureResultOf(late).value, AnswerLate)
        late = await self.two.begin(ask(session, "silence", {}))
        await self.two.do(self.two.sessions.end(session))
        self.assertIsInstance(self.failureResultOf(late).value, SessionOver)
        await self.refused(self.two, ask(session, "status", {}), SessionUnknown)
        await self.refused(self.two, self.two.sessions.query("X" * 32), SessionUnknown)
        await self.two.do(self.two.sessions.end(session))
        self.assertIsNone(await self.one.record(session))

    async def test_nobody_there(self) -> None:
        """Without an owner, and with one that is away, it is "not now"."""
        session = await self.one.session("echo")
        await self.one.die()
        self.assertIn("reached", str(await self.unavailable(session)))
        self.world.network.owners.clear()
        self.assertIn("on its way", str(await self.unavailable(session)))

    async def unavailable(self, session: SessionAt) -> Exception:
        """Ask for a session that cannot be asked."""
        away = self.two.sessions
        for work in (away.query(session.session_id), away.end(session)):
            await self.refused(self.two, work, NodeAway)
        return await self.refused(self.two, away.tell(session, "x", {}), NodeAway)

    async def test_events(self) -> None:
        """Events, posts, pushes arrive as they would; a push once, wherever it comes again."""
        session = await self.one.session("counter")
        id_, two = session.session_id, self.two.sessions
        await self.two.do(two.event(id_, "e1", {"a": ["1", None]}, "application/json"))
        await self.two.do(two.tell(session, "gms.chat.ended", {"chatSessionId": "c"}))
        await self.two.do(two.post(id_, "p1", {"b": 1}, has_data=True, raw="b=1"))
        await self.two.do(two.post(id_, "p2", None, has_data=False))
        for node in (self.two, self.one, self.two):
            await node.do(node.sessions.receive(id_, "pushed", "m", 2, "push-1"))
        await self.two.do(two.receive(id_, "pushed", "n", 2, "push-2"))
        reply = await self.two.do(two.request(session, "status", {}))
        form = '"paramtype":"application/x-www-form-urlencoded"'
        self.assertEqual(
            reply.body,
            ",".join(
                (
                    'e1:{"param":{"a":["1",null]},"paramtype":"application/json"}',
                    'gms.chat.ended:{"param":{"chatSessionId":"c"},"paramtype":""}',
                    'p1:{"b":1}',
                    "p2:undefined",
                    f'pushed:{{"param":{{"message":"m"}},{form}}}',
                    f'pushed:{{"param":{{"message":"n"}},{form}}}',
                )
            ),
        )
        # A new owner knows what was taken, too.
        await self.world.own(self.two, session)
        await self.one.do(self.one.sessions.receive(id_, "pushed", "m", 2, "push-1"))
        self.assertEqual((await self.one.do(two.request(session, "status", {}))).body, reply.body)

    async def test_among_sessions(self) -> None:
        """What one session sends another reaches it at its node; nobody there is an error."""
        first = await self.one.session("talker")
        second = await self.one.session("talker")
        await self.world.own(self.two, second)
        tell = self.one.sessions.tell
        await self.one.do(tell(first, "tell", {"to": second.session_id}))
        await self.world.settle()
        self.assertEqual((await self.data(second))["heard"], f"#_scxml_{first.session_id}")
        await self.one.do(tell(first, "post", {"to": second.session_id}))
        await self.world.settle()
        self.assertEqual((await self.data(second))["heard"], "posted")
        self.assertEqual(self.one.posts.posted, [])
        await self.two.do(self.two.sessions.end(second))
        await self.one.do(tell(first, "tell", {"to": second.session_id}))
        await self.world.settle()
        self.assertEqual((await self.data(first))["failed"], 1)

    async def test_between_two_nodes(self) -> None:
        """What a session sends to one that moves is kept for a while."""
        first = await self.one.session("talker")
        second = await self.one.session("talker")
        await self.world.own(self.two, second)
        run = self.world.network.owners
        number = next(n for n, owner in run.items() if owner == "two")
        run[number] = ""
        await self.one.do(self.one.sessions.tell(first, "tell", {"to": second.session_id}))
        await self.world.pass_time(1.0)
        self.assertNotIn("failed", await self.data(first))
        run[number] = "two"
        await self.world.pass_time(2.0)
        self.assertEqual((await self.data(second))["heard"], f"#_scxml_{first.session_id}")
        run[number] = ""
        await self.one.do(self.one.sessions.tell(first, "tell", {"to": second.session_id}))
        for _ in range(12):
            await self.world.pass_time(1.0)
        self.assertEqual((await self.data(first))["failed"], 1)

    async def test_ids(self) -> None:
        """Sessions begin where their shard is; a node without any has another begin them."""
        borrowed = await self.two.session("echo")
        self.assertTrue(self.one.here.has(borrowed.session_id))
        third = await self.world.node("three")
        await self.world.own(third, SessionAt("a"), SessionAt("b"))
        made = [await third.session("echo") for _ in range(5)]
        self.assertTrue(all(third.here.has(one.session_id) for one in made))
        self.assertTrue(all(third.nodes.is_ours(one.session_id) for one in made))
        adopted = await self.two.do(self.two.sessions.start_for_another("echo", {}))
        self.assertEqual(self.one.owners.adopted, [adopted.session_id])
        await self.one.die()
        await third.die()
        await self.refused(self.two, self.two.sessions.start("echo", {}), NodeAway)

"""Hostile applications, and hostile values for good ones, as in ``attacks.py``.

Beside the canary 200 sessions of a good application are asked all the time; none may fail.

Run with ``python -m twisted.trial tests.live.script_attacks``; ``bin/test orchestration`` does.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.applications.moments import PARAMETERS
from tests.applications.test_hostile import HOSTILE
from tests.live.attacks import OPTIONS, AttackCase, eventually
from tests.live.call_site import ANI, Answer, Centre, Program
from tests.live.push_attacks import sets, tell
from tests.live.server import Server
from tests.scxml.test_attacks import ATTACKS, HOOKS, SETUPS

SESSIONS = 200
GOOD = "request-inbound-poll"
SLOWEST_S = 3.0
HEAD = (
    '<scxml version="1.0" initial="on" xmlns="http://www.w3.org/2005/07/scxml"'
    ' xmlns:ws="http://www.genesyslab.com/modules/ws"'
    ' xmlns:queue="http://www.genesyslab.com/modules/queue"'
    ' xmlns:session="http://www.genesyslab.com/modules/session">'
)
ANSWER = '<ws:response requestid="_event.sendid" resultcode="\'x\'"/>'
START = f'<transition event="gms.start">{ANSWER}</transition>'

ESCAPES = (
    "this.constructor.constructor('return process')().exit()",
    "In.constructor('return require')()('fs')",
    "import('os')",
    "import('file:///etc/passwd')",
    "new Function('return std.open')()('/etc/passwd')",
    "_genesys.constructor.constructor('return this')().std.exit(1)",
    "({}).__proto__.x = 1; Array.prototype.push = null; In = null",
    "Atomics.wait(new Int32Array(new SharedArrayBuffer(8)), 0, 0, 60000)",
    "new Worker('x')",
    "_ioprocessors.__proto__.toString.call(In)",
)
ENDED = {404, 410}
"""What a client gets whose service has ended, before and while it asks."""


def scripted(script: str) -> str:
    """An application that runs a script at each ``go``."""
    text = escape(script, quote=False)
    return (
        f'{HEAD}<state id="on">{START}'
        f'<transition event="go"><script>{text}</script>{ANSWER}</transition></state></scxml>'
    )


def charted(inside: str, more: str = "") -> str:
    """An application whose first state has more than the answer to its start."""
    return f'{HEAD}<state id="on">{START}{inside}</state>{more}</scxml>'


class Crowd:
    """Good sessions that are asked for their status, one after the other.

    :ivar times: seconds that each answer took.
    """

    def __init__(self, url: str) -> None:
        self.times: list[float] = []
        self.troubles: list[str] = []
        self._ended = threading.Event()
        self._program = Program(url)
        self.ids = [self._program.made(GOOD, _phone_number=ANI)["_id"] for _ in range(SESSIONS)]
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            while True:
                for service_id in self.ids:
                    if self._ended.wait(0.004):
                        return
                    began = time.monotonic()
                    answer = self._program.ask(service_id, "status")
                    self.times.append(time.monotonic() - began)
                    if answer.status != 200 or '"waiting"' not in answer.body:
                        self.troubles.append(f"{service_id}: {answer}")
        except Exception as error:  # noqa: BLE001  # whatever it is, the test shall tell
            self.troubles.append(repr(error))

    def stop(self) -> None:
        """End, and end the services."""
        self._ended.set()
        self._thread.join(20.0)
        for service_id in self.ids:
            if self._program.delete(service_id) != 200:
                self.troubles.append(f"{service_id} cannot be deleted")
        self._program.close()


class ScriptCase(AttackCase):
    """With a folder of hostile applications, each a service of its own."""

    options = (*OPTIONS, *sets("ors/request_timeout=3", "bayeux/timeout=5000"))

    def setUp(self) -> None:
        """Make the folder."""
        folder = TemporaryDirectory(prefix="gms-live-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.options = (*self.options, *sets(f"ors/document_roots={folder.name}"))
        self.statuses: Counter[int] = Counter()

    def configure(self, applications: Mapping[str, str]) -> list[str]:
        """Write applications and make them services; gives the services' names."""
        names = []
        for number, text in enumerate(applications.values()):
            path = self.folder / f"app{number}.scxml"
            path.write_text(text)
            name = f"hostile{number}"
            self.options = (
                *self.options,
                *sets(f"service.{name}/_type=ors", f"service.{name}/_service={path.as_uri()}"),
            )
            names.append(name)
        return names

    @contextmanager
    def crowded(self) -> Iterator[tuple[Server, Program]]:
        """Attack inside, with the crowd beside."""
        crowds: list[Crowd] = []

        def prepare(server: Server) -> None:
            crowds.append(Crowd(server.url))
            # Once round, so that what good sessions take is taken.
            eventually(lambda: len(crowds[0].times) >= SESSIONS, 20.0)

        with self.attack(prepare) as server:
            (crowd,) = crowds
            crowd.times.clear()
            program = Program(server.url)
            yield server, program
            program.close()
            times = sorted(crowd.times)
        crowd.stop()
        tell(
            f"{len(times)} answers of {SESSIONS} good sessions, p99 "
            f"{1000 * times[int(len(times) * 0.99)]:.0f} ms, {1000 * times[-1]:.0f} ms at most; "
            f"the hostile ones {dict(sorted(self.statuses.items()))} ... "
        )
        self.assertEqual(crowd.troubles, [])
        self.assertGreater(len(times), 50)
        self.assertLess(times[-1], SLOWEST_S)

    def ask(self, program: Program, service_id: str, request: str, **fields: str) -> Answer:
        """Ask, and count."""
        answer = program.ask(service_id, request, **fields)
        self.statuses[answer.status] += 1
        return answer

    def drive(self, program: Program, name: str, times: int = 3) -> Answer:
        """Create one, let it go so often, and be rid of it; gives the last answer."""
        made = program.create(name)
        self.statuses[made.status] += 1
        if made.status != 200:
            return made
        service_id = made.json["_id"]
        answer = made
        for _ in range(times):
            answer = self.ask(program, service_id, "go")
        program.delete(service_id)
        return answer


class ScriptTests(ScriptCase):
    """Scripts."""

    def test_G01_G02_G03_X01_X05_more_than_their_share(self) -> None:
        """Processor, heap, stack, patterns: the third time ends the session; no way out."""
        scripts = {
            **ATTACKS,
            **{name: f"var v = {hook}; v + ''" for name, hook in HOOKS.items()},
            **{text: text for text in ESCAPES},
            **SETUPS,
        }
        names = self.configure({name: scripted(text) for name, text in scripts.items()})
        with self.crowded() as (_, program):
            for name, service in zip(scripts, names, strict=True):
                answer = self.drive(program, service, 4 if name in ATTACKS else 2)
                if name in ATTACKS:
                    self.assertIn(answer.status, ENDED, name)
            self.linger()
        self.assertLessEqual(self.statuses.keys(), {200, *ENDED, 504})


class ChartTests(ScriptCase):
    """Charts."""

    def test_G01_G02_G03_X02_endless(self) -> None:
        """Transitions, raised events, errors of errors, long loops: all come to an end."""
        loop = '<foreach array="new Array(1000000).fill(0)" item="i"><raise event="no"/></foreach>'
        go = f'<transition event="go" target="a">{ANSWER}</transition>'
        stay = f'<transition event="go">{ANSWER}'
        charts = {
            "transitions": charted(go, '<state id="a"><transition target="a"/></state>'),
            "two states": charted(
                go,
                '<state id="a"><transition target="b"/></state>'
                '<state id="b"><transition target="a"/></state>',
            ),
            "raise": charted(f'{stay}<raise event="go"/></transition>'),
            "two raises": charted(f'{stay}<raise event="go"/><raise event="go"/></transition>'),
            "errors": charted(
                '<transition event="error.*"><script>nothing.x</script></transition>'
                f"{stay}<script>nothing.x</script></transition>"
            ),
            "elements": charted(f"{stay}{loop}</transition>"),
            "conditions": charted(
                go,
                '<state id="a"><transition cond="(function () { for (;;) ; })()" target="a"/>'
                '<transition target="a"/></state>',
            ),
            "onexit": charted(
                "<onexit><script>for (;;) ;</script></onexit>"
                f'<transition event="go" target="on">{ANSWER}</transition>'
            ),
        }
        names = self.configure(charts)
        with self.crowded() as (_, program):
            for service in names:
                self.drive(program, service)
            self.linger()
        self.assertLessEqual(self.statuses.keys(), {200, *ENDED, 504})

    def test_G01_G02_G03_X03_storms(self) -> None:
        """Sends, timers, delays, fetches, searches without end: each has its limit."""

        def many(count: int, element: str) -> str:
            return (
                f'<transition event="go">{ANSWER}'
                f'<foreach array="new Array({count}).fill(0)" item="i">'
                f"{element}</foreach></transition>"
            )

        charts = {
            "sends": charted(many(4000, "<send event=\"'x'\"/>")),
            "timers": charted(many(4000, "<send event=\"'x'\" delay=\"'60s'\"/>")),
            "soon": charted(
                many(90, "<send event=\"'again'\" delay=\"'0s'\"/>")
                + "<transition event=\"again\">"
                "<send event=\"'again'\" delay=\"'0s'\"/></transition>"
            ),
            "hundred years": charted(many(100, "<send event=\"'x'\" delay=\"'3153600000s'\"/>")),
            "itself": charted(
                many(90, "<send event=\"'again'\" target=\"'#_scxml_' + _sessionid\"/>")
                + "<transition event=\"again\"><send event=\"'again'\""
                " target=\"'#_scxml_' + _sessionid\"/></transition>"
            ),
            "posts": charted(
                many(90, "<send event=\"'again'\" targettype=\"'basichttp'\""
                " target=\"_ioprocessors['basichttp'].location\"/>")
                + "<transition event=\"again\"><send event=\"'again'\" targettype=\"'basichttp'\""
                " target=\"_ioprocessors['basichttp'].location\"/></transition>"
            ),
            "fetches": charted(many(1000, "<session:fetch srcexpr=\"'http://127.0.0.1:9/'\"/>")),
            "searches": charted(
                many(1000, '<queue:submit route="false" timeout="600"><queue:targets>'
                "<queue:target name=\"'Billing'\" type=\"agentgroup\"/></queue:targets>"
                "</queue:submit>")
            ),
            "sessions": charted(many(100, "<session:start src=\"'request-inbound-poll'\"/>")),
            "log": charted(many(4000, "<log expr=\"new Array(100000).join('x')\"/>")),
        }  # fmt: skip
        names = self.configure(charts)
        with self.crowded() as (server, program):
            centre = Centre(server.url)
            ids: list[str] = []
            for _ in self.rounds(1):
                # All of them together, for as long as it takes.
                for service in names:
                    ids.append(program.made(service)["_id"])
                    self.ask(program, ids[-1], "go")
                self.linger()
                for service_id in ids:
                    program.delete(service_id)
            for service_id in ids:
                self.assertIsNone(centre.query(service_id))
            centre.close()
        self.assertLessEqual(self.statuses.keys(), {200, *ENDED, 429, 504})


class NetworkTests(ScriptCase):
    """What an application may ask."""

    def test_G01_G03_X04_internal_addresses(self) -> None:
        """Nothing inside is asked, by actions, events or documents; no file is read."""
        trap = socket.create_server(("127.0.0.1", 0))
        trap.setblocking(False)
        self.addCleanup(trap.close)
        port = trap.getsockname()[1]
        hosts = ("127.0.0.1", "localhost", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]")
        urls = [f"http://{host}:{port}/" for host in hosts]
        urls += ["http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/"]
        urls += ["file:///etc/passwd", "gopher://127.0.0.1/", f"http://a@127.0.0.1:{port}/"]
        noted = (
            '<transition event="session.fetch.done"><assign location="_data.got" expr="1"/>'
            '</transition><transition event="status"><ws:response requestid="_event.sendid"'
            ' resultcode="String(_data.got)"/></transition>'
        )
        charts = {}
        for url in urls:
            target = escape(f"'{url}'")
            charts[f"fetch {url}"] = charted(
                f'<transition event="go"><session:fetch srcexpr="{target}"/>'
                f'<send event="\'x\'" targettype="\'basichttp\'" target="{target}"/>'
                f'<session:start src="{target}"/>{ANSWER}</transition>{noted}'
            )
            charts[f"invoke {url}"] = charted(
                f'{noted}<transition event="go" target="a">{ANSWER}</transition>',
                f'<state id="a"><invoke type="scxml" src="{escape(url)}"/>{noted}</state>',
            )
        names = self.configure(charts)
        # A server that listens on loopback only may ask what is there.
        self.options = (
            *self.options,
            *("--listen", "tcp:0:interface=0.0.0.0"),
            *sets("server/identity_mode=open", "bayeux/client_channels=open"),
        )
        with self.crowded() as (_, program):
            ids = []
            for _ in self.rounds(1):
                for service in names:
                    ids.append(program.made(service)["_id"])
                    self.ask(program, ids[-1], "go")
            self.linger()
            for service_id in ids:
                said = program.ask(service_id, "status")
                self.assertIn(said.status, (200, 404))
                self.assertIn(said.body if said.status == 200 else "undefined", "undefined")
                program.delete(service_id)
        with self.assertRaises(BlockingIOError):
            trap.accept()


class ValueTests(ScriptCase):
    """Values of customers, for the applications that come with the server."""

    def test_G01_G03_X06_every_parameter(self) -> None:
        """Each is a value and nothing else: the answer is as documented, the service ends."""
        asked = 0
        with self.crowded() as (server, program):
            centre = Centre(server.url)
            for name, usual in PARAMETERS.items():
                for value in HOSTILE:
                    # One that is missing would only hide the others.
                    every = dict.fromkeys((*usual, "_ttl", "_agent_group", "_poke_message"), value)
                    single = [{**usual, parameter: value} for parameter in usual]
                    for fields in (every, *single):
                        asked += 1
                        self.whole_life(program, name, fields, value)
            centre.close()
        tell(f"{asked} services ... ")
        self.assertLessEqual(self.statuses.keys(), {200, 400, 404, 410, 413, 429, 503})

    def whole_life(
        self, program: Program, name: str, fields: Mapping[str, str], value: str
    ) -> None:
        """Create a service, ask it everything with hostile values, delete it."""
        made = program.create(name, **fields)
        self.statuses[made.status] += 1
        if made.status != 200:
            self.assertIn("exception", made.json)
            return
        service_id = made.json["_id"]
        for request in ("status", "reserve", "accept"):
            self.ask(
                program, service_id, request,
                _provide_code=value, _latitude=value, _longitude=value, _verbose=value,
            )  # fmt: skip
        program.delete(service_id)


def deep(levels: int) -> str:
    """States in states."""
    ids = range(levels)
    return "".join(f'<state id="s{number}">' for number in ids) + "</state>" * levels


BROKEN: dict[str, str] = {
    "nothing": "",
    "no XML": "\x7fELF" + "\ufffd" * 1000,
    "cut off": HEAD + '<state id="on">',
    "another root": "<html/>",
    "unknown target": charted('<transition event="go" target="nowhere"/>'),
    "id twice": charted("", '<state id="on"/>'),
    "no such initial": HEAD.replace('initial="on"', 'initial="x"') + '<state id="on"/></scxml>',
    "bad initial": charted("", '<state id="a" initial="on"><state id="b"/></state>'),
    "entities": '<!DOCTYPE scxml [<!ENTITY a "'
    + "x" * 1000
    + '">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)).replace("&a0;", "&a;")
    + "]>"
    + charted("<log expr=\"'&a9;'\"/>"),
    "file entity": '<!DOCTYPE scxml [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    + charted("<log expr=\"'&x;'\"/>"),
    "deep": charted(deep(50_000)),
    "deep content": charted(
        '<transition event="go">' + '<if cond="1">' * 20_000 + "</if>" * 20_000 + "</transition>"
    ),
    "ten megabytes": charted("", f"<!-- {'x' * (10 << 20)} -->"),
    "many states": charted("", "".join(f'<state id="s{n}"/>' for n in range(200_000))),
    "many attributes": charted(
        f'<transition event="go">{ANSWER}</transition><log '
        + " ".join(f'a{n}=""' for n in range(80_000))
        + "/>"
    ),
    "bad script": charted(
        f'<transition event="go"><script>for (;;) {{</script>{ANSWER}</transition>'
    ),
    "include itself": charted(
        f'<transition event="go"><script src="app0.scxml"/>{ANSWER}</transition>'
    ),
    "wrong encoding": '<?xml version="1.0" encoding="utf-32"?>' + charted(""),
}
"""Documents that no server can run, and some that one may."""

MAY_RUN = {"cut off", "bad script", "include itself"}


class DocumentTests(ScriptCase):
    """Documents that break after the server has looked at them."""

    def test_G01_G02_G03_X07_broken_documents(self) -> None:
        """Each is refused with a reason; the others, and the same one mended, run."""
        good = charted(f'<transition event="go">{ANSWER}</transition>')
        cyclic = charted(
            f'<transition event="go" target="a">{ANSWER}</transition>',
            '<state id="a"><invoke type="scxml" src="app{0}.scxml"/></state>',
        )
        names = self.configure(dict.fromkeys((*BROKEN, "cyclic"), good))
        texts = (*BROKEN.values(), cyclic.replace("{0}", str(len(BROKEN))))
        with self.crowded() as (_, program):
            # The check at the start would refuse them.
            for number, text in enumerate(texts):
                (self.folder / f"app{number}.scxml").write_text(text)
            for _ in self.rounds(1):
                for broken, service in zip((*BROKEN, "cyclic"), names, strict=True):
                    answer = self.drive(program, service)
                    if broken not in MAY_RUN:
                        self.assertEqual(answer.status, 500, (broken, answer))
                        self.assertIn("gms.", answer.json["exception"])
                        self.assertNotIn("root:", answer.body)
            (self.folder / "app0.scxml").write_text(good)
            mended: list[Answer] = []

            def runs() -> bool:
                mended.append(program.create(names[0]))
                return mended[-1].status == 200

            self.assertTrue(eventually(runs, 20.0), mended[-1])
            program.delete(mended[-1].json["_id"])
        self.assertLessEqual(self.statuses.keys(), {200, *ENDED, 500, 504})

"""Who may import whom: the table, and a test that holds every module against it.

A change that needs a new arrow changes the table in the same commit and says why.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import gms_twisted

PACKAGE = Path(gms_twisted.__file__).parent
ANYTHING = ("*",)


@dataclass(frozen=True)
class Rule:
    """What a package or module may import, its own package aside.

    :ivar ours: our packages or modules; all below a name counts.
    :ivar outside: the same, of others.
    :ivar pure: no standard module that touches the world either.
    """

    ours: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    pure: bool = False


# What shells share: Deferred, logging, and failures as values.
_ASYNC = ("twisted.internet.defer", "twisted.logger", "twisted.python.failure")
_SHELL = ("domain", "app", "bayeux", "chatserver", "http", "store.interfaces")

RULES = {
    "domain": Rule(pure=True),
    "bayeux": Rule(("domain",), pure=True),
    "bayeux.codec": Rule(("domain",), ("orjson",), pure=True),
    "chatserver": Rule(("domain",), pure=True),
    "apns": Rule(("domain",), pure=True),
    "scxml": Rule(("domain",), pure=True),
    # The script engine, which knows no clock of ours, and the XML parser, told to fetch nothing.
    "scxml.bridge": Rule(("domain",), ("_quickjs",), pure=True),
    "scxml.loader": Rule(("domain",), ("lxml",), pure=True),
    "config": Rule(("domain",), pure=True),
    # Reads the file, and looks at the date for certificates.
    "config.ini": Rule(("domain",)),
    # Looks at the files that options name, and into certificates.
    "config.key_files": Rule(("domain",), ("cryptography",)),
    "config.push_files": Rule(("domain",), ("cryptography",)),
    # Its pure files have rules of their own below.  All receive the dataclass of
    # their section, as every layer does; identities are JWTs, keys PEM files.
    "http": Rule(
        ("domain", "config.options", "config.bayeux_options", "config.option"),
        ("twisted", "klein.resource", "zope.interface", "orjson", "jwt", "cryptography"),
    ),
    **{
        f"http.{name}": Rule(("domain", "config.options"), pure=True)
        for name in (
            *("addresses", "deflate", "framing", "known", "limiter", "multipart"),
            *("origins", "responses", "upgrade", "websocket"),
        )
    },
    # The agreements between layers are zope interfaces where twisted.web adapts to them.
    "http.interfaces": Rule(("domain",), ("zope.interface",), pure=True),
    "http.parse": Rule(("domain", "config.options"), (), pure=True),
    "http.strict_json": Rule(("domain",), ("orjson",), pure=True),
    "store": Rule(
        ("domain",),
        # The sweeper is a service, the threads' results are Deferreds.
        (*_ASYNC, "twisted.internet.interfaces", "twisted.application.service"),
    ),
    # Who lives is written by scripts of its own.
    "cluster": Rule(("domain", "store.interfaces", "store.redis_link"), _ASYNC),
    # Connections between nodes, and who answers them.
    "cluster.link": Rule(("domain",), ("twisted", "zope.interface")),
    "cluster.links": Rule(("domain",), ("twisted",)),
    "cluster.tls": Rule(("store.interfaces",), ("twisted", "OpenSSL")),
    "cluster.cluster": Rule(("domain", "store.interfaces", "store.redis_link"), ("twisted",)),
    # What speaks to Redis: connections, calls over them, and what comes back.
    "store.redis_pool": Rule(
        ("domain",),
        (*_ASYNC, "twisted.internet.interfaces", "twisted.internet.protocol", "txredisapi"),
    ),
    "store.redis_link": Rule(("domain",), (*_ASYNC, "twisted.internet.interfaces", "txredisapi")),
    "store.redis_errors": Rule(("domain",), (*_ASYNC, "twisted.internet.error", "txredisapi")),
    "store.redis_endpoints": Rule(("domain",), ("twisted", "txredisapi", "zope.interface")),
    "store.redis_scripts": Rule(pure=True),
    "app": Rule(
        (
            *("domain", "config.options", "config.bayeux_options", "config.option"),
            *("config.push_options", "config.ors_options"),
            *("store.interfaces", "bayeux", "scxml"),
            # Which options of push there are and what they default to is said once.
            *("config.push_provider_options", "config.reading"),
        ),
        (*_ASYNC, "phonenumbers"),
        pure=True,
    ),
    # Routes speak the front door's words (heads, plans, callers) and its strict JSON;
    # admission receives the dataclasses of its sections.
    "rest": Rule(
        ("domain", "app", "http", "config.options"),
        # Klein's routing is werkzeug's; its exceptions become our 404 and 405.
        # A producer of a file's bytes declares that it is one.
        (
            *("klein", "werkzeug", "twisted.web", "twisted.internet.interfaces", *_ASYNC),
            "zope.interface",
        ),
    ),
    "transports": Rule(
        (*_SHELL, "config.options"),
        # TLS settings of listeners are OpenSSL's.
        ("twisted", "treq", "autobahn", "zope.interface", "OpenSSL"),
    ),
    # What the outgoing gate goes by, and the answers that come back through it.
    "transports.targets": Rule(("domain", "app.outgoing"), pure=True),
    # Lists and texts; who asks, and when, is in the shells beside them.
    "transports.ors_servers": Rule(("app.orchestration",), pure=True),
    "transports.ors_messages": Rule(("domain", "app.outgoing", "http.strict_json"), pure=True),
    "transports.http_answers": Rule(
        ("domain", "app.outgoing", "http.framing", "http.parse"), pure=True
    ),
    # Gateways want TLS with certificates, HTTP/2, signed tokens and encrypted messages.
    "push": Rule(
        ("domain", "app", "apns", "config.options", "config.push_options"),
        (
            *("twisted", "treq", "h2", "cryptography", "jwt", "http_ece"),
            # Which headers h2 may keep in its table is said with hpack's own tuples.
            *("hpack", "OpenSSL", "zope.interface"),
        ),
    ),
    "push.payloads": Rule(("domain",), pure=True),
    # The other side of the same wires; shares the pure part only.
    "simulators": Rule(
        ("domain", "apns"),
        (
            *("twisted", "h2", "cryptography", "jwt", "http_ece"),
            *("OpenSSL", "zope.interface"),
        ),
    ),
    "embedded": Rule((*_SHELL, "config.options"), ("twisted", "autobahn", "zope.interface")),
    # Who gets which agent is decided without a clock; its words are those of telephony.
    **{
        f"embedded.{name}": Rule(("domain", "app.call_services", "app.telephony"), pure=True)
        for name in (
            *("agents", "calls", "centre_limits", "deadlines", "exchange"),
            *("exchange_effects", "routing", "waiting"),
        )
    },
    "web": Rule(),
    "system": Rule(("domain",)),
    # A command reaches the running server through it: lines over a socket.
    "control": Rule(("domain",), ("twisted",)),
    # The ports of a process, before and after there is a front door.
    "doorway": Rule(("http.frontdoor", "transports.listening", "workers.leash"), ("twisted",)),
    # What a command does is done by parts of a server that is composed.
    "control_commands": Rule(("control", "domain", "embedded.chat_data", "wiring")),
    # How log lines look; used before anything else exists.
    "logs": Rule((), ("twisted.logger", "zope.interface")),
    # The composition: what is plugged into what, signals, start and end, the terminal.
    "wiring": Rule(ANYTHING, ANYTHING),
    "wiring_moving": Rule(ANYTHING, ANYTHING),
    "wiring_orchestration": Rule(ANYTHING, ANYTHING),
    "wiring_push": Rule(ANYTHING, ANYTHING),
    "wiring_services": Rule(ANYTHING, ANYTHING),
    "wiring_transports": Rule(ANYTHING, ANYTHING),
    "process": Rule(ANYTHING, ANYTHING),
    "tap": Rule(ANYTHING, ANYTHING),
    "commands": Rule(ANYTHING, ANYTHING),
    # The configuration's applications, read as they would be: for the check and the start.
    "application_check": Rule(("app", "config", "scxml", "transports.document_files")),
    # A command that writes a key, and shows it as browsers want it.
    "vapid": Rule(("push.vapid",), ("cryptography",)),
    # Above several processes: starts them, has neither store nor connections.
    "workers": Rule(
        ("domain", "config", "transports.listening", "logs", "banner", "system"),
        ("twisted", "zope.interface"),
    ),
    "workers.worker": Rule(ANYTHING, ANYTHING),
    # Words for the terminal about what listens.
    "banner": Rule(("config.options", "transports.listening")),
    # A client of a server; the standard library's only.
    "selfcheck": Rule(),
    "__init__": Rule(),
}

_RANDOM = frozenset(("random", "secrets", "uuid", "time"))
_KNOWS_RANDOM = ("system", "tap", "wiring")
"""The only modules that know a clock or random numbers; others are handed them."""

_DATABASE = "store.sqlite"

_WORLD = frozenset(
    (
        *(
            "asyncio",
            "asyncore",
            "concurrent",
            "ctypes",
            "fcntl",
            "ftplib",
            "getpass",
            "http.client",
        ),
        *("importlib", "mmap", "multiprocessing", "os", "pathlib", "queue", "resource", "sched"),
        *(
            "select",
            "selectors",
            "shutil",
            "signal",
            "smtplib",
            "socket",
            "socketserver",
            "sqlite3",
        ),
        *("ssl", "subprocess", "sys", "tempfile", "threading", "urllib.request", "_thread"),
    )
)
"""Standard modules that are no calculation."""


def imports_of(source: str, module: str) -> Iterator[str]:
    """Name everything a module imports, where it stands in the file does not count.

    ``from a import b`` gives ``a.b``, since ``b`` may be a module.
    """
    for node in ast.walk(ast.parse(source, module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def rule_for(module: str) -> Rule | None:
    """The most specific rule: a module's own, else its package's."""
    return RULES.get(module) or RULES.get(module.partition(".")[0])


def within(name: str, packages: tuple[str, ...] | frozenset[str]) -> bool:
    """Tell whether a name is one of some packages or below one."""
    return packages == ANYTHING or any(
        name == package or name.startswith(f"{package}.") for package in packages
    )


def violations(module: str, source: str) -> Iterator[str]:
    """List the arrows of a module that the table does not have.

    :param module: without the package's name, ``bayeux.session``.
    """
    file = module.replace(".", "/") + ".py"
    rule = rule_for(module)
    if rule is None:
        yield f"{file} is in no package of the table"
        return
    for name in imports_of(source, module):
        if not _allowed(module, rule, name):
            yield f"{file} imports {name}"


def _allowed(module: str, rule: Rule, name: str) -> bool:
    top, _, rest = name.partition(".")
    if top == "gms_twisted":
        if rest == "__version__":
            return True
        own = module.partition(".")[0]
        # A pure file of an impure package may not reach the world through its siblings.
        if within(rest, (own,)):
            other = rule_for(".".join(rest.split(".")[:2]))
            return not rule.pure or rule.ours == ANYTHING or other is None or other.pure
        return within(rest, rule.ours)
    if top in sys.stdlib_module_names:
        if within(name, _RANDOM):
            return within(module, _KNOWS_RANDOM)
        if top == "sqlite3":
            return module.startswith(_DATABASE) or rule.outside == ANYTHING
        return not (rule.pure and within(name, _WORLD))
    return within(name, rule.outside)


def modules() -> Iterator[tuple[str, str]]:
    """Read every module: its name without the package's, and its source."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(
            parts if len(parts) == 1 else [part for part in parts if part != "__init__"]
        )
        yield name, path.read_text(encoding="utf-8")


class LayerTests(SynchronousTestCase):
    """The table holds."""

    def test_every_module(self) -> None:
        """No module imports what its layer may not know."""
        found = [arrow for module, source in modules() for arrow in violations(module, source)]
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_every_rule_is_used(self) -> None:
        """A rule for a module that is gone goes with it."""
        names = {name for name, _ in modules()}
        packages = {name.partition(".")[0] for name in names}
        gone = [rule for rule in RULES if rule not in names | packages]
        self.assertEqual(gone, [])

    def test_packages_are_docstrings(self) -> None:
        """A package's own module says what it is and defines nothing."""
        for path in PACKAGE.rglob("__init__.py"):
            if path.parent == PACKAGE:
                continue
            body = ast.parse(path.read_text(encoding="utf-8")).body
            self.assertTrue(body and all(isinstance(node, ast.Expr) for node in body), path)


class TableTests(SynchronousTestCase):
    """The test itself sees what it is there for."""

    def arrows(self, module: str, source: str) -> list[str]:
        """List a made-up module's violations."""
        return list(violations(module, source))

    def test_names_the_arrow(self) -> None:
        """A violation says which file imports what, wherever in the file."""
        self.assertEqual(
            self.arrows("bayeux.session", "import twisted.web"),
            ["bayeux/session.py imports twisted.web"],
        )
        inside = "def f():\n    from twisted.web import server"
        self.assertEqual(
            self.arrows("bayeux.session", inside), ["bayeux/session.py imports twisted.web.server"]
        )

    def test_third_parties_by_module(self) -> None:
        """Part of Twisted may be allowed, and the rest not."""
        self.assertEqual(self.arrows("app.x", "from twisted.logger import Logger"), [])
        self.assertEqual(len(self.arrows("app.x", "from twisted.internet import reactor")), 1)
        self.assertEqual(len(self.arrows("bayeux.meta", "import orjson")), 1)
        self.assertEqual(self.arrows("bayeux.codec", "import orjson"), [])

    def test_our_own(self) -> None:
        """Layers know only those below."""
        self.assertEqual(self.arrows("rest.x", "from gms_twisted.app.chats import Chats"), [])
        up = "from gms_twisted.rest import storage"
        self.assertEqual(self.arrows("app.x", up), ["app/x.py imports gms_twisted.rest.storage"])
        store = "from gms_twisted.store.sqlite import SqliteStore"
        self.assertEqual(len(self.arrows("app.x", store)), 1)
        self.assertEqual(self.arrows("wiring", store), [])
        self.assertEqual(len(self.arrows("domain.x", "from .. import app")), 1)

    def test_pure_files(self) -> None:
        """A pure file reaches the world neither by the standard library nor by a sibling."""
        for source in ("import socket", "import os", "from gms_twisted.http.channel import X"):
            self.assertEqual(len(self.arrows("http.parse", source)), 1, source)
        self.assertEqual(
            self.arrows("http.upgrade", "from gms_twisted.http.interfaces import H"), []
        )

    def test_clocks_and_chance(self) -> None:
        """Time and random numbers are passed in."""
        for name in _RANDOM:
            self.assertEqual(len(self.arrows("rest.x", f"import {name}")), 1, name)
            self.assertEqual(self.arrows("system", f"import {name}"), [], name)

    def test_unknown_package(self) -> None:
        """A new package needs a rule."""
        self.assertEqual(self.arrows("misc.x", ""), ["misc/x.py is in no package of the table"])

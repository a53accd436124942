"""A whole configuration: typed, and everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.ini import Loaded, default_path, load, load_text
from gms_twisted.config.options import Configuration, ResourceGroup

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def loaded(text: str, *overrides: str) -> Loaded:
    """Load a text."""
    return load_text(text, "gms.ini", overrides, now=NOW)


class ConfigurationTestCase(SynchronousTestCase):
    """Short ways to check what a text gives."""

    def good(self, text: str, *overrides: str) -> Configuration:
        """Check that a text is without fault; returns the configuration."""
        result = loaded(text, *overrides)
        self.assertEqual([str(fault) for fault in result.faults], [])
        return result.configuration

    def faults(self, text: str, *overrides: str) -> list[str]:
        """List a text's faults, without the file's name."""
        return _short(loaded(text, *overrides).faults)

    def warnings(self, text: str, *overrides: str) -> list[str]:
        """List a text's warnings; there must be no fault."""
        self.good(text, *overrides)
        return _short(loaded(text, *overrides).warnings)


def _short(problems: Sequence[object]) -> list[str]:
    return [str(problem).removeprefix("gms.ini:") for problem in problems]


class ValueTests(ConfigurationTestCase):
    """Types, units, words and bounds."""

    def test_defaults(self) -> None:
        """An empty file is the default configuration, without a word of complaint."""
        result = loaded("")
        self.assertEqual(result.configuration, Configuration())
        self.assertEqual((result.faults, result.warnings), ((), ()))

    def test_units(self) -> None:
        """Milliseconds become seconds; seconds may have a fraction; bytes are whole."""
        configuration = self.good(
            "[bayeux]\ntimeout=1500\n[http]\nheader_timeout=2.5\nmax_body=2048\n"
        )
        self.assertEqual(configuration.bayeux.timeout_s, 1.5)
        self.assertEqual(configuration.http.header_timeout_s, 2.5)
        self.assertEqual(configuration.http.max_body, 2048)

    def test_booleans(self) -> None:
        """Yes and no have four spellings each, in any case."""
        for text in ("true", "YES", "On", "1"):
            self.assertTrue(self.good(f"[server]\nrelative_url={text}").server.relative_url)
        for text in ("False", "no", "OFF", "0"):
            self.assertFalse(self.good(f"[bayeux]\nannounceAck={text}").bayeux.announce_ack)

    def test_lists(self) -> None:
        """Lists are cut at commas, canned answers at bars; empty pieces do not count."""
        configuration = self.good(
            "[server]\ninternal_allow = 10.0.0.0/8 ,::1,\n"
            "[chat]\ncanned = hi=Hello, you | bye=Bye\n[bayeux]\nhosts =\n"
        )
        self.assertEqual(configuration.server.internal_allow, ("10.0.0.0/8", "::1"))
        self.assertEqual(configuration.chat.canned, ("hi=Hello, you", "bye=Bye"))
        self.assertEqual(configuration.bayeux.hosts, ())

    def test_none(self) -> None:
        """The word none means no value where there may be none, and only there."""
        self.assertIsNone(self.good("[http]\nmax_connections=none").http.max_connections)
        self.assertEqual(
            self.faults("[http]\nmax_body=none"),
            ["2: http/max_body: 'none' is not a whole number"],
        )

    def test_empty_values(self) -> None:
        """An empty number or boolean means the default, as exported files have it."""
        configuration = self.good("[http]\nmax_body=\n[bayeux]\nannounceAck=\n")
        self.assertEqual(configuration, Configuration())

    def test_L05_wrong_types(self) -> None:
        """What cannot be read is a fault, each with its line."""
        self.assertEqual(
            self.faults(
                "[http]\nmax_body=1e3\nheader_timeout=fast\nmax_parts=1.5\n"
                "[bayeux]\nannounceAck=maybe\ntimeout=NaN\nsweepPeriod=\u0663\n"
                "[server]\nidentity_mode=closed"
            ),
            [
                "2: http/max_body: '1e3' is not a whole number",
                "3: http/header_timeout: 'fast' is not a number",
                "4: http/max_parts: '1.5' is not a whole number",
                "6: bayeux/announceAck: 'maybe' is not true or false",
                "7: bayeux/timeout: 'NaN' is not a number",
                "8: bayeux/sweepPeriod: '\u0663' is not a number",
                "10: server/identity_mode: 'closed' is not empty or open or trusted-proxy or token",
            ],
        )

    def test_L05_out_of_range(self) -> None:
        """A number out of range is clamped, with a warning that says to what."""
        text = "[http]\nmax_headers=5\n[bayeux]\nmaxInterval=1\n[server]\nweb_port=99999\n"
        configuration = self.good(text)
        self.assertEqual(configuration.http.max_headers, 10)
        self.assertEqual(configuration.bayeux.max_interval_s, 0.1)
        self.assertEqual(
            self.warnings(text),
            [
                "2: http/max_headers: 5 is out of range (10 to 1000); 10 is used",
                "4: bayeux/maxInterval: 1 is out of range (milliseconds, at least 100); "
                "100 is used",
                "6: server/web_port: 99999 is out of range (0 to 65535); 65535 is used",
            ],
        )

    def test_L05_J07_unknown_names(self) -> None:
        """Unknown sections and options are warnings, with a suggestion; case counts."""
        self.assertEqual(
            self.warnings("[Server]\n[server]\nnodeid=1\nNODE_ID=1\nzzz=1\n[cheese]\na=b\n"),
            [
                "1: Server: there is no such section; did you mean server?",
                "3: server/nodeid: there is no such option; did you mean node_id?",
                "4: server/NODE_ID: there is no such option; did you mean node_id?",
                "5: server/zzz: there is no such option",
                "6: cheese: there is no such section",
            ],
        )

    def test_original_files(self) -> None:
        """Sections and options of the original product that wait are kept, silently."""
        text = (
            "[ors]\nmax_ors_idle_connection_time=9\n[cview]\nx=y\n[log]\nverbose=all\n[chat]\nenable-fast-chat-transcript-refresh=true\n"
            "[server]\n_ors=http://127.0.0.1:7005\n[stat.x]\n"
        )
        self.assertEqual(self.warnings(text), [])
        other = self.good(text).other
        self.assertEqual(other["log"], {"verbose": "all"})
        self.assertEqual(set(other), {"cview", "log", "stat.x"})

    def test_overrides_win(self) -> None:
        """An override beats the file, and its problems say where they are from."""
        text = "[http]\nmax_body=2048\n"
        self.assertEqual(self.good(text, "http/max_body=4096").http.max_body, 4096)
        self.assertEqual(self.good("", "http/max_body=4096").http.max_body, 4096)
        self.assertEqual(
            self.faults(text, "http/max_body=big"),
            ["--set: http/max_body: 'big' is not a whole number"],
        )

    @settings(deadline=None, max_examples=60)
    @given(
        st.sampled_from(("http/max_body", "bayeux/timeout", "bayeux/ws.timeout", "chat/canned"))
        | st.sampled_from(
            ("service.x/_ttl", "resource.x/a", "server/listen", "port_restrictions/a")
        ),
        st.text(max_size=12),
    )
    def test_J10_any_value(self, place: str, text: str) -> None:
        """Any value of any option is taken or complained of, never a failure."""
        for problem in (*(result := loaded("", f"{place}={text}")).faults, *result.warnings):
            self.assertIn(place.partition("/")[0], str(problem))


class BayeuxTests(ConfigurationTestCase):
    """Section ``bayeux``: the profiles, and what differs by transport."""

    def test_profile(self) -> None:
        """The profile switches defaults only; what the file says stays."""
        gms = self.good("").bayeux
        self.assertEqual((gms.timeout_s, gms.max_interval_s, gms.announce_ack), (60.0, 30.0, True))
        cometd = self.good("[bayeux]\nannounceAck=true\nprofile=cometd\n").bayeux
        self.assertEqual((cometd.timeout_s, cometd.max_interval_s), (30.0, 10.0))
        self.assertEqual(cometd.client_channels, "open")
        self.assertFalse(cometd.trust_client_session)
        self.assertTrue(cometd.announce_ack)

    def test_most_specific_prefix(self) -> None:
        """What is set for one transport counts there, the more specific prefix more."""
        bayeux = self.good(
            "[bayeux]\ntimeout=1000\nlong-polling.timeout=2000\nlong-polling.jsonp.timeout=3000\n"
            "ws.timeout=4000\nws.interval=10"
        ).bayeux
        self.assertEqual(bayeux.timeout_s, 1.0)
        self.assertEqual(bayeux.at("long-polling", "long-polling.json").timeout_s, 2.0)
        self.assertEqual(bayeux.at("long-polling", "long-polling.jsonp").timeout_s, 3.0)
        self.assertEqual(bayeux.at("ws").timeout_s, 4.0)
        self.assertEqual(bayeux.at("ws").interval_s, 0.01)
        self.assertIs(bayeux.at("long-polling.json"), bayeux)

    def test_L05_by_transport(self) -> None:
        """They are checked like the others, and there are no more of them."""
        self.assertEqual(
            self.faults("[bayeux]\nws.timeout=long"),
            ["2: bayeux/ws.timeout: 'long' is not a number"],
        )
        self.assertEqual(
            self.warnings("[bayeux]\nws.maxInterval=1\nws.maxQueue=5"),
            [
                "2: bayeux/ws.maxInterval: 1 is out of range (milliseconds, at least 100); "
                "100 is used",
                "3: bayeux/ws.maxQueue: there is no such option; did you mean maxQueue?",
            ],
        )

    def test_idle_timeout(self) -> None:
        """A socket must not count as idle while a connect is held."""
        (warning,) = self.warnings("[bayeux]\nws.idleTimeout=60000")
        self.assertIn("bayeux/ws.idleTimeout: not above timeout + interval", warning)

    def test_no_transport(self) -> None:
        """Some transport must be left, and they have their names."""
        self.assertEqual(
            self.faults("[bayeux]\nallowedTransports="),
            ["2: bayeux/allowedTransports: no transport is left"],
        )
        self.assertEqual(
            self.faults("[bayeux]\nallowedTransports=websocket,flash"),
            [
                "2: bayeux/allowedTransports: 'flash' is not websocket or callback-polling "
                "or long-polling"
            ],
        )


class ServiceTests(ConfigurationTestCase):
    """Sections ``service.NAME`` and ``services.NAME``."""

    def test_both_spellings(self) -> None:
        """Options with and without the underscore are the same; the one with it wins."""
        services = self.good(
            "[service.a]\ntype=builtin\nservice=request-chat\nttl=5\n_ttl=6\n"
            "[services.b]\n_type=ors\n_service=http://x/app.scxml\nanything=1\n"
        ).services
        self.assertEqual(
            services["a"].values, {"_type": "builtin", "_service": "request-chat", "_ttl": "6"}
        )
        self.assertEqual(services["b"].values["_anything"], "1")

    def test_overrides_in_any_spelling(self) -> None:
        """An override counts whatever spelling the file has, of section and option."""
        text = "[services.a]\n_type=builtin\n_service=request-chat\n_ttl=6\n"
        services = self.good(text, "service.a/ttl=7").services
        self.assertEqual(services["a"].values["_ttl"], "7")
        services = self.good("", "services.a/type=ors", "service.a/_ttl=8").services
        self.assertEqual(services["a"].values, {"_type": "ors", "_ttl": "8"})

    def test_L05_two_sections_of_one_service(self) -> None:
        """Both spellings of the section in one file are a duplicate."""
        text = "[service.a]\n_type=ors\n[services.a]\n_type=ors\n"
        self.assertEqual(
            self.faults(text), ["3: services.a: this service has another section, in line 1"]
        )

    def test_L05_faults(self) -> None:
        """Types, built-in services, numbers and groups are checked."""
        self.assertEqual(
            self.faults(
                "[service.a]\n_ttl=1\n"
                "[service.b]\n_type=magic\n"
                "[service.c]\n_type=builtin\n_service=request-chatt\n"
                "[service.d]\n_type=built-in\nname=match-interaction\n_ttl=soon\n"
                "[service.e]\n_type=builtin\n_service=request-interaction\n"
                "resource_group=NONE\nprovide_code=perhaps\n"
                "[service.f]\n_type=ors\nusername=x\n"
            ),
            [
                "1: service.a: option _type is missing; it is one of builtin, built-in, ors",
                "4: service.b/_type: 'magic' is not one of builtin, built-in, ors",
                "7: service.c/_service: there is no built-in service 'request-chatt'; "
                "did you mean request-chat?",
                "11: service.d/_ttl: 'soon' is not a whole number",
                "15: service.e/resource_group: there is no section resource.NONE",
                "16: service.e/provide_code: 'perhaps' is not true or false",
                "17: service.f: username and password stand together or not at all",
            ],
        )

    def test_L05_codes(self) -> None:
        """A prefix must leave digits of the codes that services give out."""
        prefix = "[server]\naccess_code_prefix=455,46\n"
        service = "[service.a]\n_type=builtin\n_service=request-access\naccess_code_length="
        sentence = "server/access_code_prefix leaves no digit of a code of 3"
        self.assertEqual(
            self.faults(f"{prefix}{service}3"), [f"6: service.a/access_code_length: {sentence}"]
        )
        self.good(f"{prefix}{service}4")

    def test_L05_queues(self) -> None:
        """Chats enter queues that the built-in chat server has."""
        service = "[service.a]\n_type=builtin\n_service=request-chat\nchat_endpoint="
        default = "[chat]\ndefault_chat_endpoint=Environment:vip\n"
        queues = "[chat-server]\nqueues=Environment:default, Environment:vip\n"
        missing = "the built-in chat server has no queue 'Environment:vip'; see chat-server/queues"
        for text, faults in (
            (default, [f"2: chat/default_chat_endpoint: {missing}"]),
            (service + "Environment:vip", [f"4: service.a/chat_endpoint: {missing}"]),
            (service + "vip", ["4: service.a/chat_endpoint: 'vip' is not TENANT:ENDPOINT"]),
            (f"{default}{queues}{service}Environment:vip", []),
            (f"{default}chat_server=1=127.0.0.1:4856\n{service}Environment:vip", []),
            (f"{default}chat_load_balancer_url_path=http://lb.example/x.jsp\n", []),
            (f"{default}embedded=false\n", []),
        ):
            self.assertEqual(self.faults(text), faults, text)

    def test_L05_names(self) -> None:
        """A service's name is a part of a URL."""
        for name in ("a/b", "x" * 65):
            (fault,) = self.faults(f"[service.{name}]\n_type=ors")
            self.assertIn("a service's name has no /", fault)

    def test_warnings(self) -> None:
        """Unknown options of built-in services and numbers out of range are warnings."""
        text = (
            "[resource.G]\nn=1\n[service.a]\n_type=builtin\n_service=request-interaction\n"
            "_resource_grp=G\nbooking_expiration_timeout=2\n"
        )
        self.assertEqual(
            self.warnings(text),
            [
                "6: service.a/_resource_grp: request-interaction has no such option; "
                "did you mean _resource_group?",
                "7: service.a/booking_expiration_timeout: 2 is out of range (5 to 1800); 5 is used",
            ],
        )
        values = self.good(text).services["a"].values
        self.assertEqual(values["_booking_expiration_timeout"], "5")


class ResourceTests(ConfigurationTestCase):
    """Sections ``resource.NAME`` and ``port_restrictions``."""

    def test_one_number_locked_and_not(self) -> None:
        """A number that one group locks and another gives out without a lock is a warning."""
        text = (
            "[resource.A]\n_allocation_strategy=LOCAL\nn=5001\n_backup_resource=5001\n"
            "[resource.B]\nm=5001\n[resource.C]\n_allocation_strategy=CLUSTER\nn=5001\n"
        )
        locks = "locks this number, here it is not locked"
        self.assertEqual(
            self.warnings(text),
            [
                f"4: resource.A/_backup_resource: resource.C {locks}",
                f"6: resource.B/m: resource.C {locks}",
            ],
        )

    def test_group(self) -> None:
        """Options have both spellings; everything else is a number under its label."""
        groups = self.good(
            "[resource.paris:tx]\nallocation_strategy=locking\n_backup_resource=9,8\n"
            "_booking_expiration_timeout=60\nlatitude=33.5\n_longitude=-95.5\none=1-800\ntwo=2\n"
        ).resource_groups
        self.assertEqual(
            groups["paris:tx"],
            ResourceGroup(
                allocation_strategy="LOCAL",
                backup_resource=("9", "8"),
                booking_expiration_timeout_s=60.0,
                latitude=33.5,
                longitude=-95.5,
                name="paris:tx",
                numbers={"one": "1-800", "two": "2"},
            ),
        )

    def test_L05_group(self) -> None:
        """An empty number is a fault; odd things are warnings."""
        self.assertEqual(
            self.faults("[resource.A]\na=\n_allocation_strategy=FAIR\nb=1"),
            [
                "2: resource.A/a: this access number is empty",
                "3: resource.A/_allocation_strategy: 'FAIR' is not RANDOM or LOCAL or CLUSTER "
                "or LOCKING or ROUND_ROBIN",
            ],
        )
        self.assertEqual(
            self.warnings("[resource.A]\na=1\nb=1\n_allocation=x\n[resource.B]\n"),
            [
                "3: resource.A/b: this access number is there twice",
                "4: resource.A/_allocation: there is no such option; "
                "did you mean _allocation_strategy?",
                "5: resource.B: this group has no access number",
            ],
        )

    def test_port_restrictions(self) -> None:
        """Patterns have ports and ranges; anything else is a fault."""
        text = "[port_restrictions]\n/genesys/1/storage/* = 81, 90,8080-8090\n"
        self.assertEqual(
            self.good(text).port_restrictions, {"/genesys/1/storage/*": "81,90,8080-8090"}
        )
        self.assertEqual(
            self.faults("[port_restrictions]\nx=1\n/y=a\n/z=\n/w=1-2-3\n"),
            [
                "2: port_restrictions/x: a URL pattern begins with /",
                "3: port_restrictions//y: 'a' is not a list of ports and ranges",
                "4: port_restrictions//z: '' is not a list of ports and ranges",
                "5: port_restrictions//w: '1-2-3' is not a list of ports and ranges",
            ],
        )


class FormTests(ConfigurationTestCase):
    """URLs, addresses, names: what is more than text."""

    good_values = (
        ("server/external_url_base", "https://gms.example:8443/"),
        ("server/trusted_proxies", "10.0.0.1, 2001:db8::/32"),
        ("server/allowed_origins", "https://a.example, http://[::1]:80"),
        ("server/listen", "tcp:8080, ssl:1:privateKeyx=2"),
        ("server/access_code_prefix", "455,466, 7-9"),
        ("store/url", "memory:"),
        ("cluster/reached_at", "gms2.example:7000"),
        ("chat/chat_load_balancer_url_path", "http://chat.example/lb.jsp"),
        ("chat/chat_server", "350=127.0.0.1:4856, b=[::1]:1;tls"),
        ("chat-server/queues", "Environment:default, a:b"),
        ("contact-centre/groups", "Billing, Late shift"),
        ("contact-centre/default_group", "Billing"),
        ("contact-centre/outbound_answer_after", "0"),
        ("bayeux/channels", "/_genesys,/news"),
    )
    bad_values = (
        ("server/external_url_base", "gms.example"),
        ("server/external_url_base", "http://gms.example"),
        ("server/external_url_base", "ftp://gms.example/"),
        ("server/external_url_base", "http://gms:99999/"),
        ("server/trusted_proxies", "proxy.example"),
        ("server/internal_allow", "10.0.0.0/33"),
        ("server/allowed_origins", "*"),
        ("server/allowed_origins", "null"),
        ("server/allowed_origins", "https://a.example/path"),
        ("server/base_path_aliases", "/x"),
        ("server/listen", "8080"),
        ("server/default_region", "usa"),
        ("server/access_code_prefix", "9-"),
        ("server/access_code_prefix", "999999"),
        ("limits/exempt", "everybody"),
        ("store/url", "mysql:"),
        ("cluster/reached_at", "gms2.example"),
        ("store/url", ""),
        ("chat/chat_load_balancer_url_path", "lb.jsp"),
        ("chat/default_chat_endpoint", "default"),
        ("chat/chat_server", "127.0.0.1:4856"),
        ("chat/canned", "hello"),
        ("contact-centre/groups", ""),
        ("contact-centre/groups", "x" * 129),
        ("contact-centre/default_group", "Sales"),
        ("contact-centre/ring_timeout", "soon"),
        ("bayeux/channels", "/news/*"),
        ("bayeux/browserCookieName", "a b"),
        ("bayeux/callbackParameter", ""),
        ("server/identity_mode", "token"),
        ("server/username", "x"),
        ("server/password", "x"),
    )

    def test_good_values(self) -> None:
        """What is in order is taken without a word."""
        for place, value in self.good_values:
            result = loaded("", f"{place}={value}")
            self.assertEqual((*result.faults, *result.warnings), (), place)

    def test_L05_bad_values(self) -> None:
        """What is not in order is one fault that names the option."""
        for place, value in self.bad_values:
            faults = self.faults("", f"{place}={value}")
            self.assertEqual(len(faults), 1, (place, value, faults))
            self.assertTrue(faults[0].startswith(f"--set: {place}: "), faults)

    def test_identity(self) -> None:
        """Short secrets and a mode that believes nobody are warnings."""
        self.assertEqual(
            self.warnings("[server]\nidentity_secret=short\nidentity_mode=trusted-proxy\n"),
            [
                "2: server/identity_secret: shorter than the 32 bytes that HS256 asks for",
                "3: server/identity_mode: no proxy is trusted, so gms_user counts from nobody; "
                "see trusted_proxies",
            ],
        )


class WorkerTests(ConfigurationTestCase):
    """Processes that serve together."""

    redis = "[store]\nurl = redis://127.0.0.1\n"

    def test_they_need_a_redis(self) -> None:
        """Said where the number stands."""
        wanted = (
            "2: server/workers: more than one worker needs a Redis: set store/url to redis://HOST"
        )
        self.assertEqual(self.faults("[server]\nworkers = 2\n"), [wanted])
        for url in ("memory:", "sqlite:x.db"):
            faults = self.faults(f"[server]\nworkers = 2\n[store]\nurl = {url}\n")
            self.assertEqual(faults, [wanted], url)
        self.good("[server]\nworkers = 2\n" + self.redis)
        self.good("[server]\nworkers = 1\n")

    def test_each_needs_a_port_for_others(self) -> None:
        """From the configured one on."""
        text = self.redis + "[server]\nworkers = 3\n[cluster]\nport = {}\n"
        self.good(text.format(65533))
        self.assertEqual(
            self.faults(text.format(65534)),
            ["6: cluster/port: 3 workers need as many ports from this one on"],
        )

    def test_each_has_a_chat_server(self) -> None:
        """Which cannot all have the same port."""
        text = self.redis + "[server]\nworkers = 2\n[chat]\n{} = 4000\n"
        for option in ("flex_port", "agent_port"):
            (fault,) = self.faults(text.format(option))
            self.assertTrue(fault.startswith(f"6: chat/{option}: each worker has"), fault)

    def test_their_numbers(self) -> None:
        """There are not more than all nodes may have, and a single process keeps off them."""
        text = self.redis + "[server]\nworkers = {}\nnode_id = {}\n"
        self.good(text.format(64, 12))
        self.assertEqual(
            self.faults(text.format(64, 13)),
            ["5: server/node_id: with this many workers it is at most 12"],
        )
        self.assertEqual(
            self.warnings("[server]\nnode_id = 203\n"),
            ["2: server/node_id: is also worker 3 of a node 2 with server/workers"],
        )
        for node in (64, 100, 165, 200):
            self.assertEqual(self.warnings(f"[server]\nnode_id = {node}\n"), [])


class LoadTests(SynchronousTestCase):
    """Files."""

    def test_L05_missing_file(self) -> None:
        """A file that is not there is a fault, and nothing is raised."""
        result = load(Path("/nonexistent/gms.ini"))
        self.assertEqual(
            [str(fault) for fault in result.faults],
            ["/nonexistent/gms.ini: the file cannot be read: No such file or directory"],
        )

    def test_L05_not_utf_8(self) -> None:
        """A file that is not UTF-8 is a fault with the line; one that is too large is one."""
        path = Path(self.mktemp())
        path.write_bytes(b"[server]\nusername=\xff\n")
        self.assertEqual(
            [str(fault) for fault in load(path).faults], [f"{path}:2: this line is not UTF-8"]
        )
        path.write_bytes(b"#" * (4 * 1024 * 1024 + 1))
        self.assertIn("above", str(load(path).faults[0]))

    def test_all_at_once(self) -> None:
        """Problems of every kind come together, in the file's order, the command line's last."""
        path = Path(self.mktemp())
        path.write_text(
            "[http]\nmax_body=x\nbroken\n[store]\nurl=redis:\n[service.a]\n", encoding="utf-8"
        )
        faults = load(path, ["http/max_parts=y"]).faults
        self.assertEqual([fault.line for fault in faults], [2, 3, 5, 6, 0])
        self.assertTrue(all(fault.file in (str(path), "--set") for fault in faults))

    def test_packaged_file(self) -> None:
        """The packaged file is found, and is without any problem."""
        result = load(default_path())
        self.assertEqual((*result.faults, *result.warnings), ())
        configuration = result.configuration
        self.assertEqual(
            set(configuration.services),
            {
                *("request-interaction", "request-access", "match-interaction"),
                *("request-chat", "request-chat-delay"),
                *("request-inbound-immediate", "request-inbound-delay", "request-inbound-poll"),
                *("request-inbound-delay-location", "request-outbound-immediate"),
                *("request-outbound-delay", "request-outbound-poll"),
                *("request-chat-poll", "advanced-chat-poll"),
            },
        )
        self.assertGreaterEqual(len(configuration.resource_groups["DNIS"].numbers), 2)

"""What one option's type cannot say: URLs, addresses, and what must fit together.

PURE.  Knows: forms of values, which options belong together.  Does not know: files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_network
from urllib.parse import urlsplit

from gms_twisted.config.options import (
    MAX_NODE_ID,
    MAX_WORKERS,
    NODES_EACH,
    Configuration,
    ContactCentreOptions,
)
from gms_twisted.config.reading import Problems
from gms_twisted.config.text import Section
from gms_twisted.domain.redis_url import is_redis, parse_redis_url

_ORIGIN = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?/?")
_REACHED = re.compile(r"[^\s\[\]]+:[1-9][0-9]{0,4}")
_CHAT_SERVER = re.compile(r"[^=\s]+=(\[[0-9A-Fa-f:.]+\]|[^:\s]+):[0-9]{1,5}(;tls)?")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PREFIXES = re.compile(r"[0-9]{1,9}(-[0-9]{1,9})?(\s*,\s*[0-9]{1,9}(-[0-9]{1,9})?)*")
_DEFAULT_CODE_LENGTH = 6
_MIN_SECRET_BYTES = 32
_MAX_GROUP_NAME = 128
_MAX_PORT = 65535

Check = Callable[[str], str]
"""Takes a value that is not empty; returns what is wrong with it, or ``""``."""


def check_configuration(
    configuration: Configuration, sections: Mapping[str, Section], problems: Problems
) -> None:
    """Check a configuration as a whole.

    :param sections: what the file has, for the lines of problems.
    """
    checker = _Checker(sections, problems)
    _check_forms(configuration, checker)
    _check_server(configuration, checker)
    _check_workers(configuration, checker)
    _check_bayeux(configuration, checker)
    _check_services(configuration, checker)
    _check_groups(configuration, checker)
    _check_queues(configuration, checker)


class _Checker:
    """Reports where an option stands, or where it would."""

    def __init__(self, sections: Mapping[str, Section], problems: Problems) -> None:
        self._sections = sections
        self._problems = problems

    def fault(self, section: str, option: str, sentence: str) -> None:
        self._problems.fault(self._place(section), option, sentence)

    def warn(self, section: str, option: str, sentence: str) -> None:
        self._problems.warn(self._place(section), option, sentence)

    def each(self, section: str, option: str, values: Iterable[str], check: Check) -> None:
        """Fault every value that is not empty and not in order."""
        for value in values:
            if value and (sentence := check(value)):
                self.fault(section, option, f"{value!r} {sentence}")

    def service_fault(self, name: str, option: str, sentence: str) -> None:
        """Fault an option of a service, which has two spellings, as has the section."""
        place = self._sections.get(f"services.{name}") or self._place(f"service.{name}")
        written = option if option in place.entries else option.removeprefix("_")
        self._problems.fault(place, written, sentence)

    def _place(self, section: str) -> Section:
        return self._sections.get(section, Section(section, "", 0))


def _check_forms(configuration: Configuration, checker: _Checker) -> None:
    server, chat = configuration.server, configuration.chat
    checker.each("server", "external_url_base", [server.external_url_base], _not_url_base)
    checker.each("server", "trusted_proxies", server.trusted_proxies, _not_network)
    checker.each("server", "internal_allow", server.internal_allow, _not_network)
    checker.each("server", "allowed_origins", server.allowed_origins, _not_origin)
    checker.each("server", "_ors", server.ors, _not_url)
    checker.each("server", "base_path_aliases", server.base_path_aliases, _not_path)
    checker.each("server", "listen", server.listen, _not_endpoint)
    checker.each("server", "default_region", [server.default_region], _not_region)
    checker.each("server", "access_code_prefix", [server.access_code_prefix], _not_prefixes)
    checker.each("limits", "exempt", configuration.limits.exempt, _not_network)
    checker.each("cluster", "reached_at", [configuration.cluster.reached_at], _not_reached)
    checker.each("store", "url", [configuration.store.url or " "], _not_store)
    checker.each(
        "chat", "chat_load_balancer_url_path", [chat.chat_load_balancer_url_path], _not_page
    )
    checker.each("chat", "default_chat_endpoint", [chat.default_chat_endpoint], _not_queue)
    checker.each("chat", "chat_server", chat.chat_server, _not_chat_server)
    checker.each("chat", "canned", chat.canned, _not_canned)
    checker.each("chat-server", "queues", configuration.chat_server.queues, _not_queue)
    _check_centre(configuration.contact_centre, checker)
    checker.each("bayeux", "channels", configuration.bayeux.channels, _not_channel)
    cookie = configuration.bayeux.browser_cookie_name or " "
    checker.each("bayeux", "browserCookieName", [cookie], _not_token)
    callback = configuration.bayeux.callback_parameter or " "
    checker.each("bayeux", "callbackParameter", [callback], _not_token)


def _check_centre(centre: ContactCentreOptions, checker: _Checker) -> None:
    checker.each("contact-centre", "groups", centre.groups, _not_group)
    if not centre.groups:
        checker.fault("contact-centre", "groups", "there is no group for calls to go to")
    elif centre.default_group and centre.default_group not in centre.groups:
        sentence = f"there is no group {centre.default_group!r}; see contact-centre/groups"
        checker.fault("contact-centre", "default_group", sentence)


def _check_server(configuration: Configuration, checker: _Checker) -> None:
    server = configuration.server
    if bool(server.username) != bool(server.password):
        option = "username" if server.username else "password"
        checker.fault("server", option, "username and password stand together or not at all")
    if server.identity_mode == "token" and not (server.identity_secret or server.identity_key):
        sentence = "mode token needs server/identity_secret or server/identity_key"
        checker.fault("server", "identity_mode", sentence)
    if 0 < len(server.identity_secret.encode()) < _MIN_SECRET_BYTES:
        sentence = f"shorter than the {_MIN_SECRET_BYTES} bytes that HS256 asks for"
        checker.warn("server", "identity_secret", sentence)
    if server.identity_mode == "trusted-proxy" and not server.trusted_proxies:
        sentence = "no proxy is trusted, so gms_user counts from nobody; see trusted_proxies"
        checker.warn("server", "identity_mode", sentence)
    for prefix in re.findall("[0-9]+", server.access_code_prefix):
        if len(prefix) >= _DEFAULT_CODE_LENGTH:
            sentence = f"{prefix} leaves no digit of a code of {_DEFAULT_CODE_LENGTH}"
            checker.fault("server", "access_code_prefix", sentence)


def _check_workers(configuration: Configuration, checker: _Checker) -> None:
    """See that processes that serve together can be told apart, and share their data."""
    server, cluster, chat = configuration.server, configuration.cluster, configuration.chat
    if server.workers == 1:
        node, worker = divmod(server.node_id, NODES_EACH)
        if node and 1 <= worker <= MAX_WORKERS:
            sentence = f"is also worker {worker} of a node {node} with server/workers"
            checker.warn("server", "node_id", sentence)
        return
    if not is_redis(configuration.store.url):
        sentence = "more than one worker needs a Redis: set store/url to redis://HOST"
        checker.fault("server", "workers", sentence)
    most = (MAX_NODE_ID - server.workers) // NODES_EACH
    if server.node_id > most:
        checker.fault("server", "node_id", f"with this many workers it is at most {most}")
    if cluster.port and cluster.port + server.workers - 1 > _MAX_PORT:
        sentence = f"{server.workers} workers need as many ports from this one on"
        checker.fault("cluster", "port", sentence)
    for option, port in (("flex_port", chat.flex_port), ("agent_port", chat.agent_port)):
        if port:
            sentence = "each worker has a chat server with ports of its own: leave it at 0"
            checker.fault("chat", option, sentence)


def _check_bayeux(configuration: Configuration, checker: _Checker) -> None:
    bayeux = configuration.bayeux
    websocket = bayeux.at("ws")
    if websocket.ws_idle_timeout_s <= websocket.timeout_s + websocket.interval_s:
        sentence = "not above timeout + interval, so sockets close while a connect is held"
        checker.warn("bayeux", "ws.idleTimeout", sentence)
    if not bayeux.allowed_transports:
        checker.fault("bayeux", "allowedTransports", "no transport is left")


def _check_services(configuration: Configuration, checker: _Checker) -> None:
    groups = configuration.resource_groups
    prefixes = re.findall("[0-9]+", configuration.server.access_code_prefix)
    for name, service in configuration.services.items():
        group = service.values.get("_resource_group", "")
        if group and group not in groups:
            sentence = f"there is no section resource.{group}"
            checker.service_fault(name, "_resource_group", sentence)
        length = service.values.get("_access_code_length", "")
        if length.isdecimal() and any(len(prefix) >= int(length) for prefix in prefixes):
            sentence = f"server/access_code_prefix leaves no digit of a code of {length}"
            checker.service_fault(name, "_access_code_length", sentence)


def _check_groups(configuration: Configuration, checker: _Checker) -> None:
    """See that what one group locks is given out by no other without a lock."""
    locked: dict[str, str] = {}
    for name, group in configuration.resource_groups.items():
        if group.allocation_strategy in ("LOCAL", "CLUSTER"):
            locked.update(dict.fromkeys(group.numbers.values(), name))
    for name, group in configuration.resource_groups.items():
        unlocked = dict.fromkeys(group.backup_resource, "_backup_resource")
        if group.allocation_strategy not in ("LOCAL", "CLUSTER"):
            unlocked |= {number: label for label, number in group.numbers.items()}
        for number, label in unlocked.items():
            if number in locked:
                sentence = f"resource.{locked[number]} locks this number, here it is not locked"
                checker.warn(f"resource.{name}", label, sentence)


def _check_queues(configuration: Configuration, checker: _Checker) -> None:
    """See that chats enter queues that there are; the queues of others are not known here."""
    chat, queues = configuration.chat, configuration.chat_server.queues
    elsewhere = bool(chat.chat_server) or "://" in chat.chat_load_balancer_url_path
    built_in = chat.embedded is not False and not elsewhere
    missing = "the built-in chat server has no queue {!r}; see chat-server/queues"
    default = chat.default_chat_endpoint
    if built_in and default not in queues and not _not_queue(default):
        checker.fault("chat", "default_chat_endpoint", missing.format(default))
    for name, service in configuration.services.items():
        queue = service.values.get("_chat_endpoint", "")
        if queue and (sentence := _not_queue(queue)):
            checker.service_fault(name, "_chat_endpoint", f"{queue!r} {sentence}")
        elif queue and built_in and queue not in queues:
            checker.service_fault(name, "_chat_endpoint", missing.format(queue))


def _not_url_base(text: str) -> str:
    if _not_url(text):
        return "is not a URL with http:// or https://"
    return "" if text.endswith("/") else f"must end in /: {text}/"


def _not_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        valid = False
    return "" if valid and not re.search(r"\s", text) else "is not a URL"


def _not_network(text: str) -> str:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return "is not an address or a network"
    return ""


def _not_origin(text: str) -> str:
    if _ORIGIN.fullmatch(text):
        return ""
    return "is not an origin like https://www.example.com (there is no * and no null)"


def _not_path(text: str) -> str:
    return "" if text.startswith("/") and text.endswith("/") else "does not begin and end in /"


def _not_endpoint(text: str) -> str:
    kind, colon, rest = text.partition(":")
    valid = kind and colon and rest and not re.search(r"[\s/]", kind)
    return "" if valid else "is not an endpoint like tcp:8080:interface=127.0.0.1"


def _not_region(text: str) -> str:
    return "" if re.fullmatch("[A-Z]{2}", text) else "is not a country like US"


def _not_prefixes(text: str) -> str:
    return "" if _PREFIXES.fullmatch(text) else "is not like 9, or 455,466, or 7-9"


def _not_store(text: str) -> str:
    if is_redis(text):
        try:
            parse_redis_url(text)
        except ValueError as exc:
            return str(exc)
        return ""
    known = text.startswith(("sqlite:", "memory:"))
    return "" if known else "is not sqlite:[PATH], redis://HOST or memory:"


def _not_page(text: str) -> str:
    if text.startswith("/") or not _not_url(text):
        return ""
    return "is not a path that begins with / nor a URL"


def _not_queue(text: str) -> str:
    tenant, colon, endpoint = text.partition(":")
    return "" if tenant and colon and endpoint else "is not TENANT:ENDPOINT"


def _not_group(text: str) -> str:
    valid = text.isprintable() and len(text) <= _MAX_GROUP_NAME
    return "" if valid else f"is not a name of at most {_MAX_GROUP_NAME} printable characters"


def _not_reached(text: str) -> str:
    return "" if _REACHED.fullmatch(text) else "is not HOST:PORT"


def _not_chat_server(text: str) -> str:
    return "" if _CHAT_SERVER.fullmatch(text) else "is not ALIAS=HOST:PORT or ALIAS=HOST:PORT;tls"


def _not_canned(text: str) -> str:
    key, equals, answer = text.partition("=")
    return "" if key.strip() and equals and answer.strip() else "is not KEY=TEXT"


def _not_channel(text: str) -> str:
    valid = text.startswith("/") and "*" not in text and not text.startswith("/meta/")
    return "" if valid else "is not the name of one channel"


def _not_token(text: str) -> str:
    return "" if _TOKEN.fullmatch(text) else "is not a name"

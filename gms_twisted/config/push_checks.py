"""What must fit together in the sections of push: credentials, providers, URLs, hosts.

PURE.  Knows: which options belong together.  Does not know: files (``push_files.py``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network
from urllib.parse import urlsplit

from gms_twisted.config.options import Configuration
from gms_twisted.config.push_provider_options import DEBUG
from gms_twisted.config.push_reading import is_push, one_spelling
from gms_twisted.config.reading import Problems, suggestion
from gms_twisted.config.text import Section
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.domain.languages import is_language
from gms_twisted.domain.push_sections import (
    PROVIDER,
    PUSH,
    PushSection,
    is_provider_name,
    parse_push_section,
)
from gms_twisted.domain.tags import check_tag

_COMPANIONS: Mapping[str, tuple[str, ...]] = {
    "android.senderEmail": ("android.senderPassword", "android.senderAccountType"),
    "apple.auth_key": ("apple.key_id", "apple.team_id", "apple.topic"),
    "webpush.private_key": ("webpush.subject",),
}
"""What a group of credentials needs beside its key option."""

_BELONGS_TO: Mapping[str, str] = {
    "android.senderPassword": "android.senderEmail",
    "android.senderAuthToken": "android.senderEmail",
    "apple.keystorePassword": "apple.keystore",
    "apple.key_id": "apple.auth_key",
    "apple.team_id": "apple.auth_key",
    "fcm.project_id": "fcm.service_account",
    "webpush.subject": "webpush.private_key",
}
"""What counts only beside the key option of its group."""

_NEEDED: Mapping[str, tuple[str, ...]] = {
    "android": ("android.senderEmail",),
    "gcm": ("android.gcm.apiKey",),
    "ios": ("apple.keystore", "apple.auth_key"),
    "fcm": ("fcm.service_account",),
    "webpush": ("webpush.private_key",),
    "customhttp": ("customhttp.url",),
}
"""One of these is what a type needs."""

_URLS = (
    *("android.login_url", "android.send_url", "android.gcm.send_url", "fcm.send_url"),
    *("fcm.token_url", "apple.http2_url", "customhttp.url"),
)
_HOSTS = ("apple.gateway", "apple.feedback_gateway")
_APPLE_ID = re.compile(r"[A-Za-z0-9]{10}")
_SUBJECT = re.compile(r"mailto:[^\s@]+@[^\s@]+|https://\S+")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_PUSH_SERVICE = re.compile(rf"(\*\.)?{_HOST.pattern}(:[0-9]{{1,5}})?")
_PORT = re.compile(r":([0-9]{1,5})")
_PRINTABLE = re.compile(r"[\x20-\x7e]+")

Check = Callable[[str], str]
"""Takes a value that is not empty; returns what is wrong with it, or ``""``."""


def check_push(
    configuration: Configuration, sections: Mapping[str, Section], problems: Problems
) -> None:
    """Check the sections of push as a whole.

    :param sections: what the file has, for the lines of problems.
    """
    places = {name: one_spelling(section) for name, section in sections.items() if is_push(name)}
    checker = _PushChecker(configuration, places, problems)
    checker.check_general()
    checker.check_types()
    for name in configuration.push_sections:
        checker.check_credentials(name)
    checker.check_events()
    checker.check_services(sections)


class _PushChecker:
    """Reports where an option stands, or where it would."""

    def __init__(
        self, configuration: Configuration, places: Mapping[str, Section], problems: Problems
    ) -> None:
        self._configuration = configuration
        self._options = configuration.push
        self._texts = configuration.push_sections
        self._places = places
        self._problems = problems
        parsed = (parse_push_section(name) for name in self._texts)
        self._providers = {one.provider for one in parsed if one is not None and one.provider}

    def _place(self, section: str) -> Section:
        return self._places.get(section, Section(section, "", 0))

    def fault(self, section: str, option: str, sentence: str) -> None:
        self._problems.fault(self._place(section), option, sentence)

    def warn(self, section: str, option: str, sentence: str) -> None:
        self._problems.warn(self._place(section), option, sentence)

    def check_general(self) -> None:
        """Check the options of the service as a whole."""
        options = self._options
        if sentence := self._not_provider(options.default_provider):
            self.fault(PUSH, "defaultProvider", sentence)
        language = options.localization_default_language
        if language and not is_language(language):
            sentence = f"{language!r} is not a language like en_US"
            self.fault(PUSH, "localization.defaultLanguage", sentence)
        for value in options.httpcb_allow:
            if sentence := _not_target(value):
                self.fault(PUSH, "httpcb.allow", f"{value!r} {sentence}")
        for value in options.webpush_allow_hosts:
            if not _PUSH_SERVICE.fullmatch(value):
                sentence = f"{value!r} is not HOST, HOST:PORT or *.HOST"
                self.fault(PUSH, "webpush.allow_hosts", sentence)
        if not _PRINTABLE.fullmatch(options.httpcb_content_type):
            sentence = "a Content-Type is not empty and has plain characters only"
            self.fault(PUSH, "httpcb.content_type", sentence)
        if options.retry_base_s > options.retry_cap_s:
            self.warn(PUSH, "retry.base", "above retry.cap, which is used")

    def _not_provider(self, name: str) -> str:
        if not name or name in self._providers:
            return ""
        if not is_provider_name(name):
            return "no provider can be called event or have a dot in its name"
        return f"there is no section {PROVIDER}{name}{suggestion(name, self._providers)}"

    def check_types(self) -> None:
        """Warn of types that are enabled although nothing says how to deliver them."""
        credentialed = [texts for name, texts in self._texts.items() if not _is_about_events(name)]
        by_fcm = any(
            texts.get(prefix + "android.transport") == "fcm"
            for texts in credentialed
            for prefix in ("", DEBUG)
        )
        for kind in self._options.push_enabled:
            needed = _NEEDED.get(kind, ())
            if by_fcm and kind in ("android", "gcm"):
                needed = (*needed, "fcm.service_account")
            if needed and not any(
                texts.get(prefix + key)
                for texts in credentialed
                for key in needed
                for prefix in ("", DEBUG)
            ):
                sentence = f"{kind} is enabled, but no section has {' or '.join(needed)}"
                self.warn(PUSH, "pushEnabled", sentence)

    def check_credentials(self, section: str) -> None:
        """Check the credentials of ``push`` or of a provider."""
        if _is_about_events(section):
            return
        texts = self._texts[section]
        for prefix in ("", DEBUG):
            self._check_group(section, texts, prefix)
            for option, check in _forms():
                value = texts.get(prefix + option, "")
                if value and (sentence := check(value)):
                    self.fault(section, prefix + option, f"{value!r} {sentence}")
            for option in ("apple.key_id", "apple.team_id"):
                value = texts.get(prefix + option, "")
                if value and not _APPLE_ID.fullmatch(value):
                    sentence = f"{value!r} is not 10 letters and digits, as Apple's are"
                    self.warn(section, prefix + option, sentence)
            trusting = texts.get(f"{prefix}android.ssl_trust_all", "").lower()
            if trusting in ("true", "yes", "on", "1"):
                sentence = "any certificate is believed, so anybody between can read and send"
                self.warn(section, f"{prefix}android.ssl_trust_all", sentence)

    def _check_group(self, section: str, texts: Mapping[str, str], prefix: str) -> None:
        for key, companions in _COMPANIONS.items():
            if not texts.get(prefix + key):
                continue
            if key == "android.senderEmail" and texts.get(f"{prefix}android.senderAuthToken"):
                continue
            for companion in companions:
                if not texts.get(prefix + companion):
                    sentence = f"needs {prefix}{companion} in the same section"
                    self.fault(section, prefix + key, sentence)
        for option, key in _BELONGS_TO.items():
            if texts.get(prefix + option) and not texts.get(prefix + key):
                sentence = f"counts only with {prefix}{key} in the same section"
                self.warn(section, prefix + option, sentence)

    def check_events(self) -> None:
        """Warn of event sections that no tag can lead to."""
        seen: dict[tuple[str, str], str] = {}
        for name in self._texts:
            parsed = parse_push_section(name)
            if parsed is None or not parsed.event:
                continue
            try:
                check_tag(parsed.event, allow_hyphen=self._options.tags_allow_hyphen)
            except InvalidRequest as error:
                self.warn(name, "", f"no event comes here, since no tag is like this: {error}")
            self._check_case(name, parsed, seen)

    def _check_case(self, name: str, parsed: PushSection, seen: dict[tuple[str, str], str]) -> None:
        if self._options.tag_case_sensitive:
            return
        assert parsed.event is not None
        first = seen.setdefault((parsed.provider, parsed.event.lower()), name)
        if first != name:
            self.warn(name, "", f"the same as {first} without case; this one is the stronger")

    def check_services(self, sections: Mapping[str, Section]) -> None:
        """See that services name providers that there are."""
        for name, service in self._configuration.services.items():
            provider = service.values.get("_provider_name", "")
            if sentence := self._not_provider(provider):
                named = (f"services.{name}", f"service.{name}")
                spelt = next((one for one in named if one in sections), named[1])
                place = sections.get(spelt, Section(spelt, "", 0))
                option = "_provider_name"
                written = option if option in place.entries else option[1:]
                self._problems.fault(place, written, sentence)


def _is_about_events(section: str) -> bool:
    parsed = parse_push_section(section)
    return parsed is None or parsed.event is not None


def _forms() -> Iterator[tuple[str, Check]]:
    yield from ((option, _not_url) for option in _URLS)
    yield from ((option, _not_host) for option in _HOSTS)
    yield "webpush.subject", _not_subject


def _not_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        valid = False
    if valid and not re.search(r"\s", text):
        return ""
    return "is not a URL with http:// or https://"


def _not_host(text: str) -> str:
    if _HOST.fullmatch(text):
        return ""
    try:
        ip_network(text.strip("[]"))
    except ValueError:
        return "is not the name of a host"
    return "is a network, not a host" if "/" in text else ""


def _not_subject(text: str) -> str:
    return "" if _SUBJECT.fullmatch(text) else "is not mailto:ADDRESS or https://..."


def _not_target(text: str) -> str:
    """``HOST[:PORT]``, ``ADDRESS[/BITS][:PORT]``, ``[ADDRESS6][/BITS][:PORT]``."""
    wrong = "is not HOST[:PORT] or ADDRESS/BITS[:PORT]"
    host, port = text, ""
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        bits = re.match(r"/[0-9]{1,3}", rest)
        host = address + (bits[0] if bits else "")
        port = rest[len(bits[0]) if bits else 0 :]
        if not bracket or ":" not in address:
            return wrong
    elif text.count(":") == 1:
        host, _, digits = text.partition(":")
        port = f":{digits}"
    if port:
        found = _PORT.fullmatch(port)
        if not found or not 0 < int(found[1]) < 65536:
            return wrong
    if "/" in host or ":" in host:
        try:
            ip_network(host, strict=False)
        except ValueError:
            return wrong
        return ""
    return "" if _HOST.fullmatch(host) else wrong

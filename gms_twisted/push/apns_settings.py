"""What one sender of the binary provider interface goes by, read from its sections.

An option with a twin (``debug.apple.gateway``) is read under the twin's name by the
sender of debug devices, and only there.  An option that the section of the credentials
lacks is taken from section ``push``.

Knows: options ``apple.*`` of connections.  Does not know: credentials' contents,
formatting options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gms_twisted.apns.frames import FRAMED
from gms_twisted.apns.window import MAX_KEEP
from gms_twisted.app.outgoing import Trust
from gms_twisted.push.apple_payload import Warn, warn_once

MAX_CONNECTIONS = 15
ERA_PAYLOAD = 256
"""Payload limit of commands 0 and 1."""

_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


@dataclass(frozen=True, slots=True)
class ApnsSettings:
    """One sender's settings.

    :ivar keystore: PKCS#12 file with certificate and key.
    :ivar password: of that file; ``None`` when none is configured.
    :ivar debug: for devices of the sandbox.
    :ivar idle_s: a connection unused so long is closed.
    :ivar window: how many sent notifications are kept whatever their age.
    :ivar window_s: how long one is kept at least.
    :ivar resend_on_eof: send again what may be lost when a connection ends in silence.
    :ivar command: form of notifications, 0, 1 or 2.
    :ivar max_payload: bytes.
    :ivar feedback_interval_s: between two polls; 0: never.
    """

    keystore: str
    password: str | None = field(default=None, repr=False)
    debug: bool = False
    host: str = "gateway.push.apple.com"
    port: int = 2195
    feedback_host: str = "feedback.push.apple.com"
    feedback_port: int = 2196
    trust: Trust = field(default_factory=Trust)
    connections: int = 1
    idle_s: float = 600.0
    window: int = 1000
    window_s: float = 5.0
    resend_on_eof: bool = True
    command: int = FRAMED
    max_payload: int = 2048
    feedback_interval_s: float = 3600.0


def apns_settings(
    section: Mapping[str, str],
    general: Mapping[str, str],
    *,
    debug: bool = False,
    warn: Warn = warn_once,
) -> ApnsSettings:
    """Read them.

    :param section: the section that holds the credentials.
    :param general: section ``push``.
    """
    read = _Reader(section, general, "debug." if debug else "", warn)
    command = read.number("apple.binary.command", FRAMED, 0, FRAMED)
    sandbox = "sandbox." if debug else ""
    return ApnsSettings(
        keystore=section.get(f"{read.prefix}apple.keystore", ""),
        password=section.get(f"{read.prefix}apple.keystorePassword"),
        debug=debug,
        host=read.text("apple.gateway", twin=True) or f"gateway.{sandbox}push.apple.com",
        port=read.number("apple.port", 2195, 1, 65535, twin=True),
        feedback_host=read.text("apple.feedback_gateway", twin=True)
        or f"feedback.{sandbox}push.apple.com",
        feedback_port=read.number("apple.feedback_port", 2196, 1, 65535, twin=True),
        trust=Trust(read.text("apple.ca_file")),
        connections=read.number("apple.binary.connections", 1, 1, MAX_CONNECTIONS),
        idle_s=read.number("apple.idle", 600, 1, 86_400),
        window=read.number("apple.binary.window", 1000, 1, MAX_KEEP),
        window_s=read.number("apple.binary.window_seconds", 5, 0, 3600),
        resend_on_eof=read.flag("apple.binary.resend_on_eof", default=True),
        command=command,
        max_payload=read.number(
            "apple.max_payload", 2048 if command == FRAMED else ERA_PAYLOAD, 20, 4096
        ),
        feedback_interval_s=read.number("apple.feedback.interval", 3600, 0, 30 * 86_400),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads options by type; what cannot be used is told and counts as absent."""

    section: Mapping[str, str]
    general: Mapping[str, str]
    prefix: str
    warn: Warn

    def text(self, option: str, *, twin: bool = False) -> str:
        name = self.prefix + option if twin else option
        return (self.section.get(name) or self.general.get(name, "")).strip()

    def number(self, option: str, default: int, low: int, high: int, *, twin: bool = False) -> int:
        """Read a whole number; one out of range is moved into it, with a warning."""
        text = self.text(option, twin=twin)
        if not text:
            return default
        name = self.prefix + option if twin else option
        if not (text.isascii() and text.isdigit() and len(text) <= 12):
            self.warn(name, text)
            return default
        number = int(text)
        if not low <= number <= high:
            self.warn(name, text)
        return min(max(number, low), high)

    def flag(self, option: str, *, default: bool) -> bool:
        text = self.text(option).lower()
        if text in _YES or text in _NO:
            return text in _YES
        if text:
            self.warn(option, text)
        return default

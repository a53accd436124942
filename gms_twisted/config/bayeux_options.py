"""Section ``bayeux``: the names and defaults of CometD, and what the GMS profile changes.

Knows: names, types, defaults, bounds.  Does not know: text, files, who uses what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gms_twisted.config.option import KIB, MIB, option


@dataclass(frozen=True, slots=True)
class BayeuxOptions:
    """Section ``bayeux``; defaults of the GMS profile."""

    profile: str = option(
        "gms",
        "gms or cometd: whose defaults the options of this section have.",
        words=("gms", "cometd"),
    )
    timeout_s: float = option(
        60.0, "Longest hold of a /meta/connect.", name="timeout", unit="ms", low=0
    )
    interval_s: float = option(
        0.0, "Pause that clients make between connects.", name="interval", unit="ms", low=0
    )
    max_interval_s: float = option(
        30.0,
        "How long a session lives with no connect held.",
        name="maxInterval",
        unit="ms",
        low=100,
    )
    max_processing_s: float | None = option(
        None,
        "Limit for a session stuck in processing; none: off.",
        name="maxProcessing",
        unit="ms",
        none=True,
    )
    max_lazy_timeout_s: float = option(
        5.0, "Longest delay of a lazy message.", name="maxLazyTimeout", unit="ms", low=1
    )
    meta_connect_deliver_only: bool = option(
        False, "Deliver with connect replies only.", name="metaConnectDeliverOnly"
    )
    allow_message_delivery_during_handshake: bool = option(
        False, "Deliver with the handshake reply.", name="allowMessageDeliveryDuringHandshake"
    )
    handshake_reconnect: bool = option(False, "Advise maxInterval.", name="handshakeReconnect")
    broadcast_to_publisher: bool = option(
        True, "Publishers get their own messages.", name="broadcastToPublisher"
    )
    validate_message_fields: bool = option(
        True, "Check ids and channel names.", name="validateMessageFields"
    )
    sweep_period_s: float = option(
        0.997, "Time between sweeps.", name="sweepPeriod", unit="ms", low=10
    )
    allowed_transports: tuple[str, ...] = option(
        ("websocket", "callback-polling", "long-polling"),
        "Enabled transports, in the order they are told to clients.",
        name="allowedTransports",
        words=("websocket", "callback-polling", "long-polling"),
    )
    max_sessions_per_browser: int = option(
        1,
        "Held connects of one browser; negative: any number.",
        name="maxSessionsPerBrowser",
        low=-1,
    )
    multi_session_interval_s: float = option(
        2.0,
        "Interval advised to a browser's further sessions.",
        name="multiSessionInterval",
        unit="ms",
    )
    trust_client_session: bool = option(
        True,
        "The clientId alone is enough where no identity is present.",
        name="trustClientSession",
    )
    duplicate_meta_connect_http_response_code: int = option(
        500,
        "Status of a connect displaced by a newer one.",
        name="duplicateMetaConnectHttpResponseCode",
        low=400,
        high=599,
    )
    browser_cookie_name: str = option(
        "BAYEUX_BROWSER", "Name of the cookie.", name="browserCookieName"
    )
    browser_cookie_path: str = option("/", "Its path.", name="browserCookiePath")
    browser_cookie_domain: str = option("", "Its domain.", name="browserCookieDomain")
    browser_cookie_max_age_s: int | None = option(
        None,
        "Its life; none: the browser's session.",
        name="browserCookieMaxAge",
        none=True,
        unit="s",
    )
    browser_cookie_http_only: bool = option(
        True, "Hide it from scripts.", name="browserCookieHttpOnly"
    )
    browser_cookie_secure: bool = option(
        False, "Mark it Secure on secure requests.", name="browserCookieSecure"
    )
    browser_cookie_same_site: str = option(
        "Lax", "Its SameSite.", name="browserCookieSameSite", words=("Strict", "Lax", "None", "")
    )
    browser_cookie_partitioned: bool = option(
        False, "Mark it Partitioned.", name="browserCookiePartitioned"
    )
    callback_parameter: str = option(
        "jsonp", "Query parameter with the callback's name.", name="callbackParameter"
    )
    callback_parameter_max_length: int = option(
        64, "Longest callback name.", name="callbackParameterMaxLength", low=1, high=1024
    )
    ws_protocol: str = option(
        "", "Subprotocol that websocket clients must offer.", name="ws.protocol"
    )
    ws_idle_timeout_s: float = option(
        300.0, "A socket silent so long is closed.", name="ws.idleTimeout", unit="ms", low=1000
    )
    ws_ping_interval_s: float = option(
        25.0, "Time between pings on a quiet socket.", name="ws.pingInterval", unit="s", low=1
    )
    ws_require_handshake_per_connection: bool = option(
        False, "A new socket needs a handshake.", name="ws.requireHandshakePerConnection"
    )
    ws_messages_per_frame: int = option(
        -1, "Deliveries in one frame; -1: all that wait.", name="ws.messagesPerFrame", low=-1
    )
    ws_permessage_deflate: bool = option(False, "Offer compression.", name="ws.permessageDeflate")
    ws_max_message: int = option(
        64 * KIB,
        "Largest websocket message, inflated.",
        name="ws.maxMessageSize",
        unit="bytes",
        low=1 * KIB,
    )
    ws_max_fragments: int = option(
        100, "Most fragments of a message.", name="ws.maxFragments", low=1
    )
    ws_max_control_per_s: int = option(
        20, "Most control frames a second.", name="ws.maxControlFrames", low=1
    )
    client_channels: str = option(
        "",
        "open, listed, or empty: open while every listener is on loopback.",
        words=("", "open", "listed"),
    )
    channels: tuple[str, ...] = option(
        ("/_genesys",), "With listed: what clients may subscribe and publish to."
    )
    advice_in_handshake: bool = option(
        False, "Advise in the handshake reply.", name="adviceInHandshake"
    )
    announce_ack: bool = option(True, "Say ext.ack in every handshake reply.", name="announceAck")
    strict_negotiation: bool = option(
        True, "Refuse a handshake without a common transport.", name="strictNegotiation"
    )
    legacy_error_text: bool = option(
        False, "Error texts of the older generation.", name="legacyErrorText"
    )
    require_user: bool = option(
        False, "Refuse /_genesys to sessions without gms_user.", name="requireUser"
    )
    timestamp: bool = option(False, "Add a timestamp to outgoing messages.")
    max_inactivity_s: float | None = option(
        None, "Disconnect inactive sessions; none: off.", name="maxInactivity", unit="ms", none=True
    )
    activity_mode: str = option(
        "client", "What counts as activity.", name="activityMode", words=("client", "client-server")
    )
    hosts: tuple[str, ...] = option((), "Alternative hosts, advised for load shedding.")
    max_message_size: int = option(
        1 * MIB, "Largest HTTP body.", name="maxMessageSize", unit="bytes", low=1 * KIB
    )
    max_messages: int = option(1000, "Most messages of a payload.", name="maxMessages", low=1)
    max_subscription_names: int = option(
        256, "Most names in a subscribe.", name="maxSubscriptionNames", low=1
    )
    max_subscriptions: int = option(
        1024, "Most subscriptions of a session (with listed: 20).", name="maxSubscriptions", low=1
    )
    max_channel_name: int = option(
        512, "Longest channel name.", name="maxChannelName", unit="bytes", low=16
    )
    max_queue: int = option(10_000, "Most queued messages of a session.", name="maxQueue", low=1)
    max_queue_bytes: int = option(
        4 * MIB, "Most queued bytes of a session.", name="maxQueueBytes", unit="bytes", low=1 * KIB
    )
    max_queue_policy: str = option(
        "disconnect",
        "What happens at that bound.",
        name="maxQueuePolicy",
        words=("disconnect", "drop-oldest", "drop-newest"),
    )
    max_queued_bytes_total: int = option(
        512 * MIB,
        "Most queued bytes of all sessions.",
        name="maxQueuedBytesTotal",
        unit="bytes",
        low=1 * MIB,
    )
    max_sessions: int = option(100_000, "Most sessions.", name="maxSessions", low=1)
    max_sessions_per_user: int = option(
        50, "Most sessions of a user.", name="maxSessionsPerUser", low=1
    )
    max_sessions_per_address: int = option(
        1000, "Most sessions of an address.", name="maxSessionsPerAddress", low=1
    )
    handshakes_per_s: float = option(
        100.0, "Handshakes a second of an address.", name="handshakesPerSecond", low=0.1
    )
    handshakes_burst: int = option(200, "That many at once.", name="handshakesBurst", low=1)
    publishes_per_s: float | None = option(
        None,
        "Publishes a second of a session; none: any number.",
        name="publishesPerSecond",
        none=True,
    )
    specific: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """What is different for one transport: values by attribute, by prefix."""

    def at(self, *prefixes: str) -> BayeuxOptions:
        """These options as they are for one transport.

        :param prefixes: of option names, the least specific first:
            ``at("long-polling", "long-polling.jsonp")``, ``at("ws")``.
        """
        changed: dict[str, Any] = {}
        for prefix in prefixes:
            changed |= self.specific.get(prefix, {})
        return replace(self, **changed) if changed else self


TRANSPORT_PREFIXES = ("long-polling", "long-polling.json", "long-polling.jsonp", "ws")

TRANSPORT_OPTIONS = (
    "timeout",
    "interval",
    "maxInterval",
    "maxLazyTimeout",
    "metaConnectDeliverOnly",
    "allowMessageDeliveryDuringHandshake",
    "handshakeReconnect",
)
"""Options of section ``bayeux`` that may be set for one transport: ``ws.timeout``."""

COMETD_DEFAULTS: Mapping[str, Any] = {
    "timeout_s": 30.0,
    "max_interval_s": 10.0,
    "allowed_transports": ("websocket", "long-polling", "callback-polling"),
    "trust_client_session": False,
    "ws_messages_per_frame": 1,
    "client_channels": "open",
    "advice_in_handshake": True,
    "announce_ack": False,
}
"""Defaults of section ``bayeux`` with ``profile = cometd``, by attribute."""

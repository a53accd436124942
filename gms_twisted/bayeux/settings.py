"""What the core can be told; the defaults are those of the GMS profile.

Names and meanings are those of the options in section ``bayeux``; durations are
seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Settings:
    """The options that the core looks at.

    The server has one of these, and each carrier one that may differ in times and in
    how messages are delivered; a session lives by that of its carrier.
    """

    timeout_s: float = 60.0
    interval_s: float = 0.0
    max_interval_s: float = 30.0
    max_processing_s: float | None = None
    max_lazy_timeout_s: float = 5.0
    meta_connect_deliver_only: bool = False
    allow_message_delivery_during_handshake: bool = False
    handshake_reconnect: bool = False
    broadcast_to_publisher: bool = True
    validate_message_fields: bool = True
    allowed_transports: tuple[str, ...] = ("websocket", "callback-polling", "long-polling")
    max_sessions_per_browser: int = 1
    multi_session_interval_s: float = 2.0
    trust_client_session: bool = True
    advice_in_handshake: bool = False
    announce_ack: bool = True
    strict_negotiation: bool = True
    legacy_error_text: bool = False
    timestamp: bool = False
    max_inactivity_s: float | None = None
    activity_mode: str = "client"
    hosts: tuple[str, ...] = ()
    max_messages: int = 1000
    max_subscription_names: int = 256
    max_subscriptions: int = 1024
    max_channel_name: int = 512
    max_queue: int = 10_000
    max_queue_bytes: int = 4 * MIB
    max_queue_policy: str = "disconnect"
    max_queued_bytes_total: int = 512 * MIB
    max_sessions: int = 100_000
    max_sessions_per_user: int = 50
    max_sessions_per_address: int = 1000
    publishes_per_s: float | None = None

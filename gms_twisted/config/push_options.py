"""Section ``push``: what the notification service as a whole goes by.

Credentials and formatting options of this section and of ``push.provider.*`` stay
texts (:attr:`gms_twisted.config.options.Configuration.push_sections`), because one
event's options are merged from several sections by name.

Spec: Push Notification Service, "push Section".
"""

from __future__ import annotations

from dataclasses import dataclass

from gms_twisted.config.option import MIB, option


@dataclass(frozen=True, slots=True)
class PushOptions:
    """Section ``push``, its general options."""

    push_enabled: tuple[str, ...] = option(
        ("comet", "httpcb", "orscb"),
        "Notification types that may be used: android, gcm, ios, httpcb, orscb, comet, "
        "customhttp, fcm, webpush; other words are ignored.",
        name="pushEnabled",
    )
    default_subscription_expiration_s: float = option(
        30.0,
        "Life of a subscription without expire; unusable values mean 30.",
        name="defaultSubscriptionExpiration",
        unit="s",
        low=30,
    )
    default_provider: str = option(
        "", "Provider of subscriptions that name none; empty: this section.", name="defaultProvider"
    )
    localization_file: str = option(
        "",
        "The localization file (XML); read again when it changes.",
        name="localizationFileLocation",
    )
    localization_default_language: str = option(
        "",
        "Language of texts that have not the one asked for.",
        name="localization.defaultLanguage",
    )
    tag_case_sensitive: bool = option(True, "Compare tags and filters with case.")
    tags_allow_hyphen: bool = option(
        False, "Allow - in tags and filters.", name="tags.allow_hyphen"
    )
    max_body: int = option(1 * MIB, "Largest body of a request.", unit="bytes", low=1024)
    max_subscriptions: int = option(1_000_000, "Most live subscriptions.", low=1)
    max_subscriptions_per_subscriber: int = option(
        100, "Most live subscriptions of one subscriber.", low=1
    )
    max_matches: int = option(10_000, "Most subscriptions that one event goes to.", low=1)
    publish_timeout_s: float = option(
        5.0, "How long a publish waits for its deliveries.", name="publish.timeout", unit="s", low=0
    )
    publish_undecided: str = option(
        "fail",
        "What a publish answers for deliveries still under way then: fail (503), accept (200).",
        name="publish.undecided",
        words=("fail", "accept"),
    )
    publish_report: bool = option(
        False, "Answer a publish with its results as JSON.", name="publish.report"
    )
    delivery_record_ttl_s: float = option(
        86_400.0, "How long results can be asked for.", name="delivery_record_ttl", unit="s", low=60
    )
    retry_background: bool = option(
        False,
        "Try failed deliveries again after the publish was answered, also after a restart.",
        name="retry.background",
    )
    retry_base_s: float = option(
        1.0, "Where the back-off starts from.", name="retry.base", unit="s", low=0.01
    )
    retry_cap_s: float = option(
        60.0, "Longest pause of the back-off.", name="retry.cap", unit="s", low=0.01
    )
    retry_attempts: int = option(5, "Most attempts for one delivery.", name="retry.attempts", low=1)
    retry_for_s: float = option(
        3600.0, "No attempt is made after that time.", name="retry.for", unit="s", low=1
    )
    strict_order: bool = option(
        False, "Hold a device's later events behind one that is tried again."
    )
    queue_max: int = option(
        10_000, "Most deliveries waiting for one gateway.", name="queue.max", low=1
    )
    circuit_failures: int = option(
        5, "So many failed connections in a row stop a sender.", name="circuit.failures", low=1
    )
    circuit_open_s: float = option(
        30.0, "For how long; then one delivery tries.", name="circuit.open", unit="s", low=0.1
    )
    shutdown_timeout_s: float = option(
        30.0, "Time for deliveries under way at the end.", name="shutdown_timeout", unit="s", low=0
    )
    filtering_chat_events: tuple[str, ...] = option(
        ("Notice.TypingStarted", "Notice.TypingStopped"),
        "Chat events that never cause a push to a client in the background.",
    )
    comet_keep_s: float = option(
        60.0,
        "How long events for a user who is away are kept; 0: not at all.",
        name="comet.keep_s",
        unit="s",
        low=0,
        reload=False,
    )
    comet_keep_max: int = option(
        100,
        "How many of them are kept for one user; the oldest goes first.",
        name="comet.keep_max",
        low=1,
        reload=False,
    )
    httpcb_allow: tuple[str, ...] = option(
        (),
        "Hosts and networks, HOST[:PORT] or ADDRESS/BITS[:PORT], that callbacks may reach "
        "although private or on another port.",
        name="httpcb.allow",
    )
    httpcb_connect_timeout_s: float = option(
        2.0, "Time to connect for a callback.", name="httpcb.connect_timeout", unit="s", low=0.1
    )
    httpcb_timeout_s: float = option(
        5.0, "Time for a callback in all.", name="httpcb.timeout", unit="s", low=0.1
    )
    httpcb_content_type: str = option(
        "text/plain; charset=utf-8", "Content-Type of callbacks.", name="httpcb.content_type"
    )
    orscb_max_depth: int = option(
        8, "How many events in a row may lead to each other.", name="orscb.max_depth", low=1
    )
    webpush_allow_hosts: tuple[str, ...] = option(
        (),
        "Browsers' push services, HOST, HOST:PORT or *.HOST; empty: all public ones.",
        name="webpush.allow_hosts",
    )

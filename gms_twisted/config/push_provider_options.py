"""Options of section ``push`` and its relatives that stay texts: credentials, formatting.

The classes say which there are, of what type, with which default.  Nobody makes an
instance: one event's options are merged from several sections by name, and credentials
are looked up in two (:attr:`gms_twisted.config.options.Configuration.push_sections`).

Spec: Push Notification Service, "Providers", "Support of OS specific capabilities".

PURE.  Knows: names, types, defaults.  Does not know: how sections are merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gms_twisted.config.option import option

DEBUG = "debug."
"""Begins the twin of a credential option that counts for debug subscriptions."""


@dataclass(frozen=True, slots=True)
class CredentialOptions:
    """Who we are at a gateway and where it is: in ``push`` and ``push.provider.NAME``."""

    android_sender_email: str = option(
        "", "C2DM (type android): the sender's account.", name="android.senderEmail"
    )
    android_sender_password: str = option(
        "", "C2DM: its password.", name="android.senderPassword", secret=True
    )
    android_sender_account_type: str = option(
        "",
        "C2DM: kind of account.",
        name="android.senderAccountType",
        words=("", "GOOGLE", "HOSTED", "HOSTED_OR_GOOGLE"),
    )
    android_source: str = option(
        "", "C2DM: name of the application, COMPANY-APP-VERSION.", name="android.source"
    )
    android_sender_auth_token: str = option(
        "",
        "C2DM: a token to use instead of logging in.",
        name="android.senderAuthToken",
        secret=True,
    )
    android_login_url: str = option(
        "https://www.google.com/accounts/ClientLogin",
        "C2DM: where to log in.",
        name="android.login_url",
    )
    android_send_url: str = option(
        "https://android.apis.google.com/c2dm/send",
        "C2DM: where to send.",
        name="android.send_url",
    )
    android_unavailability_retry_timeout: int = option(
        120,
        "C2DM: pause after a 503 that does not say how long.",
        name="android.unavailability_retry_timeout",
        unit="s",
        low=1,
    )
    android_gcm_api_key: str = option(
        "", "GCM (type gcm): the key.", name="android.gcm.apiKey", secret=True
    )
    android_gcm_send_url: str = option(
        "https://android.googleapis.com/gcm/send",
        "GCM: where to send.",
        name="android.gcm.send_url",
    )
    android_gcm_retry_number: int = option(
        2, "GCM: attempts while it is unavailable.", name="android.gcm.retryNumber", low=1, high=20
    )
    android_ssl_trust_all: bool = option(
        False,
        "C2DM and GCM: believe any certificate; strongly discouraged.",
        name="android.ssl_trust_all",
    )
    android_ca_file: str = option(
        "", "C2DM and GCM: more trust anchors, PEM.", name="android.ca_file"
    )
    android_transport: str = option(
        "native",
        "How types android and gcm are delivered; fcm: by FCM HTTP v1.",
        name="android.transport",
        words=("native", "fcm"),
    )
    fcm_service_account: str = option(
        "", "FCM (type fcm): file of the service account, JSON.", name="fcm.service_account"
    )
    fcm_project_id: str = option(
        "", "FCM: project; empty: that of the file.", name="fcm.project_id"
    )
    fcm_send_url: str = option(
        "https://fcm.googleapis.com/v1/projects/{project_id}/messages:send",
        "FCM: where to send; {project_id} is replaced.",
        name="fcm.send_url",
    )
    fcm_token_url: str = option(
        "", "FCM: where tokens come from; empty: token_uri of the file.", name="fcm.token_url"
    )
    fcm_ca_file: str = option("", "FCM: more trust anchors, PEM.", name="fcm.ca_file")
    apple_transport: str = option(
        "",
        "How type ios is delivered; empty: http2 with apple.auth_key, else binary.",
        name="apple.transport",
        words=("", "binary", "http2"),
    )
    apple_keystore: str = option(
        "", "APNs: PKCS#12 file with our certificate and key.", name="apple.keystore"
    )
    apple_keystore_password: str = option(
        "", "APNs: its password.", name="apple.keystorePassword", secret=True
    )
    apple_auth_key: str = option(
        "", "APNs over HTTP/2: file of the signing key (PEM, P-256).", name="apple.auth_key"
    )
    apple_key_id: str = option("", "APNs: that key's id, 10 characters.", name="apple.key_id")
    apple_team_id: str = option("", "APNs: the team's id, 10 characters.", name="apple.team_id")
    apple_topic: str = option(
        "", "APNs: bundle id of the app; empty: that of the certificate.", name="apple.topic"
    )
    apple_http2_url: str = option(
        "https://api.push.apple.com",
        "APNs over HTTP/2: where to send (debug: api.sandbox.push.apple.com).",
        name="apple.http2_url",
    )
    apple_gateway: str = option(
        "gateway.push.apple.com",
        "APNs binary: host (debug: gateway.sandbox.push.apple.com).",
        name="apple.gateway",
    )
    apple_port: int = option(2195, "APNs binary: port.", name="apple.port", low=1, high=65535)
    apple_feedback_gateway: str = option(
        "feedback.push.apple.com",
        "APNs binary: host of the feedback service (debug: feedback.sandbox.push.apple.com).",
        name="apple.feedback_gateway",
    )
    apple_feedback_port: int = option(
        2196, "APNs binary: its port.", name="apple.feedback_port", low=1, high=65535
    )
    apple_feedback_interval: int = option(
        3600,
        "APNs binary: time between questions to it; 0: never.",
        name="apple.feedback.interval",
        unit="s",
        low=0,
    )
    apple_binary_command: int = option(
        2,
        "APNs binary: 0 simple, 1 enhanced, 2 framed notifications.",
        name="apple.binary.command",
        low=0,
        high=2,
    )
    apple_binary_connections: int = option(
        1, "APNs binary: most connections.", name="apple.binary.connections", low=1, high=15
    )
    apple_binary_window: int = option(
        1000,
        "APNs binary: notifications remembered until they count as taken.",
        name="apple.binary.window",
        low=1,
        high=20_000,
    )
    apple_binary_window_seconds: int = option(
        5,
        "APNs binary: for how long at least.",
        name="apple.binary.window_seconds",
        unit="s",
        low=1,
        high=600,
    )
    apple_binary_resend_on_eof: bool = option(
        True,
        "APNs binary: send the last second again when a connection ends without a word.",
        name="apple.binary.resend_on_eof",
    )
    apple_idle: int = option(
        600, "APNs binary: an unused connection is closed.", name="apple.idle", unit="s", low=1
    )
    apple_max_payload: int | None = option(
        None,
        "APNs: largest payload; none: the service's own limit.",
        name="apple.max_payload",
        unit="bytes",
        low=32,
        high=5120,
        none=True,
    )
    apple_ca_file: str = option("", "APNs: more trust anchors, PEM.", name="apple.ca_file")
    webpush_private_key: str = option(
        "", "Web Push (type webpush): VAPID key file (PEM, P-256).", name="webpush.private_key"
    )
    webpush_subject: str = option(
        "", "Web Push: whom to ask about us, mailto: or https:.", name="webpush.subject"
    )
    webpush_ca_file: str = option("", "Web Push: more trust anchors, PEM.", name="webpush.ca_file")
    customhttp_url: str = option(
        "", "Type customhttp: where deviceId and message are posted as JSON.", name="customhttp.url"
    )


@dataclass(frozen=True, slots=True)
class FormattingOptions:
    """What goes along with a message: in all sections of push.

    Unset, or set to nothing, is not sent; defaults apply where the gateway wants a value.
    """

    android_collapse_key: str = option(
        "", "Messages with one key replace each other.", name="android.collapse_key"
    )
    android_delay_while_idle: bool | None = option(
        None, "Wait until the device is active.", name="android.delayWhileIdle", none=True
    )
    android_time_to_live: int | None = option(
        None,
        "How long to keep it for the device.",
        name="android.timeToLive",
        unit="s",
        low=0,
        high=2_419_200,
        none=True,
    )
    android_priority: str = option(
        "", "Priority.", name="android.priority", words=("", "normal", "high")
    )
    android_restricted_package_name: str = option(
        "", "Only for the app of this package.", name="android.restrictedPackageName"
    )
    android_dry_run: bool | None = option(
        None, "Try without delivering.", name="android.dryRun", none=True
    )
    apple_alert_message: str = option(
        "", "The alert; ${message} stands for the message.", name="apple.alertMessage"
    )
    apple_alert_body: str = option("", "The alert's body.", name="apple.alertMessage.body")
    apple_alert_action_loc_key: str = option(
        "", "Key of the button's text.", name="apple.alertMessage.action-loc-key"
    )
    apple_alert_loc_key: str = option(
        "", "Key of the alert's text.", name="apple.alertMessage.loc-key"
    )
    apple_alert_loc_argnames: str = option(
        "", "Names, with commas, whose values fill it.", name="apple.alertMessage.loc-argnames"
    )
    apple_alert_launch_image: str = option(
        "", "Picture shown at launch.", name="apple.alertMessage.launch-image"
    )
    apple_title: str = option("", "The alert's title.", name="apple.title")
    apple_badge: int | None = option(
        None,
        "Number on the app's icon; 0 removes it.",
        name="apple.badge",
        low=0,
        high=2_147_483_647,
        none=True,
    )
    apple_sound: str = option("", "Sound.", name="apple.sound")
    apple_content_available: bool | None = option(
        None, "Wake the app in the background.", name="apple.content-available", none=True
    )
    apple_category: str = option("", "Category, for its actions.", name="apple.category")
    apple_mutable_content: bool | None = option(
        None, "Let the app change it first.", name="apple.mutable-content", none=True
    )
    apple_expiry: int | None = option(
        None,
        "How long to keep it for the device; 0: try once.",
        name="apple.expiry",
        unit="s",
        low=0,
        high=2_147_483_647,
        none=True,
    )
    apple_priority: str = option(
        "",
        "10 at once, 5 saving power, 1 least.",
        name="apple.priority",
        words=("", "10", "5", "1"),
    )
    apple_collapse_id: str = option(
        "", "Messages with one id replace each other; 64 bytes.", name="apple.collapseId"
    )
    apple_push_type: str = option(
        "",
        "Kind of push over HTTP/2; empty: background or alert, by its content.",
        name="apple.pushType",
        words=(
            *("", "alert", "background", "voip", "complication", "fileprovider", "mdm"),
            *("location", "liveactivity", "pushtotalk"),
        ),
    )
    fcm_title: str = option("", "Title of a notification shown by the system.", name="fcm.title")
    fcm_body: str = option("", "Its text; ${message} stands for the message.", name="fcm.body")
    fcm_android_json: str = option(
        "", "FCM's block android, a JSON object.", name="fcm.android.json"
    )
    fcm_apns_json: str = option("", "FCM's block apns, a JSON object.", name="fcm.apns.json")
    fcm_webpush_json: str = option(
        "", "FCM's block webpush, a JSON object.", name="fcm.webpush.json"
    )
    webpush_ttl: int = option(
        86_400, "How long to keep it for the browser.", name="webpush.ttl", unit="s", low=0
    )
    webpush_urgency: str = option(
        "normal",
        "Urgency.",
        name="webpush.urgency",
        words=("very-low", "low", "normal", "high"),
    )
    webpush_topic: str = option(
        "",
        "Messages with one topic replace each other; 32 letters, digits, - and _.",
        name="webpush.topic",
    )


DEBUG_DEFAULTS: Mapping[str, str] = {
    "apple.http2_url": "https://api.sandbox.push.apple.com",
    "apple.gateway": "gateway.sandbox.push.apple.com",
    "apple.feedback_gateway": "feedback.sandbox.push.apple.com",
}
"""Defaults of the ``debug.`` twins that differ."""

ALIASES: Mapping[str, str] = {
    "fcm.serviceAccountFile": "fcm.service_account",
    "fcm.projectId": "fcm.project_id",
    "fcm.url": "fcm.send_url",
    "fcm.tokenUrl": "fcm.token_url",
    "apple.authKeyFile": "apple.auth_key",
    "apple.keyId": "apple.key_id",
    "apple.teamId": "apple.team_id",
    "webpush.privateKeyFile": "webpush.private_key",
}
"""Other spellings that are accepted."""

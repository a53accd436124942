"""The transports of the notification service: what each kind is made of.

A transport is made when a sender needs it first, from its credentials and from the
configuration of that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from gms_twisted.app.orchestration import EventReceiver, NoOrchestrator
from gms_twisted.app.outgoing import Trust
from gms_twisted.app.push_alarms import PushAlarms
from gms_twisted.app.push_credentials import (
    Credentials,
    Group,
    Transport,
)
from gms_twisted.app.pushing import CredentialsBroken, PushNews
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import Configuration
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.push.apns import ApnsTransport
from gms_twisted.push.apns2 import Apns2Transport
from gms_twisted.push.apns_dial import Dialer
from gms_twisted.push.apns_feedback import ApnsFeedback, FeedbackStore
from gms_twisted.push.apns_settings import ApnsSettings, apns_settings
from gms_twisted.push.apple_keystore import Keystore, KeystoreFile
from gms_twisted.push.apple_token import ProviderToken, ProviderTokens, read_signing_key
from gms_twisted.push.c2dm import C2dm
from gms_twisted.push.customhttp import CustomHttp
from gms_twisted.push.fcm import Fcm, load_account
from gms_twisted.push.gcm import Gcm
from gms_twisted.push.http2_pool import Http2Pool
from gms_twisted.push.httpcb import HttpCallbacks
from gms_twisted.push.orscb import OrchestrationCallbacks
from gms_twisted.push.prepared import PreparedTransport
from gms_twisted.push.senders import name_of
from gms_twisted.push.tls import client_tls
from gms_twisted.push.vapid import VapidTokens
from gms_twisted.push.webpush import WebPushTransport
from gms_twisted.transports.gates import Gates
from gms_twisted.transports.watched_file import stamp_of

FILES = (
    *("apple.keystore", "apple.auth_key", "apple.ca_file", "fcm.service_account", "fcm.ca_file"),
    *("webpush.private_key", "webpush.ca_file", "android.ca_file"),
)
"""Options of credentials that name files."""


class Transports:
    """Makes the transport of each kind.

    :param news: told what gateways say of pushes that were done.
    :ivar receiver: takes events for orchestration sessions.
    :ivar configuration: what counts for transports that are made from now on.
    """

    def __init__(
        self,
        configuration: Configuration,
        gates: Gates,
        alarms: PushAlarms,
        news: PushNews,
        reactor: Any,
        wall: WallClock,
        ids: IdSource,
        tasks: Tasks,
        counters: Counters,
    ) -> None:
        self.configuration = configuration
        self.receiver: EventReceiver = NoOrchestrator()
        self._gates, self._alarms, self._news = gates, alarms, news
        self._reactor, self._wall, self._ids = reactor, wall, ids
        self._tasks, self._counters = tasks, counters
        self._provider_tokens = ProviderTokens(wall, self._in_thread)

    def made_of(self, way: Credentials) -> object:
        """What a sender is made of besides its values, to see after a reload what changed."""
        return [stamp_of(way.values[name]) for name in FILES if name in way.values]

    def factories(self) -> Mapping[str, Callable[[Any], Any]]:
        """What makes the transport of each kind; called when a sender is needed first."""

        def httpcb(way: Credentials) -> HttpCallbacks:
            return HttpCallbacks(self.configuration.push, self._gates.callbacks, self._wall)

        def orscb(way: Credentials) -> OrchestrationCallbacks:
            return OrchestrationCallbacks(self.configuration.push, self.receiver)

        def customhttp(way: Credentials) -> CustomHttp:
            return CustomHttp(way.values, self.configuration.push, self._gates.gateways, self._wall)

        def c2dm(way: Credentials) -> C2dm:
            options = self.configuration.push
            return C2dm(way.values, options, self._gates.gateways, self._wall, self._tasks)

        def gcm(way: Credentials) -> Gcm:
            options = self.configuration.push
            return Gcm(
                way.values, options, self._gates.gateways, self._wall, self._reactor, self._tasks
            )

        def fcm(way: Credentials) -> Fcm:
            return Fcm(
                load_account(way.values),
                way.values,
                self.configuration.push,
                self._gates.gateways,
                self._reactor,
                self._wall,
                self._tasks,
                self._in_thread,
            )

        def apns(way: Credentials) -> ApnsTransport:
            alarm = partial(self._alarms.tell, name_of(way))
            dialer = self._dialer(way)
            made = ApnsTransport(
                apns_settings_of(way),
                dialer,
                self._news,
                self._reactor,
                self._wall,
                self._ids,
                self._counters,
                alarm,
            )
            # For its days, which operators want to see before anybody is sent to.
            self._tasks.spawn("reading a keystore", _read(dialer.keystore, made))
            return made

        def apns2(way: Credentials) -> Apns2Transport | PreparedTransport:
            if way.group is Group.APNS_TOKEN:
                pem = Path(way.values["apple.auth_key"]).read_bytes()
                key_id = way.values.get("apple.key_id", "")
                team = way.values.get("apple.team_id", "")
                return self._apns2(way, token=self._provider_tokens.find(pem, key_id, team))
            keystore = self._keystore(way)

            async def make() -> Apns2Transport:
                return self._apns2(way, keystore=await keystore.load())

            alarm = partial(self._alarms.tell, name_of(way))
            return PreparedTransport(way.transport, make, self._reactor, self._tasks, alarm)

        def webpush(way: Credentials) -> WebPushTransport:
            options = self.configuration.push
            pem = Path(way.values["webpush.private_key"]).read_bytes()
            key = read_signing_key(pem, "webpush.private_key")
            subject = way.values.get("webpush.subject", "")
            return WebPushTransport(
                self._gates.browsers,
                VapidTokens(key, subject, self._wall, self._in_thread),
                self._reactor,
                self._wall,
                allow_hosts=options.webpush_allow_hosts,
                trust=Trust(way.values.get("webpush.ca_file", "")),
                circuit_failures=options.circuit_failures,
                circuit_open_s=options.circuit_open_s,
                max_attempts=options.retry_attempts,
            )

        return {
            Transport.HTTPCB: httpcb,
            Transport.ORSCB: orscb,
            Transport.CUSTOMHTTP: customhttp,
            Transport.C2DM: c2dm,
            Transport.GCM: gcm,
            Transport.FCM: fcm,
            Transport.APNS: apns,
            Transport.APNS2: apns2,
            Transport.WEBPUSH: webpush,
        }

    def feedback(
        self, way: Credentials, store: FeedbackStore, ours: Callable[[], bool]
    ) -> ApnsFeedback:
        """What polls the feedback service of a certificate, while that is ours to do."""
        return ApnsFeedback(
            apns_settings_of(way),
            self._dialer(way),
            store,
            self._news,
            self._reactor,
            self._counters,
            ours,
        )

    def _apns2(
        self,
        way: Credentials,
        *,
        token: ProviderToken | None = None,
        keystore: Keystore | None = None,
    ) -> Apns2Transport:
        """Apple's service over HTTP/2, by token or by certificate."""
        values = way.values
        url = urlsplit(values["apple.http2_url"])
        host, port = url.hostname or "", url.port or 443
        trust = Trust(values.get("apple.ca_file", ""))
        if keystore is None:
            creator = client_tls(host, trust, protocols=[b"h2"])
        else:
            creator = client_tls(
                host,
                trust,
                certificate=keystore.certificate,
                chain=keystore.chain,
                protocols=[b"h2"],
            )
        topic = values.get("apple.topic", "") or ("" if keystore is None else keystore.topic)
        own_limit = values.get("apple.max_payload", "")
        return Apns2Transport(
            Http2Pool(self._reactor, host, port, self._gates.gateways.endpoint, creator),
            host if port == 443 else f"{host}:{port}",
            topic,
            self._wall,
            token=token,
            max_payload=int(own_limit) if own_limit else None,
            expires_at=None if keystore is None else keystore.expires_at,
            max_attempts=self.configuration.push.retry_attempts,
        )

    def _keystore(self, way: Credentials) -> KeystoreFile:
        values = way.values
        return KeystoreFile(
            values["apple.keystore"],
            values.get("apple.keystorePassword"),
            self._in_thread,
            self._wall,
            debug=way.debug,
        )

    def _dialer(self, way: Credentials) -> Dialer:
        trust = apns_settings_of(way).trust
        return Dialer(self._keystore(way), trust, self._gates.gateways.endpoint, self._reactor)

    def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, work, *arguments)


def apns_settings_of(way: Credentials) -> ApnsSettings:
    """Settings of the binary interface for a group of credentials."""
    # The values are those of production or debug already, without a prefix.
    return replace(apns_settings(way.values, {}), debug=way.debug)


async def _read(keystore: KeystoreFile, transport: ApnsTransport) -> None:
    try:
        await keystore.load()
    except CredentialsBroken as broken:
        transport.off(str(broken))

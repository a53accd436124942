"""The notification service as it is plugged together: what a reload changes, how it ends."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.x509 import Certificate
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.pushing import Pusher
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import NotificationType
from tests.support.house import configuration_of, make_house
from tests.support.push_keys import certificate, keystore, private_file, service_account

FCM, IOS, ORSCB = NotificationType.FCM, NotificationType.IOS, NotificationType.ORSCB


def made() -> Certificate:
    """A certificate for any gateway."""
    now = datetime.now(UTC)
    return certificate(now - timedelta(days=1), now + timedelta(days=100))


class ReloadTests(SynchronousTestCase):
    """SIGHUP, as far as pushes are concerned."""

    def setUp(self) -> None:
        """A house that can send by FCM, APNs and to orchestration."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.account = private_file(self.folder / "account.json", service_account())
        self.keystore = private_file(self.folder / "push.p12", keystore(made()))
        self.options = [
            "push/pushEnabled=fcm,ios,orscb",
            f"push/fcm.service_account={self.account}",
            f"push/apple.keystore={self.keystore}",
            "push/apple.transport=binary",
            "server/_ors=http://127.0.0.1:1",
        ]
        self.house, self.reactor = make_house(self.folder, *self.options)
        self.push = self.house.push
        starting: Deferred[None] = Deferred.fromCoroutine(self.push.start())
        self.successResultOf(starting)

    def find(self, notification_type: NotificationType) -> Pusher:
        """The sender of a type."""
        return self.push.senders.find(notification_type, DeviceId("d"), {}, "", debug=False)

    def reload(self, *more: str) -> None:
        """Read everything again."""
        self.push.reconfigure(configuration_of(*self.options, *more))

    def renew(self, path: Path, data: bytes) -> None:
        """Put another file in the place of one, later."""
        before = os.stat(path)
        path.write_bytes(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))

    def test_nothing_changed(self) -> None:
        """Senders and feedback polls stay."""
        before = [self.find(FCM), self.find(IOS), self.find(ORSCB)]
        (poll,) = self.push._feedback.values()
        self.reload()
        self.assertEqual([self.find(FCM), self.find(IOS), self.find(ORSCB)], before)
        self.assertEqual(list(self.push._feedback.values()), [poll])

    def test_R13_a_renewed_key_file(self) -> None:
        """A reload takes it up although its name is the same."""
        before = [self.find(FCM), self.find(IOS)]
        self.renew(self.account, service_account(project_id="other"))
        self.reload()
        self.assertIsNot(self.find(FCM), before[0])
        self.assertIs(self.find(IOS), before[1])

    def test_R13_a_renewed_certificate(self) -> None:
        """It counts for the feedback service, too."""
        before = self.find(IOS)
        ((_, poll),) = self.push._feedback.values()
        self.renew(self.keystore, keystore(made()))
        self.reload()
        self.assertIsNot(self.find(IOS), before)
        ((_, other),) = self.push._feedback.values()
        self.assertIsNot(other, poll)

    def test_R13_other_orchestration_servers(self) -> None:
        """The list is followed at once, as are the limits of connections."""
        order = self.house.orchestration._order
        self.assertEqual(order.everywhere, ["http://127.0.0.1:1"])
        more = ("server/_ors=http://127.0.0.1:2", "gms/http.max_connections_total=7")
        self.house.reconfigure(configuration_of(*self.options, *more))
        self.assertEqual(order.everywhere, ["http://127.0.0.1:2"])
        self.assertEqual(self.push.gates.orchestration._pool._total, 7)

"""Options of the binary interface's senders."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.outgoing import Trust
from gms_twisted.push.apns_settings import ApnsSettings, apns_settings


class ApnsSettingsTests(SynchronousTestCase):
    """Texts become settings; what cannot be used is told and counts as absent."""

    def setUp(self) -> None:
        """Note what is warned of."""
        self.warned: list[str] = []

    def read(
        self, section: dict[str, str], general: dict[str, str] | None = None, *, debug: bool = False
    ) -> ApnsSettings:
        """Read them."""
        return apns_settings(
            section, general or {}, debug=debug, warn=lambda name, _: self.warned.append(name)
        )

    def test_defaults(self) -> None:
        """Apple's addresses, one connection, command 2, 2048 bytes, an hour."""
        settings = self.read({"apple.keystore": "/a.p12"})
        self.assertEqual(settings, ApnsSettings("/a.p12"))
        self.assertEqual(
            (settings.host, settings.port, settings.feedback_host, settings.feedback_port),
            ("gateway.push.apple.com", 2195, "feedback.push.apple.com", 2196),
        )
        debug = self.read({"debug.apple.keystore": "/b.p12"}, debug=True)
        self.assertEqual(
            (debug.keystore, debug.debug, debug.host, debug.feedback_host),
            ("/b.p12", True, "gateway.sandbox.push.apple.com", "feedback.sandbox.push.apple.com"),
        )

    def test_everything(self) -> None:
        """Each option is read."""
        section = {
            "apple.keystore": "/a.p12", "apple.keystorePassword": " p ",
            "apple.gateway": "g", "apple.port": "1", "apple.feedback_gateway": "f",
            "apple.feedback_port": "2", "apple.ca_file": "/ca", "apple.binary.connections": "15",
            "apple.idle": "7", "apple.binary.window": "10", "apple.binary.window_seconds": "3",
            "apple.binary.resend_on_eof": "false", "apple.binary.command": "1",
            "apple.max_payload": "300", "apple.feedback.interval": "0",
        }  # fmt: skip
        self.assertEqual(
            self.read(section),
            ApnsSettings(
                "/a.p12", " p ", False, "g", 1, "f", 2, Trust("/ca"), 15, 7, 10, 3, False, 1,
                300, 0,
            ),
        )  # fmt: skip
        self.assertEqual(self.warned, [])

    def test_the_section_beats_the_general_one(self) -> None:
        """An option that the section lacks comes from ``push``; credentials never do."""
        settings = self.read(
            {"apple.keystore": "/a.p12", "apple.port": "5"},
            {"apple.keystorePassword": "x", "apple.port": "6", "apple.gateway": "g"},
        )
        self.assertEqual((settings.password, settings.port, settings.host), (None, 5, "g"))

    def test_twins_do_not_mix(self) -> None:
        """A debug sender reads only the twins of addresses and credentials."""
        section = {"debug.apple.keystore": "/b", "apple.gateway": "g", "debug.apple.port": "9"}
        settings = self.read(section, debug=True)
        self.assertEqual((settings.host, settings.port), ("gateway.sandbox.push.apple.com", 9))

    def test_older_commands_have_the_older_limit(self) -> None:
        """Commands 0 and 1 take 256 bytes."""
        for command in ("0", "1"):
            self.assertEqual(self.read({"apple.binary.command": command}).max_payload, 256)

    def test_unusable_values(self) -> None:
        """No number: the default; out of range: the nearest; both are told by name."""
        settings = self.read(
            {
                "apple.port": "http", "apple.binary.connections": "99", "apple.idle": "0",
                "apple.binary.resend_on_eof": "maybe", "apple.binary.command": "-1",
            }
        )  # fmt: skip
        self.assertEqual(
            (settings.port, settings.connections, settings.idle_s, settings.resend_on_eof),
            (2195, 15, 1, True),
        )
        self.assertEqual(settings.command, 2)
        self.assertEqual(
            sorted(self.warned),
            ["apple.binary.command", "apple.binary.connections",
             "apple.binary.resend_on_eof", "apple.idle", "apple.port"],
        )  # fmt: skip

    def test_password_stays_hidden(self) -> None:
        """It is not in what is printed."""
        self.assertNotIn("hush", repr(ApnsSettings("/a", "hush")))

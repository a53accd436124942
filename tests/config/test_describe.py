"""A configuration shown, and compared."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.config.describe import HIDDEN, Changes, changes, describe
from gms_twisted.config.ini import load_text
from gms_twisted.config.options import Configuration


def configuration(text: str) -> Configuration:
    """Read a text without faults."""
    loaded = load_text(text, "gms.ini")
    assert not loaded.faults, loaded.faults
    return loaded.configuration


class DescribeTests(SynchronousTestCase):
    """What an operator sees."""

    def test_G07_secrets_are_hidden(self) -> None:
        """No secret is shown, in whatever section it is; that one is set is."""
        secret = "a-secret-of-at-least-32-bytes-ab"
        text = (
            f"[server]\nusername=joe\npassword={secret}\nidentity_secret={secret}\n"
            f"[service.a]\n_type=ors\nusername=x\npassword={secret}\n"
            f"[push]\nandroid.gcm.apiKey={secret}\napple.keystorePassword={secret}\n"
            f"[push.provider.A]\ndebug.android.senderAuthToken={secret}\nfcm.token_x={secret}\n"
            f"apple.sound=ping\n"
        )
        described = describe(configuration(text))
        self.assertNotIn(secret, repr(described))
        self.assertNotIn(secret, repr(configuration(text)))
        self.assertEqual(described["server"]["password"], HIDDEN)
        self.assertEqual(described["server"]["username"], "joe")
        self.assertEqual(described["service.a"]["_password"], HIDDEN)
        self.assertEqual(described["push"]["android.gcm.apiKey"], HIDDEN)
        self.assertEqual(described["push"]["pushEnabled"], "comet, httpcb, orscb")
        provider = described["push.provider.A"]
        self.assertEqual(provider["debug.android.senderAuthToken"], HIDDEN)
        self.assertEqual(provider["apple.sound"], "ping")
        self.assertEqual(describe(Configuration())["server"]["password"], "")

    def test_values_as_in_files(self) -> None:
        """Values are written as a file has them, so that they can be read again."""
        text = (
            "[bayeux]\ntimeout=1500\nsweepPeriod=997\nws.timeout=2500\nannounceAck=no\n"
            "maxProcessing=none\n[chat]\ncanned=a=b | c=d, e\n[resource.G]\none=1\n"
            "_backup_resource=8,9\n[service.s]\n_type=ors\n_x=y\n[port_restrictions]\n/a=1\n"
            "[push]\nqueue.max=7\napple.badge=3\n[push.provider.P.event.a]\napple.sound=\n"
        )
        described = describe(configuration(text))
        self.assertEqual(described["bayeux"]["timeout"], "1500")
        self.assertEqual(described["bayeux"]["ws.timeout"], "2500")
        self.assertEqual(described["bayeux"]["sweepPeriod"], "997")
        self.assertEqual(described["bayeux"]["announceAck"], "false")
        again = "".join(
            f"[{section}]\n" + "".join(f"{name}={value}\n" for name, value in options.items())
            for section, options in described.items()
        )
        self.assertEqual(configuration(again), configuration(text))

    def test_changes(self) -> None:
        """Changed options are named, those that wait for the next start apart from others."""
        old = configuration(
            "[server]\nweb_port=1\nusername=a\npassword=b\n[service.a]\n_type=ors\n_x=1\n"
            "[service.b]\n_type=ors\n"
        )
        new = configuration(
            "[server]\nweb_port=2\nusername=a\npassword=c\n[service.a]\n_type=ors\n_x=2\n"
            "[store]\nurl=memory:\n[resource.G]\none=1\n[bayeux]\nws.timeout=5\n"
        )
        found = changes(old, new)
        self.assertEqual(found.at_restart, ("server/web_port", "store/url"))
        self.assertEqual(
            [name for name in found.at_once if not name.startswith("resource.")],
            ["bayeux/ws.timeout", "server/password", "service.a/_x", "service.b/_type"],
        )
        self.assertIn("resource.G/one", found.at_once)
        self.assertEqual(changes(new, new), Changes((), ()))

"""Listeners: descriptions, addresses, certificates that can be swapped."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.static import Data

from gms_twisted.http.direct import DirectTLS
from gms_twisted.transports.listening import (
    BACKLOG,
    CannotListen,
    Description,
    Listener,
    SwappableCertificate,
    bind,
    bind_all,
)
from tests.support.front import Front
from tests.support.tls import certificate_pem


class DescriptionTests(SynchronousTestCase):
    """Endpoint descriptions."""

    def test_parts(self) -> None:
        """Kind, plain arguments in order, named ones."""
        self.assertEqual(
            Description.parse("ssl:8443:interface=127.0.0.1:privateKey=/a b/key.pem"),
            Description("ssl", ("8443",), {"interface": "127.0.0.1", "privateKey": "/a b/key.pem"}),
        )

    def test_escapes(self) -> None:
        """A backslash keeps a colon; equals signs after the first belong to the value."""
        found = Description.parse(r"tcp:80:interface=\:\:1:x=a=b")
        self.assertEqual(found.options, {"interface": "::1", "x": "a=b"})

    def test_as_tcp(self) -> None:
        """Only what TCP knows, our backlog unless another is named."""
        for text, wanted in (
            ("tcp:80", f"tcp:80:backlog={BACKLOG}"),
            ("tcp:port=80:backlog=5", "tcp:backlog=5:port=80"),
            (
                r"ssl:443:privateKey=k:interface=\:\:1",
                rf"tcp:443:backlog={BACKLOG}:interface=\:\:1",
            ),
        ):
            self.assertEqual(Description.parse(text).as_tcp(), wanted)

    @given(st.text(":\\=a1", max_size=20))
    @settings(deadline=None, max_examples=100)
    def test_any_text(self, text: str) -> None:
        """Whatever is said, it is taken apart or refused by Twisted, not by a crash."""
        Description.parse(text).as_tcp()


class FixedPort:
    """A port at an address of the test's choice."""

    def __init__(self, host: str, number: int) -> None:
        kind = IPv6Address if ":" in host else IPv4Address
        self._address = kind("TCP", host, number)

    def getHost(self) -> IPv4Address | IPv6Address:
        """The address."""
        return self._address


class BindTests(SynchronousTestCase):
    """Binding on a reactor in memory."""

    def test_bad_descriptions(self) -> None:
        """Each is named in one sentence."""
        for text in (
            "",
            "tcp",
            "tcp:x",
            "nothing:80",
            "ssl:0:privateKey=/no/where",
            "tcp:1:2:3:4:5",
        ):
            error = self.assertRaises(CannotListen, bind, MemoryReactorClock(), text, Factory())
            self.assertNotIn("\n", str(error))
            self.assertTrue(text in str(error) or "/no/where" in str(error), text)

    def test_addresses(self) -> None:
        """Loopback and wildcard are told apart; URLs say scheme and port where needed."""
        certificate = Path(self.mktemp())
        write_certificate(certificate, "x")
        tls = SwappableCertificate({"privateKey": str(certificate)})
        for host, number, secure, loopback, wildcard, url in (
            ("127.0.0.1", 8080, None, True, False, "http://127.0.0.1:8080/"),
            ("::1", 80, None, True, False, "http://[::1]/"),
            ("0.0.0.0", 80, None, False, True, "http://gms.example/"),
            ("::", 443, None, False, True, "http://gms.example:443/"),
            ("::", 443, tls, False, True, "https://gms.example/"),
            ("192.0.2.1", 80, tls, False, False, "https://192.0.2.1:80/"),
        ):
            port: Any = FixedPort(host, number)
            listener = Listener("", port, secure)
            self.assertEqual(
                (listener.is_loopback, listener.is_wildcard, listener.url("gms.example")),
                (loopback, wildcard, url),
            )
            self.assertEqual(listener.port_number, number)

    def test_without_an_interface_others_can_reach_it(self) -> None:
        """Twisted says ``""`` for all addresses where no socket says better (G08)."""
        listener = bind(reactor, "tcp:0", Factory())
        self.addCleanup(listener.port.stopListening)
        self.assertEqual((listener.is_loopback, listener.is_wildcard), (False, True))

    def test_a_unix_socket(self) -> None:
        """Is as good as loopback, and has no port."""
        listener = bind(MemoryReactorClock(), "unix:/run/gms.sock", Factory())
        self.assertEqual(
            (listener.is_loopback, listener.is_wildcard, listener.port_number), (True, False, 0)
        )


def write_certificate(path: Path, name: str) -> None:
    """Write key and certificate into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    template = x509.load_pem_x509_certificate(certificate_pem())
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(2)
        .not_valid_before(template.not_valid_before_utc)
        .not_valid_after(template.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


class CertificateTests(SynchronousTestCase):
    """Files with keys and certificates."""

    def setUp(self) -> None:
        """Write one."""
        self.path = Path(self.mktemp())
        write_certificate(self.path, "first")

    def test_files_that_cannot_be_used(self) -> None:
        """Missing, empty, without key or certificate, with another's key: one sentence."""
        other = Path(self.mktemp())
        write_certificate(other, "other")
        whole = self.path.read_text()
        certificate, _, key = whole.partition("-----BEGIN PRIVATE")
        for text in ("", "nonsense", certificate, "-----BEGIN PRIVATE" + key):
            self.path.write_text(text)
            self.assertRaises(CannotListen, SwappableCertificate, {"privateKey": str(self.path)})
        self.path.unlink()
        error = self.assertRaises(
            CannotListen, SwappableCertificate, {"privateKey": str(self.path)}
        )
        self.assertIn(str(self.path), str(error))
        self.path.write_text(whole)
        self.assertRaises(
            CannotListen,
            SwappableCertificate,
            {"privateKey": str(self.path), "certKey": str(other)},
        )

    def test_R13_a_bad_file_leaves_the_former_certificate(self) -> None:
        """Reading and using are two steps: the second cannot fail."""
        shown = SwappableCertificate({"privateKey": str(self.path)})
        before = shown.getContext()
        self.path.write_text("nonsense")
        self.assertRaises(CannotListen, shown.read)
        self.assertIs(shown.getContext(), before)
        write_certificate(self.path, "second")
        shown.use(shown.read())
        self.assertIsNot(shown.getContext(), before)


class RealTests(TestCase):
    """Real ports."""

    def setUp(self) -> None:
        """A site that says hello, behind our front door."""
        site = Resource()
        site.putChild(b"hello", Data(b"hello", "text/plain"))
        self.door = Front(site).door
        self.path = Path(self.mktemp())
        write_certificate(self.path, "first")

    def listen(self, description: str) -> Listener:
        """Bind until the test ends."""
        listener = bind(reactor, description, self.door)
        self.addCleanup(listener.port.stopListening)
        return listener

    def get(self, url: str) -> Deferred[bytes]:
        """Ask from a thread, trusting anybody."""

        def ask() -> bytes:
            trusting = ssl._create_unverified_context() if url.startswith("https") else None
            with urlopen(f"{url}hello", timeout=20, context=trusting) as answer:
                said: bytes = answer.read()
            return said

        return deferToThread(ask)

    async def test_nothing_is_accepted_before_its_time(self) -> None:
        """Who comes early waits in the kernel, and is served when the door opens."""
        listener = self.listen("tcp:0:interface=127.0.0.1")
        early = socket.create_connection(("127.0.0.1", listener.port_number))
        self.addCleanup(early.close)
        asked = self.get(listener.url(""))
        port: Any = listener.port
        self.assertNotIn(port, reactor.getReaders())
        port.startReading()
        self.assertEqual(await asked, b"hello")

    async def test_TLS_through_our_front_door(self) -> None:
        """And a certificate that is swapped while the port stays open."""
        listener = self.listen(f"ssl:0:interface=127.0.0.1:privateKey={self.path}")
        port: Any = listener.port
        self.assertIsInstance(port.factory, DirectTLS)
        port.startReading()
        url = listener.url("")
        self.assertTrue(url.startswith("https://127.0.0.1:"))
        self.assertEqual(await self.get(url), b"hello")
        self.assertEqual(await self.name_at(listener.port_number), "first")
        write_certificate(self.path, "second")
        assert listener.tls is not None
        listener.tls.use(listener.tls.read())
        self.assertEqual(await self.name_at(listener.port_number), "second")

    async def name_at(self, port: int) -> object:
        """The name in the certificate that is shown."""
        pem = await deferToThread(ssl.get_server_certificate, ("127.0.0.1", port))
        shown = x509.load_pem_x509_certificate(pem.encode())
        return shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value

    async def test_a_taken_port(self) -> None:
        """All are bound or none; the reason is told."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            number = taken.getsockname()[1]
            words = ["tcp:0:interface=127.0.0.1", f"tcp:{number}:interface=127.0.0.1"]
            error = self.assertRaises(CannotListen, bind_all, reactor, words, self.door)
        self.assertIn(words[1], str(error))
        self.assertIn("in use", str(error))

"""The files that sections of push name: keys, certificates, accounts, the localization file.

Not pure: it reads them.  Knows: what each must hold.  Does not know: gateways, and what
stands in the localization file.

APNs: "Provider Communication", certificates and their environments.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates
from cryptography.x509 import (
    Certificate,
    ExtensionNotFound,
    ObjectIdentifier,
    load_pem_x509_certificates,
)

from gms_twisted.config.key_files import check_dates, check_private, read_file
from gms_twisted.config.options import Configuration
from gms_twisted.config.push_provider_options import DEBUG
from gms_twisted.config.push_reading import one_spelling
from gms_twisted.config.reading import Problems
from gms_twisted.config.text import Section
from gms_twisted.domain.push_sections import PUSH

_JKS = b"\xfe\xed\xfe\xed"
_ENVIRONMENTS = {
    "development": ObjectIdentifier("1.2.840.113635.100.6.3.1"),
    "production": ObjectIdentifier("1.2.840.113635.100.6.3.2"),
}
_CA_FILES = ("apple.ca_file", "fcm.ca_file", "android.ca_file", "webpush.ca_file")
_MEMBERS = ("client_email", "private_key")


def check_push_files(
    configuration: Configuration,
    sections: Mapping[str, Section],
    problems: Problems,
    now: datetime,
) -> None:
    """Check the files named by options; ``now`` is for the dates of certificates."""
    place = sections.get(PUSH, Section(PUSH, "", 0))
    _check_localization(place, configuration.push.localization_file, problems)
    for name, texts in configuration.push_sections.items():
        place = one_spelling(sections.get(name, Section(name, "", 0)))
        for prefix in ("", DEBUG):
            files = _Files(place, prefix, texts, problems, now)
            files.check("apple.keystore", files.check_keystore)
            files.check("apple.auth_key", files.check_signing_key)
            files.check("webpush.private_key", files.check_signing_key)
            files.check("fcm.service_account", files.check_account)
            for option in _CA_FILES:
                files.check(option, files.check_anchors)


def _check_localization(place: Section, path: str, problems: Problems) -> None:
    if "://" in path:
        # Choice: the original product takes a URL, too.  A file that changes under our
        # hands can be seen at once and costs nothing; a page can not.
        sentence = f"{path!r} is a URL; the localization file must be on this machine"
        problems.fault(place, "localizationFileLocation", sentence)
    elif path:
        read_file(place, "localizationFileLocation", path, problems)


class _Files:
    """The files that one section names, those of production or those of debug."""

    def __init__(
        self,
        place: Section,
        prefix: str,
        texts: Mapping[str, str],
        problems: Problems,
        now: datetime,
    ) -> None:
        self._place = place
        self._prefix = prefix
        self._texts = texts
        self._problems = problems
        self._now = now

    def check(self, option: str, look: Callable[[str, str, bytes], None]) -> None:
        """Read an option's file, if it names one, and look at what is in it."""
        option = self._prefix + option
        path = self._texts.get(option, "")
        if path and (data := read_file(self._place, option, path, self._problems)):
            look(option, path, data)

    def _fault(self, option: str, sentence: str) -> None:
        self._problems.fault(self._place, option, sentence)

    def _check_private(self, option: str, path: str) -> None:
        check_private(self._place, option, path, self._problems)

    def check_keystore(self, option: str, path: str, data: bytes) -> None:
        """A PKCS#12 container: its password, its key, the certificate's dates and use."""
        self._check_private(option, path)
        if data.startswith(_JKS):
            sentence = f"{path!r} is a Java keystore; keytool -importkeystore makes it a PKCS#12"
            self._fault(option, sentence)
            return
        password = self._texts.get(f"{self._prefix}apple.keystorePassword", "").encode()
        try:
            # Without a password OpenSSL tries the empty one and none at all.
            loaded = load_key_and_certificates(data, password or None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            self._fault(option, f"{path!r} {self._unopened(error, bool(password))}")
            return
        key, certificate, _ = loaded
        if key is None or certificate is None:
            # A certificate of another key counts as one of the chain.
            self._fault(option, f"{path!r} needs a certificate and the private key of it")
            return
        check_dates(self._place, option, path, [certificate], self._problems, self._now)
        self._check_environment(option, path, certificate)

    def _unopened(self, error: Exception, given: bool) -> str:
        if "password" not in str(error).lower():
            return "is not a PKCS#12 file that can be read"
        option = f"{self._prefix}apple.keystorePassword"
        what = f"{option} is wrong" if given else f"it has a password; see {option}"
        return f"cannot be opened: {what}"

    def _check_environment(self, option: str, path: str, certificate: Certificate) -> None:
        named = {word for word, oid in _ENVIRONMENTS.items() if _has(certificate, oid)}
        wanted = "development" if self._prefix else "production"
        if named and wanted not in named:
            other = f"{DEBUG}apple.keystore" if not self._prefix else "apple.keystore"
            sentence = f"the certificate {path!r} is for {named.pop()} only; see {other}"
            self._fault(option, sentence)

    def check_signing_key(self, option: str, path: str, data: bytes) -> None:
        """An EC key on P-256, in PEM."""
        self._check_private(option, path)
        try:
            key = load_pem_private_key(data, None)
            valid = isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            valid = False
        if not valid:
            sentence = f"{path!r} is not a private EC key on P-256 in PEM, without password"
            self._fault(option, sentence)

    def check_account(self, option: str, path: str, data: bytes) -> None:
        """A service account: a JSON object with its members and an RSA key."""
        self._check_private(option, path)
        try:
            account = json.loads(data)
        except (ValueError, RecursionError):
            account = None
        if not isinstance(account, dict):
            self._fault(option, f"{path!r} is not a JSON object")
            return
        needed = list(_MEMBERS)
        if not self._texts.get(f"{self._prefix}fcm.project_id"):
            needed.append("project_id")
        if not self._texts.get(f"{self._prefix}fcm.token_url"):
            needed.append("token_uri")
        missing = [
            name for name in needed if not isinstance(account.get(name), str) or not account[name]
        ]
        if missing:
            self._fault(option, f"{path!r} has no {', no '.join(missing)}")
        if "private_key" in missing:
            return
        try:
            valid = isinstance(
                load_pem_private_key(account["private_key"].encode(), None), RSAPrivateKey
            )
        except (ValueError, TypeError, UnsupportedAlgorithm):
            valid = False
        if not valid:
            self._fault(option, f"private_key in {path!r} is not an RSA key in PEM")

    def check_anchors(self, option: str, path: str, data: bytes) -> None:
        """Certificates in PEM."""
        try:
            certificates = load_pem_x509_certificates(data)
        except ValueError:
            self._fault(option, f"{path!r} holds no certificates in PEM")
            return
        ended = [one for one in certificates if one.not_valid_after_utc <= self._now]
        if ended:
            # Others in the file may still be good, so this is no fault.
            ends = min(one.not_valid_after_utc for one in ended)
            sentence = f"a certificate in {path!r} expired on {ends:%Y-%m-%d}"
            self._problems.warn(self._place, option, sentence)


def _has(certificate: Certificate, oid: ObjectIdentifier) -> bool:
    try:
        certificate.extensions.get_extension_for_oid(oid)
    except ExtensionNotFound:
        return False
    return True

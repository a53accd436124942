"""The files that options name: whether they are there, readable, private, in date.

Those of push are in ``push_files.py``.  Not pure: these two are the only places of this
package, with ``ini.load``, that look at files.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import Certificate, load_pem_x509_certificates

from gms_twisted.config.options import Configuration
from gms_twisted.config.reading import Problems
from gms_twisted.config.text import Section

_ENDPOINT_FILE = re.compile(r"(?:^|:)(privateKey|certKey|extraCertChain)=((?:[^:\\]|\\.)*)")
EXPIRES_SOON = timedelta(days=30)


def check_files(
    configuration: Configuration,
    sections: Mapping[str, Section],
    problems: Problems,
    now: datetime,
) -> None:
    """Check the files named by options; ``now`` is for the dates of certificates."""
    place = sections.get("server", Section("server", "", 0))
    key = configuration.server.identity_key
    if key and (data := read_file(place, "identity_key", key, problems)):
        try:
            load_pem_public_key(data)
        except ValueError:
            problems.fault(place, "identity_key", f"{key!r} is not a public key in PEM")
    for description in configuration.server.listen:
        if not description.startswith("ssl:"):
            continue
        for kind, name in _ENDPOINT_FILE.findall(description):
            path = re.sub(r"\\(.)", r"\1", name)
            data = read_file(place, "listen", path, problems)
            if data and kind == "privateKey":
                check_private(place, "listen", path, problems)
            elif data:
                _check_certificates(place, path, data, problems, now)


def read_file(place: Section, option: str, path: str, problems: Problems) -> bytes:
    """Read a file; ``b""`` when it cannot be, which is a fault."""
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 20)
    except (OSError, ValueError) as error:
        # ValueError: a NUL in it, or characters that no file's name can have here.
        reason = getattr(error, "strerror", None) or "this is no file's name"
        problems.fault(place, option, f"{path!r} cannot be read: {reason}")
        return b""
    if not data:
        problems.fault(place, option, f"{path!r} is empty")
    return data


def check_private(place: Section, option: str, path: str, problems: Problems) -> None:
    """Warn of a file with a secret that others on the machine may read."""
    if os.stat(path).st_mode & (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IRGRP:
        sentence = f"the key {path!r} is open to others on this machine; chmod 640 it"
        problems.warn(place, option, sentence)


def _check_certificates(
    place: Section, path: str, data: bytes, problems: Problems, now: datetime
) -> None:
    try:
        certificates = load_pem_x509_certificates(data)
    except ValueError:
        problems.fault(place, "listen", f"{path!r} is not a certificate in PEM")
        return
    check_dates(place, "listen", path, certificates, problems, now)


def check_dates(
    place: Section,
    option: str,
    path: str,
    certificates: Sequence[Certificate],
    problems: Problems,
    now: datetime,
) -> None:
    """Fault certificates that do not count now; warn of those that soon will not."""
    ends = min(one.not_valid_after_utc for one in certificates)
    begins = max(one.not_valid_before_utc for one in certificates)
    if now >= ends:
        problems.fault(place, option, f"the certificate {path!r} expired on {ends:%Y-%m-%d}")
    elif now < begins:
        sentence = f"the certificate {path!r} counts only from {begins:%Y-%m-%d}"
        problems.fault(place, option, sentence)
    elif now + EXPIRES_SOON > ends:
        problems.warn(place, option, f"the certificate {path!r} expires on {ends:%Y-%m-%d}")

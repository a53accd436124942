"""The files that options name: whether they are there, readable, private, in date.

Not pure: the one place of this package, with ``ini.load``, that looks at files.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificates

from gms_twisted.config.options import Configuration
from gms_twisted.config.reading import Problems
from gms_twisted.config.text import Section

_ENDPOINT_FILE = re.compile(r"(?:^|:)(privateKey|certKey|extraCertChain)=((?:[^:\\]|\\.)*)")
_EXPIRES_SOON = timedelta(days=30)


def check_files(
    configuration: Configuration,
    sections: Mapping[str, Section],
    problems: Problems,
    now: datetime,
) -> None:
    """Check the files named by options; ``now`` is for the dates of certificates."""
    place = sections.get("server", Section("server", "", 0))
    key = configuration.server.identity_key
    if key and (data := _read(place, "identity_key", key, problems)):
        try:
            load_pem_public_key(data)
        except ValueError:
            problems.fault(place, "identity_key", f"{key!r} is not a public key in PEM")
    for description in configuration.server.listen:
        if not description.startswith("ssl:"):
            continue
        for kind, name in _ENDPOINT_FILE.findall(description):
            path = re.sub(r"\\(.)", r"\1", name)
            data = _read(place, "listen", path, problems)
            if data and kind == "privateKey":
                _check_private(place, path, problems)
            elif data:
                _check_dates(place, path, data, problems, now)


def _read(place: Section, option: str, path: str, problems: Problems) -> bytes:
    """Read a file; ``b""`` when it cannot be, which is a fault."""
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 20)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        problems.fault(place, option, f"{path!r} cannot be read: {reason}")
        return b""
    if not data:
        problems.fault(place, option, f"{path!r} is empty")
    return data


def _check_private(place: Section, path: str, problems: Problems) -> None:
    if os.stat(path).st_mode & (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IRGRP:
        sentence = f"the key {path!r} is open to others on this machine; chmod 640 it"
        problems.warn(place, "listen", sentence)


def _check_dates(place: Section, path: str, data: bytes, problems: Problems, now: datetime) -> None:
    try:
        certificates = load_pem_x509_certificates(data)
    except ValueError:
        problems.fault(place, "listen", f"{path!r} is not a certificate in PEM")
        return
    ends = min(one.not_valid_after_utc for one in certificates)
    begins = max(one.not_valid_before_utc for one in certificates)
    if now >= ends:
        problems.fault(place, "listen", f"the certificate {path!r} expired on {ends:%Y-%m-%d}")
    elif now < begins:
        sentence = f"the certificate {path!r} counts only from {begins:%Y-%m-%d}"
        problems.fault(place, "listen", sentence)
    elif now + _EXPIRES_SOON > ends:
        problems.warn(place, "listen", f"the certificate {path!r} expires on {ends:%Y-%m-%d}")

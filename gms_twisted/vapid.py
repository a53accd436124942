"""``bin/gms vapid``: makes the key that names us to browsers' push services.

Knows: key files.  Does not know: what is sent.

RFC: 8292, 3.2.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gms_twisted.push.vapid import public_key_text

Say = Callable[[str], object]


def make_vapid_key(path: Path, subject: str, say: Say, complain: Say) -> int:
    """Write a new key, readable by its owner only; what is there is never overwritten.

    :param subject: whom to ask about us, ``mailto:`` or ``https:``.
    :param say: told the public key and the options to set.
    :param complain: told why it did not work.
    :returns: the exit status.
    """
    if not subject.startswith(("mailto:", "https://")):
        complain("the subject must begin with mailto: or https://")
        return 2
    key = generate_private_key(SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        # Never readable by others, not even for a moment; O_EXCL follows no link either.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        complain(f"{path} exists, and browsers are subscribed with its key; nothing was changed")
        return 1
    except OSError as error:
        complain(f"{path} cannot be written: {error.strerror}")
        return 1
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    say(f"{path} is made. The public key, for applicationServerKey in the browser:")
    say(public_key_text(key))
    say("Set these options in section push, or in a provider's:")
    say(f"webpush.private_key = {path.absolute()}")
    say(f"webpush.subject = {subject}")
    return 0

"""A Google service account: the file, and the assertions signed with its key.

Knows: the JSON file, JWT.  Does not know: who asks for tokens.

RFC: 7523.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
TOKEN_URL = "https://oauth2.googleapis.com/token"
MAX_FILE = 64 * 1024
ASSERTION_S = 3600


class AccountUnusable(Exception):
    """The file is no service account; the text says what is wrong, without secrets."""


@dataclass(frozen=True)
class ServiceAccount:
    """What the file says.

    :ivar key_id: ``""`` when it names none.
    """

    client_email: str
    project_id: str
    key_id: str
    token_uri: str
    key: RSAPrivateKey = field(repr=False)

    def assertion(self, audience: str, now: float) -> str:
        """Sign the claim to be this account; takes milliseconds, so not on the reactor.

        :param now: Unix seconds.
        """
        issued = int(now)
        claims = {
            "iss": self.client_email,
            "scope": SCOPE,
            "aud": audience,
            "iat": issued,
            "exp": issued + ASSERTION_S,
        }
        headers = {"kid": self.key_id} if self.key_id else None
        return jwt.encode(claims, self.key, algorithm="RS256", headers=headers)


def read_account(path: str) -> ServiceAccount:
    """Read the file that ``fcm.service_account`` names.

    :raises AccountUnusable: it cannot be read, or is none.
    """
    try:
        with Path(path).open("rb") as file:
            return parse_account(file.read(MAX_FILE))
    except OSError as error:
        raise AccountUnusable(f"{path} cannot be read: {error.strerror}.") from None
    except AccountUnusable as error:
        raise AccountUnusable(f"{path}: {error}") from None


def parse_account(text: bytes) -> ServiceAccount:
    """Read a service account's JSON.

    :raises AccountUnusable: it is none.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise AccountUnusable("it is not JSON.") from None
    if not isinstance(document, dict):
        raise AccountUnusable("it is not a JSON object.")
    texts = {name: value for name, value in document.items() if isinstance(value, str)}
    for name in ("client_email", "private_key"):
        if not texts.get(name):
            raise AccountUnusable(f"{name} is missing.")
    try:
        # Google made the key; checking its primes would take as long as ten signatures.
        key = load_pem_private_key(
            texts["private_key"].encode("utf-8", "replace"),
            None,
            unsafe_skip_rsa_key_validation=True,
        )
    except (ValueError, TypeError):
        raise AccountUnusable("private_key is not a key in PEM.") from None
    if not isinstance(key, RSAPrivateKey):
        raise AccountUnusable("private_key is not an RSA key.")
    return ServiceAccount(
        texts["client_email"],
        texts.get("project_id", ""),
        texts.get("private_key_id", ""),
        texts.get("token_uri") or TOKEN_URL,
        key,
    )

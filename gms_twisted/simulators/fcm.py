"""Google's FCM HTTP v1 and its OAuth 2 server, from their side of the wire.

FCM: "projects.messages.send", "ErrorCode".  RFC: 7523.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.simulators.gateway import JSON, Call, Reply, Say, Script

TOKEN_PATH = "/token"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
SCOPES = frozenset((SCOPE, "https://www.googleapis.com/auth/cloud-platform"))
"""Either lets an account send; an assertion may ask for others beside."""
MAX_MESSAGE = 4096
_SEND = re.compile(r"/v1/projects/([^/?]+)/messages:send")
_TTL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?s")
_CAPITAL = re.compile(r"[A-Z]")
_PRIORITIES = frozenset(("HIGH", "NORMAL", "high", "normal"))

_STATUS: Mapping[str, tuple[int, str]] = {
    "UNREGISTERED": (404, "NOT_FOUND"),
    "INVALID_ARGUMENT": (400, "INVALID_ARGUMENT"),
    "SENDER_ID_MISMATCH": (403, "PERMISSION_DENIED"),
    "THIRD_PARTY_AUTH_ERROR": (401, "UNAUTHENTICATED"),
    "QUOTA_EXCEEDED": (429, "RESOURCE_EXHAUSTED"),
    "UNAVAILABLE": (503, "UNAVAILABLE"),
    "INTERNAL": (500, "INTERNAL"),
}
"""HTTP and API status of each word that a device can be given."""


class _Invalid(Exception):
    """A field of the message is wrong.

    :ivar field: which.
    """

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field


class FcmSimulator:
    """Gives out tokens and takes sends; orders are by registration token.

    :param project: the only one that there is.
    :param life_s: of access tokens.
    :ivar key: the service account's.
    """

    def __init__(
        self,
        say: Say,
        ids: IdSource,
        wall: WallClock,
        project: str = "simulated",
        life_s: int = 3600,
        key: RSAPrivateKey | None = None,
    ) -> None:
        self.script = Script()
        self._say = say
        self._ids = ids
        self._wall = wall
        self._project = project
        self._life_s = life_s
        self.key = key or generate_private_key(public_exponent=65537, key_size=2048)
        self.email = f"gms@{project}.iam.gserviceaccount.com"
        self._tokens: dict[str, float] = {}
        self.tokens_given = 0

    def account(self, base: str) -> bytes:
        """The service account's file, for a server that is told to use this simulator.

        :param base: where the simulator is, ``http://127.0.0.1:8093``.
        """
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        members = {
            "type": "service_account",
            "project_id": self._project,
            "private_key_id": self._ids.hex(40),
            "private_key": pem.decode("ascii"),
            "client_email": self.email,
            "token_uri": f"{base}{TOKEN_PATH}",
        }
        return json.dumps(members, indent=2).encode("utf-8")

    def revoke(self) -> None:
        """Take every access token back."""
        self._tokens.clear()

    def handle(self, call: Call) -> Reply:
        """Answer a request."""
        ordered = self.script.ordered(call)
        if ordered is not None:
            return ordered
        path = call.path.partition("?")[0]
        if path == TOKEN_PATH and call.method == "POST":
            return self._token(call)
        match = _SEND.fullmatch(path)
        if match is None or call.method != "POST" or match[1] != self._project:
            self._say("refused", {"why": "there is no such project or URL", "answer": 404})
            return _json(
                404, {"error": {"code": 404, "message": "Not found", "status": "NOT_FOUND"}}
            )
        return self._send(call)

    def _token(self, call: Call) -> Reply:
        try:
            form = call.form()
            if form.get("grant_type") != GRANT_TYPE:
                return _json(400, {"error": "unsupported_grant_type"})
            claims = jwt.decode(
                form.get("assertion", ""),
                self.key.public_key(),
                algorithms=["RS256"],
                options={"verify_aud": False, "verify_exp": False, "verify_iat": False},
            )
            self._judge_claims(claims)
        except (ValueError, jwt.PyJWTError) as error:
            self._say("refused", {"why": f"the assertion is wrong: {error}", "answer": 400})
            description = f"Invalid JWT: {error}"
            return _json(400, {"error": "invalid_grant", "error_description": description})
        token = self._ids.token()
        now = self._wall.now()
        self._tokens = {one: end for one, end in self._tokens.items() if end > now}
        self._tokens[token] = now + self._life_s
        self.tokens_given += 1
        self._say("login", {"email": self.email})
        answer = {"access_token": token, "expires_in": self._life_s, "token_type": "Bearer"}
        return _json(200, answer)

    def _judge_claims(self, claims: Mapping[str, object]) -> None:
        now = self._wall.now()
        issued, end = claims.get("iat"), claims.get("exp")
        if claims.get("iss") != self.email:
            raise ValueError("iss is not the account")
        if SCOPES.isdisjoint(str(claims.get("scope", "")).split(" ")):
            raise ValueError("scope is not that of messaging")
        if not str(claims.get("aud", "")).endswith(TOKEN_PATH):
            raise ValueError("aud is not the token's URL")
        if not isinstance(issued, int) or not isinstance(end, int):
            raise ValueError("iat or exp is missing")
        if not now - 3600 < issued < now + 300 or not now < end <= issued + 3600:
            raise ValueError("the times are not now")

    def _send(self, call: Call) -> Reply:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or self._tokens.get(token, 0.0) <= self._wall.now():
            self._say("refused", {"why": "the access token is wrong", "answer": 401})
            text = "Request had invalid authentication credentials."
            error = {"code": 401, "message": text, "status": "UNAUTHENTICATED"}
            return _json(401, {"error": error})
        try:
            request = self._read(call)
        except _Invalid as problem:
            self._say("refused", {"why": str(problem), "field": problem.field, "answer": 400})
            return _json(400, _error("INVALID_ARGUMENT", str(problem), problem.field))
        message: Mapping[str, object] = request["message"]
        device = str(message["token"])
        word = self.script.word_for(device)
        shown = {"device": device, **{key: message[key] for key in message if key != "token"}}
        if word:
            self._say("refused", {**shown, "answer": word})
            return _json(_STATUS.get(word, (400, ""))[0], _error(word, f"{word} was ordered."))
        message_name = f"projects/{self._project}/messages/{self._ids.hex(16)}"
        dry = {"validate_only": True} if request.get("validate_only") else {}
        self._say("push", {**shown, **dry, "answer": message_name})
        return _json(200, {"name": message_name})

    def _read(self, call: Call) -> dict[str, Any]:
        """Read and judge a send as the gateway does.

        :raises _Invalid: naming the field.
        """
        if call.media_type != "application/json":
            raise _Invalid("", "the body is not application/json")
        try:
            request = json.loads(call.body.decode("utf-8"))
        except ValueError:
            raise _Invalid("", "the body is not JSON in UTF-8") from None
        if not isinstance(request, dict) or not isinstance(request.get("message"), dict):
            raise _Invalid("message", "the message is missing")
        request = _known(request, "", ("message", "validate_only"))
        message = _known(
            request["message"],
            "message.",
            ("token", "data", "notification", "android", "apns", "webpush", "fcm_options", "name"),
        )
        if not isinstance(message.get("token"), str) or not message["token"]:
            raise _Invalid("message.token", "the token is missing")
        data = message.get("data", {})
        if not isinstance(data, dict) or not all(isinstance(one, str) for one in data.values()):
            raise _Invalid("message.data", "data must hold strings")
        if "android" in message:
            message["android"] = _judge_android(message["android"])
        content = {key: value for key, value in message.items() if key != "token"}
        if (
            len(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())
            > MAX_MESSAGE
        ):
            raise _Invalid("message", "the message is too big")
        return {**request, "message": message}


def _judge_android(android: object) -> Mapping[str, object]:
    if not isinstance(android, dict):
        raise _Invalid("message.android", "android is not an object")
    members = _known(
        android,
        "message.android.",
        (
            *("collapse_key", "priority", "ttl", "restricted_package_name", "data"),
            *("notification", "fcm_options", "direct_boot_ok"),
            *("bandwidth_constrained_ok", "restricted_satellite_ok"),
        ),
    )
    if "ttl" in members and not _TTL.fullmatch(str(members["ttl"])):
        raise _Invalid("message.android.ttl", "ttl is not a duration")
    if "priority" in members and members["priority"] not in _PRIORITIES:
        raise _Invalid("message.android.priority", "there is no such priority")
    return members


def _known(members: Mapping[str, object], path: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Read members that may be spelt ``collapse_key`` or ``collapseKey``, as Protobuf's may.

    :raises _Invalid: one is unknown, or there twice.
    """
    found: dict[str, Any] = {}
    for spelt, value in members.items():
        name = _CAPITAL.sub(lambda capital: f"_{capital[0].lower()}", spelt)
        if name not in names:
            raise _Invalid(f"{path}{spelt}", f'Unknown name "{spelt}"')
        if name in found:
            raise _Invalid(f"{path}{spelt}", f'"{name}" is there in both spellings')
        found[name] = value
    return found


def _error(word: str, text: str, field: str | None = None) -> Mapping[str, object]:
    code, status = _STATUS.get(word, (400, word))
    details: list[Mapping[str, object]] = [
        {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": word}
    ]
    if field is not None:
        violation = {"field": field, "description": text}
        details.append(
            {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
        )
    return {"error": {"code": code, "message": text, "status": status, "details": details}}


def _json(status: int, document: Mapping[str, object]) -> Reply:
    return Reply(status, json.dumps(document).encode("utf-8"), {"content-type": JSON})

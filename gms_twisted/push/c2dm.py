"""Type ``android``: C2DM, one form for each push.

Spec: Android Notification, "C2DM Service".  C2DM: "Role of the Third-Party Application
Server".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gms_twisted.app.outgoing import Answer, Gate, Limits, TargetRefused, Trust, Unreachable
from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import Push
from gms_twisted.domain.sources import WallClock
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected, Scope
from gms_twisted.push.device_ids import check_token
from gms_twisted.push.google_login import GoogleLogin
from gms_twisted.push.http_answers import (
    OFF_S,
    NoToken,
    failed_status,
    not_allowed,
    not_answered,
    retry_after_s,
    word_of,
)
from gms_twisted.push.payloads import AndroidOptions, MessageTooBig, c2dm_form
from gms_twisted.push.unusable import UnusableOptions

SEND_URL = "https://android.apis.google.com/c2dm/send"
LIMITS = Limits(connect_s=5.0, total_s=10.0, body_bytes=16 * 1024)
UNAVAILABLE_S = 120.0
"""Default of ``android.unavailability_retry_timeout``."""

QUOTA_S = 60.0
NOT_UNDERSTOOD = "NotUnderstood"
MAX_PUZZLING = 1000
"""Pushes remembered whose answers made no sense."""

_LINE = re.compile(rb"^(id|Error)=([^\r\n]*)", re.MULTILINE)
_DEAD = frozenset(("MissingRegistration", "InvalidRegistration", "NotRegistered"))


class C2dm:
    """A :class:`gms_twisted.push.attempts.Transport` to C2DM.

    :param settings: options ``android.*`` of the sender, without ``debug.``.
    :raises CredentialsBroken: there is neither an account nor a token.
    """

    name = "c2dm"
    in_order = False
    concurrency = 20

    def __init__(
        self,
        settings: Mapping[str, str],
        options: PushOptions,
        gate: Gate,
        wall: WallClock,
        tasks: Tasks,
    ) -> None:
        self._url = settings.get("android.send_url") or SEND_URL
        self._gate = gate
        self._wall = wall
        self._trust = android_trust(settings)
        self._login = GoogleLogin(settings, gate, wall, self._trust, tasks)
        if not (settings.get("android.senderPassword") or self._login.has_token):
            sentence = "Neither android.senderPassword nor a usable android.senderAuthToken is set."
            raise CredentialsBroken(sentence)
        self._unavailable_s = seconds_of(
            settings, "android.unavailability_retry_timeout", UNAVAILABLE_S
        )
        self._unusable = UnusableOptions()
        self._puzzling: dict[str, bool] = {}
        self.max_attempts = options.retry_attempts

    async def check(self, device_id: DeviceId, properties: Mapping[str, str]) -> None:
        """See that it may be a registration id."""
        check_token(device_id)

    async def attempt(self, push: Push) -> Attempt:
        """Send once; a refused token is replaced once."""
        options = AndroidOptions.read(push.options)
        self._unusable.say(options.unreadable)
        try:
            body = c2dm_form(push.device_id, push.tag, push.message, options)
        except MessageTooBig:
            return Rejected("MessageTooBig")
        try:
            token = await self._login.token()
            answer = await self._send(body, token)
            if answer.status == 401:
                self._login.refuse(token)
                token = await self._login.token()
                answer = await self._send(body, token)
        except NoToken as error:
            return error.attempt
        except Unreachable as error:
            return not_answered(error)
        except TargetRefused as refused:
            return not_allowed("android.send_url", refused)
        if answer.status == 401:
            self._login.refuse(token)
        return self._once(push, judge_c2dm(answer, self._wall.now(), self._unavailable_s))

    def _once(self, push: Push, result: Attempt) -> Attempt:
        """Let a push whose answer makes no sense be tried again once, not more often."""
        if not isinstance(result, Again) or result.reason != NOT_UNDERSTOOD:
            return result
        if self._puzzling.pop(push.push_id, False):
            return Rejected(NOT_UNDERSTOOD)
        if len(self._puzzling) >= MAX_PUZZLING:
            del self._puzzling[next(iter(self._puzzling))]
        self._puzzling[push.push_id] = True
        return result

    async def _send(self, body: bytes, token: str) -> Answer:
        headers = {
            "Authorization": f"GoogleLogin auth={token}",
            "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8",
        }
        answer = await self._gate.request(
            "POST", self._url, headers, body, LIMITS, trust=self._trust, configured=True
        )
        # For the next request: this one has been dealt with, and is never sent again for it.
        self._login.replace(answer.headers.get("update-client-auth", ""))
        return answer

    def details(self) -> Mapping[str, object]:
        """Whether there is a token, and whether anybody is believed."""
        return {"token": self._login.has_token, "trust_all": self._trust.trust_all}

    async def close(self) -> None:
        """Nothing is held."""


def android_trust(settings: Mapping[str, str]) -> Trust:
    """Whom C2DM and GCM believe."""
    trust_all = settings.get("android.ssl_trust_all", "").strip().lower()
    return Trust(settings.get("android.ca_file", ""), trust_all in ("true", "yes", "1", "on"))


def seconds_of(settings: Mapping[str, str], name: str, default: float) -> float:
    """Read a number of seconds; the default where there is none of use."""
    text = settings.get(name, "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else default


def judge_c2dm(answer: Answer, now: float, unavailable_s: float = UNAVAILABLE_S) -> Attempt:
    """Read an answer.  C2DM: "Response format".

    :param unavailable_s: pause after a 503 that does not say how long.
    """
    after_s = retry_after_s(answer.headers, now)
    if answer.status == 401:
        alarm = "C2DM refuses the token of android.senderEmail, a new one too."
        return Rejected("HTTP401", alarm=alarm, off_s=OFF_S)
    if answer.status == 503:
        pause_s = unavailable_s if after_s is None else after_s
        return Again("HTTP503", pause_s, Scope.SENDER)
    if answer.status >= 500:
        return Again(failed_status(answer), after_s)
    if answer.status != 200:
        return Rejected(failed_status(answer))
    found = {key: value.decode("latin-1").strip() for key, value in _LINE.findall(answer.body)}
    if found.get(b"id"):
        return Delivered()
    if b"Error" not in found:
        return Again(NOT_UNDERSTOOD, after_s)
    return judge_c2dm_error(word_of(found[b"Error"]), after_s)


def judge_c2dm_error(error: str, after_s: float | None = None) -> Attempt:
    """Read an error word of C2DM."""
    if error == "QuotaExceeded":
        return Again(error, after_s, Scope.SENDER, base_s=QUOTA_S)
    if error == "DeviceQuotaExceeded":
        return Again(error, after_s, Scope.DEVICE, base_s=QUOTA_S)
    if error == "MismatchSenderId":
        return Rejected(
            error, alarm="C2DM: devices are registered for another android.senderEmail."
        )
    return Rejected(error, dead=error in _DEAD)

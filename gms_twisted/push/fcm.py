"""Type ``fcm``, and ``android`` and ``gcm`` by configuration: FCM HTTP v1.

FCM: "projects.messages.send", "ErrorCode".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote

from gms_twisted.app.outgoing import Answer, Gate, Limits, TargetRefused, Trust, Unreachable
from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import Push
from gms_twisted.domain.sources import Clock, WallClock
from gms_twisted.push.attempts import Again, Attempt, Delivered, Rejected, Scope
from gms_twisted.push.device_ids import check_token
from gms_twisted.push.fcm_token import FcmToken
from gms_twisted.push.http_answers import (
    OFF_S,
    NoToken,
    failed_status,
    not_allowed,
    not_answered,
    retry_after_s,
    word_of,
)
from gms_twisted.push.payloads import AndroidOptions, MessageTooBig, fcm_body, fcm_template
from gms_twisted.push.service_account import AccountUnusable, ServiceAccount, read_account
from gms_twisted.push.threads import RunInThread
from gms_twisted.push.unusable import UnusableOptions

SEND_URL = "https://fcm.googleapis.com/v1/projects/{project_id}/messages:send"
# FCM: "a timeout of at least 10 seconds".
LIMITS = Limits(connect_s=5.0, total_s=15.0, body_bytes=64 * 1024)
QUOTA_S = 60.0
FAULT_S = 10.0
"""Where the back-off starts after a 429 without ``Retry-After``, and after 5xx."""


class Fcm:
    """A :class:`gms_twisted.push.attempts.Transport` to FCM HTTP v1.

    :param account: who we are.
    :param settings: options ``fcm.*`` of the sender, without ``debug.``.
    :param off_reactor: signs assertions, ``deferToThread``.
    :raises CredentialsBroken: no project is named.
    """

    name = "fcm"
    in_order = False
    concurrency = 100

    def __init__(
        self,
        account: ServiceAccount,
        settings: Mapping[str, str],
        options: PushOptions,
        gate: Gate,
        clock: Clock,
        wall: WallClock,
        tasks: Tasks,
        off_reactor: RunInThread,
    ) -> None:
        project = settings.get("fcm.project_id", "").strip() or account.project_id
        if not project:
            raise CredentialsBroken("Neither fcm.project_id nor the service account has a project.")
        url = settings.get("fcm.send_url") or SEND_URL
        self._url = url.replace("{project_id}", quote(project, safe=":"))
        self._gate = gate
        self._wall = wall
        self._trust = Trust(settings.get("fcm.ca_file", ""))
        token_url = settings.get("fcm.token_url") or account.token_uri
        self._tokens = FcmToken(
            account, token_url, gate, clock, wall, self._trust, tasks, off_reactor
        )
        self._unusable = UnusableOptions()
        self._project = project
        self.max_attempts = options.retry_attempts

    async def check(self, device_id: DeviceId, properties: Mapping[str, str]) -> None:
        """See that it may be a registration token."""
        check_token(device_id)

    async def attempt(self, push: Push) -> Attempt:
        """Send once; a refused access token is renewed once."""
        options = AndroidOptions.read(push.options)
        self._unusable.say(options.unreadable)
        try:
            body = fcm_body(push.device_id, fcm_template(push.message, options))
        except MessageTooBig:
            return Rejected("MessageTooBig")
        try:
            token = await self._tokens.token()
            answer = await self._send(body, token)
            if is_token_refused(answer):
                self._tokens.refuse(token)
                token = await self._tokens.token()
                answer = await self._send(body, token)
                if is_token_refused(answer):
                    self._tokens.refuse(token)
        except NoToken as error:
            return error.attempt
        except Unreachable as error:
            return not_answered(error)
        except TargetRefused as refused:
            return not_allowed("fcm.send_url", refused)
        return judge_fcm(answer, self._wall.now())

    async def _send(self, body: bytes, token: str) -> Answer:
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json; charset=UTF-8",
        }
        return await self._gate.request(
            "POST", self._url, headers, body, LIMITS, trust=self._trust, configured=True
        )

    def details(self) -> Mapping[str, object]:
        """The project, and the access token's life."""
        return {
            "project": self._project,
            "token_seconds_left": round(self._tokens.seconds_left()),
            "token_renewals": self._tokens.renewals,
        }

    async def close(self) -> None:
        """Nothing is held."""


def load_account(settings: Mapping[str, str]) -> ServiceAccount:
    """Read the file that ``fcm.service_account`` names; waits for the disk.

    :raises CredentialsBroken: it is of no use.
    """
    try:
        return read_account(settings.get("fcm.service_account", ""))
    except AccountUnusable as error:
        raise CredentialsBroken(f"fcm.service_account: {error}") from None


class _Error:
    """The body of an answer that is an error.

    :ivar code: FCM's own word, or ``""``.
    :ivar status: the API's word, or ``""``.
    :ivar violations: a field of the message is wrong, by name.
    """

    def __init__(self, body: bytes) -> None:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        error = document.get("error") if isinstance(document, dict) else None
        members = error if isinstance(error, dict) else {}
        details = members.get("details")
        self.code = ""
        self.violations = False
        for detail in details if isinstance(details, list) else ():
            if not isinstance(detail, dict):
                continue
            kind = str(detail.get("@type", ""))
            if kind.endswith("google.firebase.fcm.v1.FcmError"):
                self.code = _text(detail, "errorCode")
            elif kind.endswith("google.rpc.BadRequest") and detail.get("fieldViolations"):
                self.violations = True
        self.status = _text(members, "status")
        self.message = _text(members, "message").lower()


def _text(members: Mapping[str, object], name: str) -> str:
    value = members.get(name)
    return value if isinstance(value, str) else ""


def is_token_refused(answer: Answer) -> bool:
    """Whether an answer refuses the access token, rather than a credential inside Firebase."""
    return answer.status == 401 and not _Error(answer.body).code


def judge_fcm(answer: Answer, now: float) -> Attempt:
    """Read an answer.  FCM: "ErrorCode"."""
    if answer.status == 200:
        return Delivered()
    error = _Error(answer.body)
    after_s = retry_after_s(answer.headers, now)
    word = word_of(error.code or error.status) if error.code or error.status else ""
    reason = word or failed_status(answer)
    if error.code == "UNREGISTERED":
        return Rejected(reason, dead=True)
    if answer.status == 404:
        alarm = "FCM does not know the project or the URL: fcm.project_id, fcm.send_url."
        return Rejected(reason, alarm=alarm)
    if error.code == "INVALID_ARGUMENT":
        # With the field named the message is wrong, without it the token.
        return Rejected(reason, dead=not error.violations)
    if error.code in _ALARMS:
        return Rejected(reason, alarm=_ALARMS[error.code])
    if answer.status == 401:
        alarm = "FCM refuses the access tokens of fcm.service_account, new ones too."
        return Rejected(reason, alarm=alarm, off_s=OFF_S)
    if answer.status == 403:
        alarm = f"FCM does not let fcm.service_account send: {reason}."
        return Rejected(reason, alarm=alarm, off_s=OFF_S)
    if answer.status == 429 or word == "QUOTA_EXCEEDED":
        scope = Scope.DEVICE if "device" in error.message else Scope.SENDER
        return Again(reason, after_s, scope, base_s=QUOTA_S)
    if answer.status == 503:
        return Again(reason, after_s, Scope.SENDER, base_s=FAULT_S)
    if answer.status >= 500:
        return Again(reason, after_s, base_s=FAULT_S)
    return Rejected(reason)


_ALARMS = {
    "SENDER_ID_MISMATCH": "FCM: devices are registered for another project than fcm.project_id.",
    "THIRD_PARTY_AUTH_ERROR": "FCM: the APNs or Web Push credential kept in Firebase is refused.",
}
"""Words for which an operator has to do something, though the sender works."""

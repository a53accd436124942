"""ClientLogin: an account's password -> the token that C2DM wants.

One login at a time, whoever waits; refused passwords are not tried again for five
minutes, since Google locks accounts for less.

Knows: the login's form, its answers.  Does not know: what the token is for.

C2DM: "ClientLogin for Installed Applications".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlencode

from gms_twisted.app.outgoing import Answer, Gate, Limits, TargetRefused, Trust, Unreachable
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.sources import WallClock
from gms_twisted.push.attempts import Again, Rejected, Scope
from gms_twisted.push.http_answers import (
    OFF_S,
    NoToken,
    failed_status,
    not_allowed,
    not_answered,
    retry_after_s,
    word_of,
)
from gms_twisted.push.single_flight import SingleFlight

LOGIN_URL = "https://www.google.com/accounts/ClientLogin"
LIMITS = Limits(connect_s=5.0, total_s=10.0, body_bytes=16 * 1024)
REFUSED_S = 300.0
"""So long no login is tried after one was refused."""

_LINE = re.compile(rb"^(Auth|Error)=([^\r\n]*)", re.MULTILINE)
_TOKEN = re.compile(r"[!-~]{1,4096}")


class GoogleLogin:
    """Keeps the token of one account.

    :param settings: ``android.sender*``, ``android.source``, ``android.login_url``.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        gate: Gate,
        wall: WallClock,
        trust: Trust,
        tasks: Tasks,
    ) -> None:
        self._url = settings.get("android.login_url") or LOGIN_URL
        self._fields = {
            "accountType": settings.get("android.senderAccountType") or "HOSTED_OR_GOOGLE",
            "Email": settings.get("android.senderEmail", ""),
            "Passwd": settings.get("android.senderPassword", ""),
            "service": "ac2dm",
            "source": settings.get("android.source") or "gms-twisted-1",
        }
        self._gate = gate
        self._wall = wall
        self._trust = trust
        self._login = SingleFlight(tasks, "log in to C2DM", self._log_in)
        token = settings.get("android.senderAuthToken", "").strip()
        self._token = token if _TOKEN.fullmatch(token) else ""
        self._refused: Rejected | None = None
        self._refused_at = 0.0

    @property
    def has_token(self) -> bool:
        """Whether requests can go without a login."""
        return bool(self._token)

    def replace(self, token: str) -> None:
        """Use another token from now on, as ``Update-Client-Auth`` says."""
        if _TOKEN.fullmatch(token):
            self._token = token

    def refuse(self, token: str) -> None:
        """A token was refused; forget it, unless there is another one by now."""
        if self._token == token:
            self._token = ""

    async def token(self) -> str:
        """The token; logs in when there is none.

        :raises NoToken: with what that means for a push.
        """
        if self._token:
            return self._token
        if not self._fields["Passwd"]:
            sentence = "C2DM refuses android.senderAuthToken, and there is no password to log in."
            raise NoToken(Rejected("HTTP401", alarm=sentence, off_s=OFF_S))
        if self._refused is not None and self._wall.now() - self._refused_at < REFUSED_S:
            raise NoToken(self._refused)
        return await self._login.join()

    async def _log_in(self) -> str:
        try:
            self._token = token = await self._ask()
        except NoToken as error:
            if isinstance(error.attempt, Rejected):
                self._refused, self._refused_at = error.attempt, self._wall.now()
            raise
        return token

    async def _ask(self) -> str:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(self._fields).encode("ascii")
        try:
            answer = await self._gate.request(
                "POST", self._url, headers, body, LIMITS, trust=self._trust, configured=True
            )
        except Unreachable as error:
            raise NoToken(not_answered(error)) from None
        except TargetRefused as refused:
            raise NoToken(not_allowed("android.login_url", refused)) from None
        return read_login(answer, self._wall.now())


def read_login(answer: Answer, now: float) -> str:
    """Read the answer to a login: the token.

    :raises NoToken: there is none in it.
    """
    found = {key: value.decode("latin-1").strip() for key, value in _LINE.findall(answer.body)}
    token: str = found.get(b"Auth", "")
    if answer.status == 200 and _TOKEN.fullmatch(token):
        return token
    error = word_of(found.get(b"Error", "")) if b"Error" in found else failed_status(answer)
    if answer.status >= 500 or error == "ServiceUnavailable":
        after_s = retry_after_s(answer.headers, now)
        raise NoToken(Again(error, after_s, Scope.SENDER))
    alarm = f"Google refuses the login of android.senderEmail: {error}."
    raise NoToken(Rejected(error, alarm=alarm, off_s=REFUSED_S))

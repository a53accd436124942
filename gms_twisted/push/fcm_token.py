"""The access token for FCM: asked for with a signed assertion, renewed before its end.

One request at a time.  A token is renewed at 80 % of its life, or five minutes before
its end if that is earlier; until the new one is there, and while it cannot be had, the
old one is used as long as it lives.

Knows: OAuth 2 for service accounts.  Does not know: what the token is for.

RFC: 7523, 6749.
"""

from __future__ import annotations

import json
import re
from urllib.parse import urlencode

from gms_twisted.app.outgoing import Answer, Gate, Limits, TargetRefused, Trust, Unreachable
from gms_twisted.app.tasks import Tasks
from gms_twisted.domain.sources import Clock, WallClock
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
from gms_twisted.push.service_account import ServiceAccount
from gms_twisted.push.single_flight import SingleFlight
from gms_twisted.push.threads import RunInThread

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIMITS = Limits(connect_s=5.0, total_s=15.0, body_bytes=64 * 1024)
RENEW_AT = 0.8
RENEW_BEFORE_S = 300.0
PAUSE_S = 10.0
"""So long no token is asked for after it could not be had."""

_TOKEN = re.compile(r"[!-~]{1,8192}")


class FcmToken:
    """Keeps the token of one account.

    :param url: where tokens come from; also the assertion's audience.
    :param clock: measures the token's life.
    :param off_reactor: signs.
    """

    def __init__(
        self,
        account: ServiceAccount,
        url: str,
        gate: Gate,
        clock: Clock,
        wall: WallClock,
        trust: Trust,
        tasks: Tasks,
        off_reactor: RunInThread,
    ) -> None:
        self._account = account
        self._url = url
        self._gate = gate
        self._clock = clock
        self._wall = wall
        self._trust = trust
        self._renewal = SingleFlight(tasks, "get a token for FCM", self._renew)
        self._off_reactor = off_reactor
        self._token = ""
        self._renew_at = 0.0
        self._dead_at = 0.0
        self._problem: Again | Rejected | None = None
        self._problem_until = 0.0
        self.renewals = 0

    async def token(self) -> str:
        """The token; asks for one when there is none.

        :raises NoToken: with what that means for a push.
        """
        now = self._clock.seconds()
        resting = self._problem is not None and now < self._problem_until
        if self._token and now < self._dead_at:
            if now >= self._renew_at and not resting:
                self._renewal.start()
            return self._token
        if resting and self._problem is not None:
            raise NoToken(self._problem)
        return await self._renewal.join()

    def refuse(self, token: str) -> None:
        """A token was refused: forget it, unless there is another one by now."""
        if token == self._token:
            self._token = ""

    def seconds_left(self) -> float:
        """How long the token lives; 0 when there is none."""
        return max(0.0, self._dead_at - self._clock.seconds()) if self._token else 0.0

    async def _renew(self) -> str:
        began = self._clock.seconds()
        try:
            token, life_s = await self._ask()
        except NoToken as error:
            self._problem = error.attempt
            off_s = getattr(error.attempt, "off_s", 0.0)
            self._problem_until = self._clock.seconds() + (off_s or PAUSE_S)
            raise
        self._token = token
        self._dead_at = began + life_s
        self._renew_at = began + max(0.0, min(life_s * RENEW_AT, life_s - RENEW_BEFORE_S))
        self._problem = None
        self.renewals += 1
        return token

    async def _ask(self) -> tuple[str, float]:
        now = self._wall.now()
        assertion = await self._off_reactor(lambda: self._account.assertion(self._url, now))
        body = urlencode({"grant_type": GRANT_TYPE, "assertion": assertion}).encode("ascii")
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            answer = await self._gate.request(
                "POST", self._url, headers, body, LIMITS, trust=self._trust, configured=True
            )
        except Unreachable as error:
            raise NoToken(not_answered(error)) from None
        except TargetRefused as refused:
            raise NoToken(not_allowed("fcm.token_url", refused)) from None
        return read_token(answer, self._wall.now())


def read_token(answer: Answer, now: float) -> tuple[str, float]:
    """Read the answer: the token, and how many seconds it lives.

    :raises NoToken: there is none in it.
    """
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = {}
    members = document if isinstance(document, dict) else {}
    if answer.status == 200:
        token, life = members.get("access_token"), members.get("expires_in")
        life_s = float(life) if isinstance(life, int | float) and 0 < life < 1e9 else 3600.0
        if isinstance(token, str) and _TOKEN.fullmatch(token):
            return token, life_s
        raise NoToken(Again("NotUnderstood", scope=Scope.SENDER, base_s=PAUSE_S))
    error = members.get("error")
    word = word_of(error) if isinstance(error, str) else failed_status(answer)
    if answer.status == 429 or answer.status >= 500:
        after_s = retry_after_s(answer.headers, now)
        raise NoToken(Again(word, after_s, Scope.SENDER, base_s=PAUSE_S))
    alarm = f"Google refuses fcm.service_account: {word}; its key or this machine's clock is wrong."
    raise NoToken(Rejected(word, alarm=alarm, off_s=OFF_S))

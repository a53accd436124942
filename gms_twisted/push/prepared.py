"""A transport that takes time to make: a keystore's password is stretched in a thread.

It is made at once, in the background; pushes that come before it is there wait.  A failure
is told as their result, and after a while the next one tries again.

Knows: making once.  Does not know: what is made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gms_twisted.app.pushing import CredentialsBroken
from gms_twisted.app.tasks import Tasks
from gms_twisted.app.turns import Turns
from gms_twisted.domain.ids import DeviceId
from gms_twisted.domain.notifications import Push
from gms_twisted.domain.sources import Clock
from gms_twisted.push.attempts import Attempt, Rejected, Transport

BROKEN_S = 60.0
"""Credentials that could not be used are read again after so long."""


class PreparedTransport:
    """A :class:`gms_twisted.push.attempts.Transport` in front of one to be made.

    :param make: makes it; raises ``CredentialsBroken``.
    :param alarm: told what is wrong with the credentials, and ``""`` when they are good again.
    """

    in_order = False

    def __init__(
        self,
        name: str,
        make: Callable[[], Awaitable[Transport]],
        clock: Clock,
        tasks: Tasks,
        alarm: Callable[[str], object],
        *,
        concurrency: int = 500,
        max_attempts: int = 5,
    ) -> None:
        self.name = name
        self.concurrency = concurrency
        self.max_attempts = max_attempts
        self._make = make
        self._clock = clock
        self._alarm = alarm
        self._turns = Turns()
        self._made: Transport | None = None
        self._alarmed = False
        self._broken: CredentialsBroken | None = None
        self._broken_until = 0.0
        tasks.spawn(f"reading the credentials of {name}", self._prepare())

    async def check(self, device_id: DeviceId, properties: Mapping[str, str]) -> None:
        """As the transport does.

        :raises CredentialsBroken: it cannot be made.
        """
        await (await self._transport()).check(device_id, properties)

    async def attempt(self, push: Push) -> Attempt:
        """Try once, when it is made."""
        try:
            transport = await self._transport()
        except CredentialsBroken as error:
            return Rejected("CredentialsBroken", alarm=str(error), off_s=BROKEN_S)
        return await transport.attempt(push)

    def details(self) -> Mapping[str, object]:
        """What the transport shows."""
        return {} if self._made is None else self._made.details()

    async def close(self) -> None:
        """Let go of what was made; there is nothing more to come."""
        async with self._turns:
            if self._made is not None:
                await self._made.close()
            else:
                self._broken = CredentialsBroken("The sender is closed.")
                self._broken_until = float("inf")

    async def _transport(self) -> Transport:
        async with self._turns:
            if self._made is not None:
                return self._made
            if self._broken is not None and self._clock.seconds() < self._broken_until:
                raise self._broken
            try:
                self._made = await self._make()
            except CredentialsBroken as error:
                self._broken, self._broken_until = error, self._clock.seconds() + BROKEN_S
                raise
            if self._alarmed:
                self._alarm("")
            return self._made

    async def _prepare(self) -> None:
        try:
            await self._transport()
        except CredentialsBroken as error:
            self._alarmed = True
            self._alarm(str(error))

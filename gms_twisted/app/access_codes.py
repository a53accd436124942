"""Access codes: digits that a caller must know, drawn so that nobody can guess them.

Spec: request-interaction and request-access, "Create Response Data"; the facts on
``server/access_code_prefix``.  Hardening V04.

Knows: lengths, prefixes, which codes of a number are taken, who has guessed wrong.
Does not know: bookings.
"""

from __future__ import annotations

import hmac
import json
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from gms_twisted.app.access_records import codes_of
from gms_twisted.app.kept_secrets import kept_secret
from gms_twisted.app.nodes import Alone, Peers
from gms_twisted.domain.errors import GmsError, TooManyRequests, Unavailable
from gms_twisted.domain.sources import Clock, IdSource
from gms_twisted.store.interfaces import Store

DEFAULT_LENGTH = 6
MAX_LENGTH = 32

WRONG_WINDOW_S = 600.0
"""How long a wrong code counts."""

_KEY = "access-code-key"
_MAX_INT = 2**31 - 1
_FEW = 10_000
"""Where there are no more codes than these, the free ones can be counted."""

_GUESSES = 20

_KEEP = 20_000
_WRONG = "wrong-code"


class CodeTooShort(GmsError):
    """The prefix leaves no digit of a code of the length that was asked for."""

    code = "java.lang.IllegalArgumentException"


class PrefixTooLarge(GmsError):
    """A prefix is no number of 32 bits."""

    code = "java.lang.NumberFormatException"


class NoCodeFree(Unavailable):
    """Every code of a number is taken."""

    code = "gms.access.no_code_free"


@dataclass(frozen=True, slots=True)
class _Codes:
    """The codes of one length that begin with one of ``7-9``, in order.

    :ivar first: the first prefix, ``7``, or ``""``.
    :ivar prefixes: how many there are.
    :ivar rest: digits after the prefix.
    """

    first: str
    prefixes: int
    rest: int

    @classmethod
    def read(cls, text: str, length: int) -> Iterator[_Codes]:
        """Read one part of the option; ``7-12`` is ``7-9`` and ``10-12``."""
        first, dash, last = (part.strip() for part in text.partition("-"))
        if not first:
            yield cls("", 1, length)
            return
        low, high = _number(first), _number(last if dash else first)
        for digits in range(len(first), max(len(first), len(str(high))) + 1):
            begin = max(low, 10 ** (digits - 1)) if digits > len(first) else low
            end = min(high, 10**digits - 1)
            if digits >= length:
                raise CodeTooShort("n must be positive")
            yield cls(str(begin).zfill(digits), max(1, end - begin + 1), length - digits)

    @property
    def count(self) -> int:
        return int(self.prefixes * 10**self.rest)

    def at(self, index: int) -> str:
        value = (int(self.first) * 10**self.rest if self.first else 0) + index
        return str(value).zfill(len(self.first) + self.rest)


def _number(text: str) -> int:
    if len(text) > len(str(_MAX_INT)) or int(text) > _MAX_INT:
        raise PrefixTooLarge(f'For input string: "{text[:64]}"')
    return int(text)


class AccessCodes:
    """Draws codes.

    :param prefix: ``server/access_code_prefix``; each code that begins so is as likely
        as another.
    """

    def __init__(self, store: Store, ids: IdSource, prefix: str) -> None:
        self._store = store
        self._ids = ids
        self._key = b""
        self.reconfigure(prefix)

    def reconfigure(self, prefix: str) -> None:
        """Begin codes with other digits from now on."""
        self._prefix = prefix

    async def index_of(self, number: str, code: str) -> str:
        """What a booking of a number is found by when its code is given.

        Not the code itself: how long it takes to find one must tell nothing about it.
        """
        if not self._key:
            self._key = await kept_secret(self._store, self._ids, _KEY)
        return hmac.new(self._key, f"{number}\n{code}".encode(), sha256).hexdigest()[:32]

    async def draw(
        self, number: str, length: int, without: Sequence[str] = (), *, again: bool = False
    ) -> str:
        """Draw a code of so many digits, its prefix among them.

        The booking's unit finds out whether another booking of the number has it.

        :param without: codes that must not come again.
        :param again: such a unit has failed: see which codes are left, if there are few.
        :raises CodeTooShort: the prefix leaves no digit.
        :raises NoCodeFree: all are taken.
        """
        parts = [each for part in self._prefix.split(",") for each in _Codes.read(part, length)]
        total = sum(part.count for part in parts)
        if not again or total > _FEW:
            for _ in range(_GUESSES):
                code = _at(parts, self._ids.below(total))
                if code not in without:
                    return code
        taken = {one.number for one in await self._store.reservations(codes_of(number))}
        taken.update(without)
        free = [code for index in range(total) if (code := _at(parts, index)) not in taken]
        if not free:
            raise NoCodeFree("Every access code of this length is taken; try again later.")
        return free[self._ids.below(len(free))]


def _at(parts: Sequence[_Codes], index: int) -> str:
    for part in parts:
        if index < part.count:
            return part.at(index)
        index -= part.count
    raise IndexError(index)


class CodesRefused(TooManyRequests):
    """Too many wrong codes were tried by one caller for one number."""

    code = "gms.access.too_many_codes"


class WrongCodes:
    """Counts wrong codes of each number and caller, and refuses who guesses (V04).

    A try is counted before it is judged, so that many at once are not more than one
    after the other.  Of pairs beyond 20,000 the one that tried longest ago is
    forgotten.

    :param most: wrong codes within ten minutes; then the pair must wait.
    :param peers: other nodes, whose wrong codes count here too.
    """

    def __init__(self, clock: Clock, most: int, peers: Peers | None = None) -> None:
        self._clock = clock
        self._peers = peers if peers is not None else Alone()
        self._peers.hear(_WRONG, self._heard)
        self._tries: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()
        self.most = most

    def __len__(self) -> int:
        return len(self._tries)

    def count(self, number: str, caller: str) -> float:
        """Count a try; returns what :meth:`take_back` wants if it was right.

        :raises CodesRefused: the pair has to wait.
        """
        now = self._clock.seconds()
        tries = self._of(number, caller, now)
        if len(tries) >= self.most:
            wait_s = tries[-self.most] + WRONG_WINDOW_S - now
            raise CodesRefused(
                "Too many wrong access codes were given by this caller for this number.", wait_s
            )
        self._add(tries, now)
        return now

    def was_wrong(self, number: str, caller: str) -> None:
        """A try that was counted is judged: other nodes count it, too."""
        if self._peers.reachable:
            self._peers.tell_all(_WRONG, json.dumps([number, caller]).encode("ascii"))

    def _heard(self, run: str, payload: bytes) -> None:
        number, caller = json.loads(payload)
        now = self._clock.seconds()
        self._add(self._of(number, caller, now), now)

    def _of(self, number: str, caller: str, now: float) -> deque[float]:
        """The tries of a pair within the window."""
        tries = self._tries.setdefault((number, caller), deque())
        self._tries.move_to_end((number, caller))
        while tries and tries[0] <= now - WRONG_WINDOW_S:
            tries.popleft()
        return tries

    def _add(self, tries: deque[float], now: float) -> None:
        tries.append(now)
        while len(self._tries) > _KEEP:
            self._tries.popitem(last=False)

    def take_back(self, number: str, caller: str, counted: float) -> None:
        """It was right, or never judged."""
        tries = self._tries.get((number, caller))
        if tries is None:
            return
        if counted in tries:
            tries.remove(counted)
        if not tries:
            del self._tries[number, caller]

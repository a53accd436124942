"""Which chats are delivered on ``/_genesys``, and who is there to get them.

Spec: COMETD Based Chat API.  For each chat that was begun with
``notify_by=comet`` a :class:`gms_twisted.app.chat_courier.Courier` is at work
from its beginning, or from the start of this process, until its client knows
that it is over.  Of several nodes the one that owns the shard of the service has it.

Knows: couriers by service and by user, which chats are ours.  Does not know: what one does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twisted.logger import Logger

from gms_twisted.app.chat_absence import Absence, DeviceNotifier
from gms_twisted.app.chat_answers import ChatAnswers
from gms_twisted.app.chat_courier import Courier
from gms_twisted.app.chat_keeper import ChatKeeper
from gms_twisted.app.chat_line import ChatLine
from gms_twisted.app.chat_records import ChatRecords, ChatState
from gms_twisted.app.interfaces import UserEvents
from gms_twisted.app.nodes import Alone, Ownership
from gms_twisted.app.pauses import pause
from gms_twisted.app.services import ServiceInstances
from gms_twisted.app.setbacks import Setback
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import ChatOptions
from gms_twisted.config.push_options import PushOptions
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.ids import GmsUser, ServiceId
from gms_twisted.domain.sources import Timers

AGAIN_S = 1.0
"""After so long chats that could not be read are read again."""


class CometDelivery:
    """Delivery of chats to comet clients; a :class:`gms_twisted.app.interfaces.Presence`.

    :param settle_s: after so long an event that was handed over has certainly been
        fetched, or its Bayeux session is gone: ``bayeux/maxInterval`` and some more.
    :param nodes: says which services are ours.
    """

    log = Logger()

    def __init__(
        self,
        records: ChatRecords,
        keeper: ChatKeeper,
        line: ChatLine,
        events: UserEvents,
        answers: ChatAnswers,
        services: ServiceInstances,
        tasks: Tasks,
        notifier: DeviceNotifier,
        timers: Timers,
        options: ChatOptions,
        push: PushOptions,
        settle_s: float = 45.0,
        nodes: Ownership | None = None,
    ) -> None:
        self._nodes = nodes or Alone()
        self._behind = False
        self._taking_up = False
        self._records = records
        self._keeper = keeper
        self._line = line
        self._events = events
        self._answers = answers
        self._services = services
        self._tasks = tasks
        self._notifier = notifier
        self._timers = timers
        self._options = options
        self._push = push
        self._settle_s = settle_s
        self._couriers: dict[ServiceId, Courier] = {}
        self._by_user: dict[GmsUser, set[Courier]] = {}

    def reconfigure(self, options: ChatOptions, push: PushOptions) -> None:
        """Take new options, for chats that are being delivered too."""
        self._options, self._push = options, push
        for courier in self._couriers.values():
            courier.options, courier.push = options, push

    async def start(self) -> None:
        """Go on with every chat of ours that was being delivered; call once, all else ready."""
        self._events.watch(self)
        self._taking_up = True
        self._nodes.watch(self._gained, self._giving)
        self._taking_up = False
        await self._take_up()

    @property
    def ready(self) -> bool:
        """Tell whether every chat of ours that is delivered has its courier."""
        return not self._behind and not self._taking_up

    def _gained(self, shard: str) -> None:
        for courier in self._of_shard(shard):
            # From before another node had it; it has not noticed.
            courier.end()
            self._forget(courier)
        self._behind = True
        if not self._taking_up:
            self._tasks.spawn("taking up the delivery of chats", self._keep_taking_up())

    async def _keep_taking_up(self) -> None:
        setback = Setback("taking up the delivery of chats", f"within {AGAIN_S:g} s")
        while self._behind and not self._taking_up:
            try:
                await self._take_up()
            except GmsError as error:
                setback.failed(error)
                await pause(self._timers, AGAIN_S)

    async def _take_up(self) -> None:
        """Have a courier for every chat of ours."""
        self._taking_up = True
        try:
            while self._behind:
                self._behind, begun = False, len(self._couriers)
                try:
                    states = await self._records.comet_chats()
                except GmsError:
                    self._behind = True
                    raise
                for state in states:
                    if self._nodes.is_ours(state.service_id):
                        self.begin(state)
                if len(self._couriers) > begun:
                    self.log.info(
                        "Delivery of {count} chats goes on", count=len(self._couriers) - begun
                    )
        finally:
            self._taking_up = False

    async def _giving(self, shard: str) -> None:
        """Come to rest with the chats of a shard."""
        couriers = self._of_shard(shard)
        for courier in couriers:
            courier.end()
        for courier in couriers:
            await courier.over
            await courier.hand_on()

    def _of_shard(self, shard: str) -> list[Courier]:
        each = tuple(self._couriers.values())
        return [one for one in each if self._nodes.shard(one.service_id) == shard]

    # What the Chat API tells.

    def begin(self, state: ChatState) -> None:
        """Deliver a chat from now on."""
        service_id, nodes = state.service_id, self._nodes
        if state.user is None or service_id in self._couriers:
            return
        absence = Absence(self._line, self._keeper, self._services, self._notifier, self._timers)
        courier = Courier(
            state,
            state.user,
            self._records,
            self._keeper,
            self._line,
            self._events,
            self._answers,
            absence,
            self._timers,
            self._options,
            self._push,
            self._settle_s,
            (lambda: nodes.is_ours(service_id)) if nodes.run else None,
        )
        self._couriers[state.service_id] = courier
        self._by_user.setdefault(state.user, set()).add(courier)

        def over(_: object) -> None:
            self._forget(courier)
            courier.over.callback(None)

        self._tasks.spawn("delivery of a chat", courier.run()).addBoth(over)

    def _forget(self, courier: Courier) -> None:
        if self._couriers.get(courier.service_id) is courier:
            del self._couriers[courier.service_id]
        of_user = self._by_user.get(courier.user, set())
        of_user.discard(courier)
        if not of_user:
            self._by_user.pop(courier.user, None)

    def _tell(self, service_id: ServiceId, what: Callable[[Courier], None]) -> None:
        courier = self._couriers.get(service_id)
        if courier is not None:
            what(courier)

    def wake(self, service_id: ServiceId) -> None:
        """The chat's record says something new."""
        self._tell(service_id, Courier.wake)

    def heard(self, service_id: ServiceId) -> None:
        """The client has made a call: it is there, if not on Bayeux."""
        self._tell(service_id, Courier.heard)

    def rewind(self, service_id: ServiceId, position: int) -> None:
        """The client wants everything after a position again."""
        self._tell(service_id, lambda courier: courier.rewind(position))

    def repeat(self, state: ChatState, position: int) -> None:
        """The client of a chat that is over wants everything after a position again."""
        if state.service_id in self._couriers:
            self.rewind(state.service_id, position)
        else:
            self.begin(replace(state, delivered=position, handed=position))

    def verbose_echo(self, service_id: ServiceId) -> None:
        """The client's next message comes back with every member."""
        self._tell(service_id, Courier.verbose_echo)

    def end(self, service_id: ServiceId) -> None:
        """The chat's record is about to go."""
        self._tell(service_id, Courier.end)

    def published(self, service_id: ServiceId) -> int | None:
        """The position of the last event handed over; ``None`` when nothing is delivered."""
        courier = self._couriers.get(service_id)
        return None if courier is None else courier.published

    def __len__(self) -> int:
        return len(self._couriers)

    # What Bayeux tells.

    def arrived(self, user: GmsUser) -> None:
        """A session of the user receives ``/_genesys`` now."""
        for courier in tuple(self._by_user.get(user, ())):
            courier.arrived()

    def left(
        self, user: GmsUser, transcript_position: int | None, *, goodbye: bool = False
    ) -> None:
        """The user's last session is gone, or has told its position once more."""
        for courier in tuple(self._by_user.get(user, ())):
            courier.left(transcript_position, goodbye=goodbye)

"""Instances of services: made, found, updated, ended.

Spec: Service API.  A service and its data are one unit of the store, so neither
is ever there without the other.  What an instance does is up to its *kind*,
registered by the name of the built-in service.

Parameters that begin with an underscore belong to the service; everything else
is the application's data and goes into a storage area of its own (``_data_id``).

Knows: definitions, records, whose service it is (V11).  Does not know: HTTP, chats, access
numbers, state charts.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from twisted.logger import Logger

from gms_twisted.app.nodes import Peers
from gms_twisted.app.orchestration import SessionAt
from gms_twisted.app.service_count import ServiceCount
from gms_twisted.app.service_data import ServiceData
from gms_twisted.app.service_definitions import MAX_NAME_BYTES, ServiceDefinition
from gms_twisted.app.service_events import EventPublisher, ServiceEvent
from gms_twisted.app.service_kinds import (
    AddressRates,
    Beginning,
    Holdings,
    RequestUnknown,
    ServiceAction,
    ServiceKind,
    Starting,
    Verbatim,
    parameters_of,
    split_fields,
)
from gms_twisted.app.service_records import SERVICE, Changes, ServiceInstance, services_in
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import LimitOptions
from gms_twisted.domain.errors import InternalOnly, ServiceNotFound
from gms_twisted.domain.ids import AreaId, GmsUser, ServiceId
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.domain.values import FormValue
from gms_twisted.store.interfaces import (
    Absent,
    Change,
    Condition,
    ConditionFailed,
    Delete,
    Store,
    Unchanged,
    Unit,
    UnitId,
)

RENEWED_AT = 0.75
"""A service is renewed once less than this share of its idle life is left, so that
not every poll is a write."""

_DELETE_TRIES = 20
_INSTANCE_OF = ServiceInstance.from_record
_INTERNAL_REQUESTS = "internal-"


class ServiceUnknown(ServiceNotFound):
    """No service of that name is configured."""

    code = "gms.service.unknown_name"


def _check_internal(internal: bool) -> None:
    if not internal:
        raise InternalOnly("This is for internal use; see server/internal_allow.")


def not_found() -> ServiceNotFound:
    """The one answer for unknown, expired and somebody else's (G06)."""
    return ServiceNotFound("There is no such service, or its time is over.")


class _Running:
    """A :class:`Starting` of a session that has been started."""

    idle = False

    def __init__(self, session: SessionAt, conditions: tuple[Condition, ...]) -> None:
        self._session = session
        self._conditions = conditions

    async def start(self, beginning: Beginning) -> Mapping[str, object] | Verbatim:
        """Only store the service."""
        await beginning.store(Changes(conditions=self._conditions), self._session)
        return {"_id": self._session.session_id}


class ServiceInstances:
    """The Service API's rules.

    :param user_control: refuse requests without the creator's ``gms_user``, not only
        those with another one (``resources/user_control``).
    :param definitions: by name.
    :param rates: services created by one address (V13).
    :param peers: other nodes, whose services count here too.
    """

    log = Logger()

    def __init__(
        self,
        store: Store,
        data: ServiceData,
        tasks: Tasks,
        wall: WallClock,
        ids: IdSource,
        definitions: Mapping[str, ServiceDefinition],
        limits: LimitOptions,
        rates: AddressRates,
        events: EventPublisher,
        *,
        user_control: bool = False,
        peers: Peers | None = None,
    ) -> None:
        self._store = store
        self._data = data
        self._tasks = tasks
        self._wall = wall
        self._ids = ids
        self.definitions = definitions
        self._count = ServiceCount(store, wall, rates, limits, peers)
        self._user_control = user_control
        self._events = events
        self._kinds: dict[str, ServiceKind] = {}
        self._orchestrated: ServiceKind | None = None
        self._actions: dict[str, ServiceAction] = {}
        self._holdings: list[Holdings] = []

    def register(self, service: str, kind: ServiceKind) -> None:
        """Let this one run the built-in service of that name."""
        self._kinds[service] = kind

    def register_orchestrated(self, kind: ServiceKind) -> None:
        """Let this one run every service whose logic is a state chart."""
        self._orchestrated = kind

    def register_action(self, service: str, action: ServiceAction) -> None:
        """Let this one do what the built-in service of that name does."""
        self._actions[service] = action

    def hold(self, holdings: Holdings) -> None:
        """Have this end with each service, whatever its kind."""
        self._holdings.append(holdings)

    def reconfigure(
        self,
        definitions: Mapping[str, ServiceDefinition],
        limits: LimitOptions,
        *,
        user_control: bool,
    ) -> None:
        """Take new options; services that are there keep their life and parameters."""
        self.definitions = definitions
        self._count.limits = limits
        self._user_control = user_control

    async def start(self) -> None:
        """Count the services that are there; call once, before the first request."""
        for holdings in self._holdings:
            await holdings.start()
        await self._count.start()

    # Making.

    async def create(
        self,
        name: str,
        fields: Mapping[str, FormValue],
        user: GmsUser | None,
        address: str,
        *,
        internal: bool = False,
    ) -> Any:
        """Make and start a service, or do what a utility service does.

        Spec: Service API, "Create".

        :param internal: the caller is on ``server/internal_allow``.
        :returns: what the client gets: a mapping with ``_id``, or what an application answers
            as :class:`Verbatim`.
        :raises ServiceUnknown: no such service is configured, or nothing runs it.
        :raises InternalOnly: it is not for callers from outside (V12).
        :raises TooManyRequests: the address is too fast, or there are too many services.
        """
        definition = self.definitions.get(name) if len(name.encode()) <= MAX_NAME_BYTES else None
        if definition is None:
            raise ServiceUnknown("There is no service of this name.")
        action = None if definition.orchestrated else self._actions.get(definition.service)
        if action is not None:
            _check_internal(internal)
            return await self._tasks.finish(
                "action of a service", action.act(definition, parameters_of(fields))
            )
        kind = (
            self._orchestrated if definition.orchestrated else self._kinds.get(definition.service)
        )
        if kind is None:
            raise ServiceUnknown("There is no service of this name.")
        parameters, data = split_fields(fields)
        life_s = definition.life(parameters, kind.default_life_s)
        self._count.admit(address)
        return await self._tasks.finish(
            "creation of a service",
            self._create(definition, kind, parameters, data, user, address, life_s),
        )

    async def adopt(
        self,
        session: SessionAt,
        name: str,
        service: str,
        parameters: Mapping[str, str],
        user: GmsUser | None,
        life_s: float,
        conditions: tuple[Condition, ...] = (),
    ) -> None:
        """Make the service of a session that runs already, so that it can hold numbers.

        It has no data: that is with whoever has started the session.

        :param name: of the service there.
        :param service: the application.
        :param conditions: what must hold for it to be made.
        :raises TooManyRequests: there are too many services.
        :raises ConditionFailed: one of them does not hold.
        """
        self._count.check_room()
        definition = ServiceDefinition(name, orchestrated=True, service=service)
        await self._tasks.finish(
            "creation of a service",
            self._create(
                definition, _Running(session, conditions), parameters, {}, user, "", life_s
            ),
        )

    async def _create(
        self,
        definition: ServiceDefinition,
        kind: Starting,
        parameters: Mapping[str, str],
        data: Mapping[str, FormValue],
        user: GmsUser | None,
        address: str,
        life_s: float,
    ) -> Mapping[str, object] | Verbatim:
        first_id, data_id = ServiceId(self._ids.uuid()), self._data.new_id()
        expires_at = self._wall.now() + life_s
        prepared: list[Change] = []
        counted, stored = [first_id], False

        async def store(changes: Changes, session: SessionAt | None = None) -> None:
            nonlocal stored
            service_id = counted[-1]
            if session is not None:
                service_id = ServiceId(session.session_id)
                self._count.drop(counted.pop())
                self._count.keep(service_id, expires_at)
                counted.append(service_id)
            if not prepared:
                area = await self._data.changes_for_create(data_id, data, life_s)
                instance = ServiceInstance(
                    service_id=service_id,
                    name=definition.name,
                    service=definition.service,
                    user=user,
                    created=self._wall.now(),
                    life_s=life_s,
                    idle=kind.idle,
                    data_id=data_id,
                    parameters=parameters,
                    expires_at=expires_at,
                    version=1,
                    session=session,
                )
                prepared.extend((instance.to_put(expires_at), *area))
            conditions = (Absent(SERVICE, service_id), *changes.conditions)
            await self._commit((*prepared, *changes.changes), conditions)
            stored = True

        # Counted before the first await, so that a flood cannot pass the limit meanwhile.
        self._count.keep(first_id, expires_at)
        try:
            answer = await kind.start(
                Beginning(
                    first_id,
                    data_id,
                    definition,
                    parameters,
                    data,
                    user,
                    address,
                    life_s,
                    expires_at,
                    store,
                )
            )
        except BaseException:
            if not stored:
                self._count.drop(counted[-1])
            raise
        self.log.info(
            "Service {service_id} of {name}", service_id=counted[-1], name=definition.name
        )
        return answer

    # Finding.

    def all(self) -> AsyncIterator[ServiceInstance]:
        """All services that are stored, in order of their ids."""
        return services_in(self._store)

    async def peek(self, service_id: str) -> ServiceInstance | None:
        """Read a service whoever asks, ``None`` when there is none (any more)."""
        record = await self._store.get(SERVICE, service_id)
        return None if record is None else record.made(_INSTANCE_OF)

    async def find(self, service_id: str, user: GmsUser | None) -> ServiceInstance:
        """Read a service for whoever ``user`` is.

        :raises ServiceNotFound: there is none, its time is over, or it is somebody
            else's: all look the same (V11, G06).
        """
        instance = await self.peek(service_id)
        if instance is None:
            raise not_found()
        # Choice: a service made without gms_user belongs to whoever knows its id; the
        # reference's own refresh and disconnect send no header.
        refused = user is not None and instance.user is not None and user != instance.user
        if refused or (self._user_control and user != instance.user):
            raise not_found()
        return instance

    def definition_of(self, instance: ServiceInstance) -> ServiceDefinition:
        """The definition of an instance; an empty one when it is configured no more."""
        known = self.definitions.get(instance.name)
        return known or ServiceDefinition(instance.name, False, instance.service)

    async def data_of(self, instance: ServiceInstance) -> Mapping[str, str]:
        """The application's data as text, files as their URLs."""
        return await self.data_in(instance.data_id)

    async def data_in(self, data_id: AreaId) -> Mapping[str, str]:
        """The same, by the id of the data."""
        return await self._data.texts(data_id)

    # Living on.

    async def renewal(
        self, instance: ServiceInstance, life_s: float | None = None, *, exactly: bool = False
    ) -> Changes:
        """What keeps a used service alive, to go into the unit of that use.

        Nothing while enough of its life is left.

        :param life_s: live at least so long from now, whatever the kind says.
        :param exactly: move the end in any case, also to an earlier moment.
        """
        if life_s is None and not instance.idle:
            return Changes()
        life_s = max(life_s or 0.0, instance.life_s if instance.idle else 0.0)
        now = self._wall.now()
        if not exactly and instance.expires_at - now >= RENEWED_AT * life_s:
            return Changes()
        expires_at = now + life_s
        data = await self._data.changes_for_renewal(instance.data_id, expires_at)
        self._count.keep(instance.service_id, expires_at)
        parts = [data]
        if expires_at < instance.expires_at:
            parts += [
                await holdings.shorten(instance.service_id, expires_at)
                for holdings in self._holdings
            ]
        return Changes(
            (instance.to_put(expires_at), *(one for part in parts for one in part.changes)),
            (
                Unchanged(SERVICE, instance.service_id, instance.version),
                *(one for part in parts for one in part.conditions),
            ),
        )

    async def touch(self, instance: ServiceInstance, life_s: float | None = None) -> None:
        """Keep a used service alive, as a unit of its own; losing a race is no harm."""
        renewal = await self.renewal(instance, life_s)
        if not renewal.changes:
            return
        try:
            await self._commit(renewal.changes, renewal.conditions)
        except ConditionFailed:
            self.log.debug("Renewed by another: {service_id}", service_id=instance.service_id)

    # Requests.

    async def request(
        self,
        service_id: str,
        request: str,
        fields: Mapping[str, FormValue],
        user: GmsUser | None,
        *,
        internal: bool = False,
    ) -> object:
        """Carry out a request to a service; returns the JSON value to answer, or :class:`Verbatim`.

        Spec: Service API, "Service specific Request".

        :param internal: the caller is on ``server/internal_allow``.
        :raises InternalOnly: ``internal-...`` is not for callers from outside (V12).
        :raises ServiceNotFound: as :meth:`find`.
        :raises RequestUnknown: the service has no such request.
        """
        if request.startswith(_INTERNAL_REQUESTS):
            _check_internal(internal)
        instance = await self.find(service_id, user)
        if request == "update":
            return await self._tasks.finish(
                "update of a service's data", self._update(instance, fields)
            )
        kind = self._kind_of(instance)
        if kind is None:
            raise RequestUnknown("This service has no such request.")
        return await self._tasks.finish(
            "request to a service", kind.request(instance, request, fields, user)
        )

    async def _update(
        self, instance: ServiceInstance, fields: Mapping[str, FormValue]
    ) -> Mapping[str, object]:
        """Spec: Orchestration Server-based Services, "update"."""
        _, data = split_fields(fields)
        event = ServiceEvent(
            event_id=self._ids.hex(32),
            tag=f"service.updated.{instance.service_id.replace('-', '')}",
            message=json.dumps({"_id": instance.service_id, "_data_id": instance.data_id}),
            service_id=instance.service_id,
            user=instance.user,
        )
        await self.touch(instance)
        instance = await self._again(instance)
        life_s = max(1, int(instance.expires_at - self._wall.now()))
        await self._data.update(instance.data_id, data, life_s)
        # Choice: the news follows the data in a unit of its own.  Until it is stored the
        # request is not answered, so whoever lost the answer asks again.
        owed = self._events.changes_for(event)
        if owed:
            await self._commit(owed, ())
        self._events.published(event)
        return {}

    async def _again(self, instance: ServiceInstance) -> ServiceInstance:
        found = await self.peek(instance.service_id)
        if found is None:
            raise not_found()
        return found

    # Ending.

    async def delete(self, service_id: str, user: GmsUser | None) -> None:
        """End a service: its chat is left, its data is removed.

        :raises ServiceNotFound: as :meth:`find`.
        """
        instance = await self.find(service_id, user)
        await self._tasks.finish("deletion of a service", self._delete(instance))

    async def over(self, instance: ServiceInstance, conditions: tuple[Condition, ...] = ()) -> None:
        """Take a service away whose logic has come to its end; its data stays for its time.

        :param conditions: what must hold for that.
        :raises ConditionFailed: one of them does not hold.
        """
        ending = Changes(conditions=conditions)
        await self._tasks.finish("end of a service", self._remove(instance, ending, data=False))

    def _kind_of(self, instance: ServiceInstance) -> ServiceKind | None:
        return self._kinds.get(instance.service) if instance.session is None else self._orchestrated

    async def _delete(self, instance: ServiceInstance) -> None:
        kind = self._kind_of(instance)
        ending = Changes() if kind is None else await kind.end(instance)
        await self._remove(instance, ending, data=True)

    async def _remove(self, instance: ServiceInstance, ending: Changes, *, data: bool) -> None:
        for remaining in reversed(range(_DELETE_TRIES)):
            parts = [ending]
            parts += [await one.release(instance.service_id) for one in self._holdings]
            changes: list[Change] = [Delete(SERVICE, instance.service_id)]
            if data:
                changes.append(self._data.change_for_delete(instance.data_id))
            changes += [change for part in parts for change in part.changes]
            conditions = [condition for part in parts for condition in part.conditions]
            # What it holds may change until it is gone; whoever changes that writes the
            # service, too.
            unchanged = Unchanged(SERVICE, instance.service_id, instance.version)
            try:
                await self._commit(changes, (unchanged, *conditions))
                break
            except ConditionFailed as error:
                if not remaining or error.condition in ending.conditions:
                    raise
            again = await self.peek(instance.service_id)
            if again is None:
                # Its logic has taken it away meanwhile, and left the data.
                rest = [self._data.change_for_delete(instance.data_id)] if data else []
                await self._commit((*ending.changes, *rest), ending.conditions)
                break
            instance = again
        self._count.drop(instance.service_id)
        self.log.info("Service {service_id} is gone", service_id=instance.service_id)

    async def _commit(self, changes: Sequence[Change], conditions: Sequence[Condition]) -> None:
        unit = Unit(UnitId(self._ids.uuid()), tuple(changes), tuple(conditions))
        await self._store.commit(unit)

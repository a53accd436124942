"""Services whose logic is a state chart, wherever it runs.

Spec: Orchestration Server-based Services, "Common Characteristics".

::

    create:   start a session -> its id is the service's id -> store the service
              -> request gms.start -> what the session answers is the client's answer
    request:  request of the same name -> what the session answers
    end:      the session is ended; the session ends: the service is over

Knows: what is special about these services, which parameters go along.  Does not know:
state charts, HTTP, how a session is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol

from twisted.logger import Logger

from gms_twisted.app.builtin.session_answers import created, refusal
from gms_twisted.app.nodes import Alone, Ownership
from gms_twisted.app.orchestration import (
    AnswerLate,
    Orchestrator,
    OrsUnreachable,
    RequestUnhandled,
    Servers,
    SessionAt,
    SessionUnknown,
)
from gms_twisted.app.places import read_place
from gms_twisted.app.service_definitions import MAX_NAME_BYTES, ServiceDefinition
from gms_twisted.app.service_kinds import Beginning, Verbatim
from gms_twisted.app.service_records import Changes, ServiceInstance
from gms_twisted.app.services import ServiceInstances, not_found
from gms_twisted.config.ors_options import OrsOptions
from gms_twisted.domain.errors import (
    GmsError,
    InvalidRequest,
    NodeAway,
)
from gms_twisted.domain.ids import GmsUser
from gms_twisted.domain.values import FormValue
from gms_twisted.store.interfaces import ConditionFailed, LeaseHeld

_YES = frozenset({"true", "1", "yes", "on"})
_OURS = frozenset({"_ors", "_ors_lb_strategy", "_username", "_password", "_service"})
"""Options that are no application's business."""

_OPTIONS_ONLY = frozenset({"_agent_group", "_poke_message"})
"""Choice: what the operator decides alone; which agents serve, which words a poke has."""

# Choice: the reference's advanced chat calls them without the underscore.
_DEVICE = ("device_os", "device_notification_id")


class Announced(Protocol):
    """Remembers which services have an agent for their chat."""

    async def answered(self, instance: ServiceInstance, body: str) -> None:
        """A session has answered a request: see whether it says so."""


class ChatEnding(Protocol):
    """The chat of a service, as far as its logic must know."""

    async def is_going_on(self, instance: ServiceInstance) -> bool:
        """Tell whether there is one that has not ended."""

    async def end(self, instance: ServiceInstance) -> Changes:
        """Leave it, if there is one."""


class DeviceSubscriptions(Protocol):
    """Subscriptions of the Notification API."""

    async def delete_of(self, subscriber: str) -> None:
        """Remove all of a subscriber's."""


class OrchestratedServices:
    """A :class:`gms_twisted.app.service_kinds.ServiceKind` for all of them.

    Also the :class:`gms_twisted.app.orchestrator_needs.OwnerRules` of sessions.

    :param orchestrator: runs the sessions.
    :param chats: their chats.
    :param subscriptions: those of devices, which sessions make in their own names.
    :param nodes: who owns which session; all are ours without.
    """

    log = Logger()

    default_life_s = 3600.0
    idle = False

    def __init__(
        self,
        services: ServiceInstances,
        orchestrator: Orchestrator,
        chats: ChatEnding,
        announced: Announced,
        subscriptions: DeviceSubscriptions,
        options: OrsOptions,
        nodes: Ownership | None = None,
    ) -> None:
        self._services = services
        self._nodes = nodes or Alone()
        self._orchestrator = orchestrator
        self._chats = chats
        self._announced = announced
        self._subscriptions = subscriptions
        self.options = options

    # ServiceKind.

    async def start(self, beginning: Beginning) -> Verbatim:
        """Start the session, then ask it for the answer.

        :raises ApplicationUnusable: the application cannot be read or run.
        :raises OrsUnreachable: no server could be asked.
        :raises AnswerLate: the session does not answer in time; it goes on (X10).
        :raises SessionOver: it ended without an answer.
        """
        definition = beginning.definition
        parameters = self._parameters(beginning)
        session = await self._orchestrator.start(
            definition.service, parameters, _servers(definition), hold=True
        )
        try:
            await self._store(beginning, session)
        except BaseException:
            await self._end(session)
            raise
        try:
            reply = await self._orchestrator.request(session, "gms.start", {})
        except AnswerLate:
            raise
        except GmsError:
            await self._give_up(session)
            raise
        if not reply.positive:
            await self._give_up(session)
            return Verbatim(reply.body, refusal(reply.body))
        instance = await self._services.peek(session.session_id)
        if instance is not None:
            await self._announced.answered(instance, reply.body)
        verbose = definition.parameter("_verbose", parameters).strip().lower() in _YES
        return created(session.session_id, reply, verbose=verbose)

    async def request(
        self,
        instance: ServiceInstance,
        request: str,
        fields: Mapping[str, FormValue],
        user: GmsUser | None,
    ) -> object:
        """Ask the session.

        :raises ServiceNotFound: its session is over.
        :raises RequestUnhandled: it has no such request.
        :raises AnswerLate: it did not answer in time.
        """
        assert instance.session is not None
        if "." in request:
            # Choice: names with a dot are events of ours (``interaction.present``, ``gms.start``);
            # a customer's program must not send itself those.
            raise RequestUnhandled("This service has no such request.")
        parameters = _texts(fields)
        _check_place(parameters)
        try:
            reply = await self._orchestrator.request(instance.session, request, parameters)
        except SessionUnknown:
            # It ended while nobody looked, or its server has lost it.
            with _moved():
                await self.session_over(instance.service_id)
            raise not_found() from None
        if reply.positive:
            await self._announced.answered(instance, reply.body)
        return Verbatim(reply.body, 200 if reply.positive else refusal(reply.body))

    async def end(self, instance: ServiceInstance) -> Changes:
        """End the session, and leave the chat."""
        assert instance.session is not None
        changes = await self._chats.end(instance)
        try:
            await self._orchestrator.end(instance.session)
        except OrsUnreachable:
            self.log.warn(
                "The session of service {service_id} could not be told that it is over",
                service_id=instance.service_id,
            )
        await self.session_gone(instance.service_id)
        return changes

    async def forget_lost(
        self, is_meant: Callable[[str], bool], is_there: Callable[[str], bool]
    ) -> None:
        """Take away services of sessions of ours that were never stored.

        A service is stored first, its session with what it makes of the first request: a
        process that is killed in between leaves a service that nobody was told of.

        :param is_meant: whether to judge a service, by its id; asked again before it goes.
        :param is_there: whether a session is here, by its id.
        """

        def is_lost(service_id: str) -> bool:
            return is_meant(service_id) and not is_there(service_id)

        lost = [
            one.service_id
            async for one in self._services.all()
            if one.session is not None and not one.session.home and is_lost(one.service_id)
        ]
        for service_id in lost:
            if is_lost(service_id):
                with suppress(ConditionFailed):  # another node has it by now
                    await self.session_over(service_id)

    # OwnerRules.

    async def lasts_until(self, session_id: str) -> float:
        """Until when the service of a session lives, 0 when there is none."""
        instance = await self._services.peek(session_id)
        return 0.0 if instance is None else instance.expires_at

    async def session_over(self, session_id: str) -> None:
        """Take the service of a session away; one with a chat stays until its time is over.

        :raises ConditionFailed: another node has the session.
        """
        instance = await self._services.peek(session_id)
        if instance is None or instance.session is None:
            return
        if not await self._chats.is_going_on(instance):
            await self._services.over(instance, self._lease(instance.session))

    async def session_gone(self, session_id: str) -> None:
        """Remove the subscriptions that a session has made and left."""
        try:
            await self._subscriptions.delete_of(session_id)
        except GmsError as error:
            self.log.warn(
                "Subscriptions of session {session_id} stay until their time is over: {error}",
                session_id=session_id,
                error=error.code,
            )

    async def adopt(self, session: SessionAt, source: str, parameters: Mapping[str, str]) -> None:
        """Make a service for a session that somebody else has started.

        A ``_ttl`` that is none counts as absent, as it does for the session.
        """
        own = {
            name: value
            for name, value in parameters.items()
            if name.startswith("_") and name not in ("_data_id", "_service_name")
        }
        name = parameters.get("_service_name", "").strip() or source
        user = parameters.get("gms_user", "")
        try:
            life_s = ServiceDefinition(name, True, source).life(own, self.default_life_s)
        except InvalidRequest:
            life_s = self.default_life_s
        with _moved():
            await self._services.adopt(
                session,
                name[:MAX_NAME_BYTES],
                source,
                own,
                GmsUser(user) if user else None,
                life_s,
                self._lease(session),
            )

    # Parts.

    def _lease(self, session: SessionAt) -> tuple[LeaseHeld, ...]:
        """That the session's owner is who we think it is; nobody asks about others' servers."""
        return () if session.home else self._nodes.conditions(session.session_id)

    async def _store(self, beginning: Beginning, session: SessionAt) -> None:
        """Put a service together with its session.

        :raises Unavailable: another node has the session by now.
        """
        with _moved():
            await beginning.store(Changes(conditions=self._lease(session)), session)

    async def _end(self, session: SessionAt) -> None:
        try:
            await self._orchestrator.end(session)
        except GmsError as error:
            self.log.debug("A session could not be ended: {error}", error=error.code)

    async def _give_up(self, session: SessionAt) -> None:
        """Leave nothing of a service whose creation failed."""
        await self._end(session)
        with _moved():
            await self.session_over(session.session_id)

    def _parameters(self, beginning: Beginning) -> Mapping[str, str]:
        """What the session gets as ``_data``: options beat what the request says (V09)."""
        definition = beginning.definition
        parameters = {
            f"_{name}": value
            for name in _DEVICE
            if isinstance(value := beginning.data.get(name, ""), str) and value
        }
        parameters |= {
            name: value for name, value in beginning.parameters.items() if name not in _OPTIONS_ONLY
        }
        parameters |= {
            name: value for name, value in definition.options.items() if value and name not in _OURS
        }
        if self.options.pass_defaults:
            # Spec: "request-inbound-delay": the default is true.
            parameters.setdefault("_access_info_via_event", "true")
        _check_place(parameters)
        parameters["_data_id"] = beginning.data_id
        parameters["_ttl"] = f"{beginning.life_s:.0f}"
        parameters["_service_name"] = definition.name
        if beginning.user is not None:
            parameters["gms_user"] = beginning.user
        return parameters


@contextmanager
def _moved() -> Iterator[None]:
    """A lease that is another's means: not now.

    :raises NodeAway: it is.
    """
    try:
        yield
    except ConditionFailed as error:
        if not isinstance(error.condition, LeaseHeld):
            raise
        raise NodeAway("The service goes on at another node.") from None


def _servers(definition: ServiceDefinition) -> Servers | None:
    """The servers of its own that a service has, if any."""
    urls = tuple(
        url for one in definition.options.get("_ors", "").split(",") if (url := one.strip())
    )
    strategy = definition.options.get("_ors_lb_strategy", "").strip().lower()
    return Servers(urls, strategy != "linear") if urls else None


def _texts(fields: Mapping[str, FormValue]) -> dict[str, object]:
    """A request's parameters; a session takes no files.

    :raises InvalidRequest: one is a file.
    """
    parameters: dict[str, object] = {}
    for name, value in fields.items():
        if not isinstance(value, str):
            raise InvalidRequest(f"{name} cannot be a file here; use update.", name)
        parameters[name] = value
    return parameters


def _check_place(parameters: Mapping[str, object]) -> None:
    """Hardening V07: coordinates are numbers in range, or the request is refused.

    :raises InvalidRequest: they are not; names the parameter.
    """
    given = [parameters.get(name) for name in ("_latitude", "_longitude")]
    latitude, longitude = (one if isinstance(one, str) else "" for one in given)
    if latitude or longitude:
        read_place(latitude, longitude)

"""Orchestration and the contact centre: who runs sessions, what their actions do.

::

    ServiceInstances -> OrchestratedServices -> Orchestrators
        Orchestrators -+-> EmbeddedOrchestrator -> SessionHost -> Interpreter
                       +-> OrsClient -> other servers
    SessionHost -> Modules -+-> queue, interaction -> HomeCentre -+-> other nodes
                            |                         EmbeddedContactCentre -> desk
                            +-> services, notifications, storage, places, web

Knows: which objects there are and what each gets.  Does not know: HTTP, pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThreadPool

from gms_twisted.app.applications import Applications
from gms_twisted.app.basic_http import message_of
from gms_twisted.app.builtin.orchestrated import OrchestratedServices
from gms_twisted.app.call_services import MatchedServices
from gms_twisted.app.modules.fetching import Fetching
from gms_twisted.app.modules.gms import Gms
from gms_twisted.app.modules.gsg_based_services import GsgBasedServices
from gms_twisted.app.modules.gsg_notification import GsgNotification
from gms_twisted.app.modules.gsg_storage import GsgStorage
from gms_twisted.app.modules.interaction import Interactions, interaction_object
from gms_twisted.app.modules.modules import Modules
from gms_twisted.app.modules.queue import Queue
from gms_twisted.app.modules.session import Sessions
from gms_twisted.app.modules.yahoo_placefinder import YahooPlacefinder
from gms_twisted.app.nodes import Nodes
from gms_twisted.app.operations import Module
from gms_twisted.app.ops_sessions import OrchestrationHealth
from gms_twisted.app.orchestration import Servers
from gms_twisted.app.orchestrator import EmbeddedOrchestrator
from gms_twisted.app.orchestrators import Orchestrators
from gms_twisted.app.outgoing import Gate, Limits
from gms_twisted.app.places import Places
from gms_twisted.app.session_chats import SessionChats
from gms_twisted.app.session_host import SessionHost
from gms_twisted.app.shared_sessions import SharedSessions
from gms_twisted.app.storage_areas import StorageAreas
from gms_twisted.app.tasks import Tasks
from gms_twisted.app.telephony import Interaction
from gms_twisted.app.user_sessions import UserSessions
from gms_twisted.application_check import folders
from gms_twisted.config.options import Configuration
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import Unavailable
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.embedded.centre_figures import CentreFigures
from gms_twisted.embedded.contact_centre import EmbeddedContactCentre
from gms_twisted.embedded.home_centre import HomeCentre
from gms_twisted.rest.replies import status_for
from gms_twisted.scxml.effects import PostEvent
from gms_twisted.store.interfaces import Store
from gms_twisted.system import ScriptClock, give_back_memory
from gms_twisted.transports.document_files import DocumentFolders
from gms_twisted.transports.ors import OrsEvents
from gms_twisted.transports.ors_client import OrsClient
from gms_twisted.transports.ors_servers import ServerOrder
from gms_twisted.wiring_push import PushHouse
from gms_twisted.wiring_services import ServiceHouse

MAX_ANSWER_BYTES = 262_144


class OrchestrationHouse:
    """Sessions of this process and of others, and the contact centre.

    :param files: of a service, for those who talk to its customer.
    :param site_url: where this server is found from outside; ends in ``/``.
    :param config_path: the configuration file; applications may stand beside it.
    :param nodes: other nodes, and who owns what.
    :ivar embedded: runs sessions here; ``None``: other servers do.
    :ivar sessions: reaches those of all nodes; ``None`` likewise.
    :ivar centre: the contact centre of this process, in use while it is the home node.
    :ivar home: the contact centre wherever it is, for sessions.
    """

    def __init__(
        self,
        configuration: Configuration,
        store: Store,
        reactor: Any,
        wall: WallClock,
        ids: IdSource,
        tasks: Tasks,
        counters: Counters,
        areas: StorageAreas,
        push: PushHouse,
        kinds: ServiceHouse,
        files: Callable[[str], Any],
        site_url: Callable[[], str],
        config_path: Path,
        nodes: Nodes,
        *,
        loopback_only: bool,
    ) -> None:
        self._configuration, self._config_path = configuration, config_path
        self._loopback_only = loopback_only
        self._store, self._push, self._kinds = store, push, kinds
        gate = push.gates.orchestration
        self.places = Places(configuration.resource_groups, configuration.ors.max_distance_km)
        self.centre = EmbeddedContactCentre(
            reactor,
            wall,
            ids,
            MatchedServices(kinds.services, kinds.access.match, files, self._place_of),
            kinds.access.phones,
            configuration.contact_centre,
        )
        self.home = HomeCentre(nodes, self.centre, reactor, tasks)
        self.figures = CentreFigures(self.centre, counters)
        self._order = ServerOrder(*_order_of(configuration))
        self._client = OrsClient(gate, self._order, self._request_limits(configuration))
        self.embedded: EmbeddedOrchestrator | None = None
        self.sessions: SharedSessions | None = None
        allowed = folders(configuration, config_path, loopback_only)
        self._documents = DocumentFolders(reactor, allowed.roots, anywhere=allowed.anywhere)
        self._applications = Applications(
            self._documents,
            gate,
            reactor,
            tasks,
            allowed.bundled,
            lambda work: deferToThreadPool(reactor, reactor.getThreadPool(), work),
        )
        self._placefinder = YahooPlacefinder(self.places, gate, configuration.ors.placefinder_url)
        self._notifications = GsgNotification(
            push.subscriptions,
            push.notifications,
            kinds.services,
            tasks,
            configuration.push,
            status_for,
        )
        if self._wants_embedded(configuration):
            queue, calls = Queue(self.home, reactor), Interactions(self.home)
            modules: dict[str, Module] = {
                "queue": queue,
                "interaction": calls,
                "gsgBasedServices": GsgBasedServices(kinds.services, status_for),
                "gsgNotification": self._notifications,
                "gsgStorage": GsgStorage(areas, tasks, status_for),
                "yahoo_placefinder": self._placefinder,
                "gms": Gms(self.places),
            }
            actions = Modules(
                modules,
                forget=(queue.session_ended, self.home.session_ended),
                event_bytes=256 * 1024,
            )
            host = SessionHost(
                store,
                reactor,
                wall,
                ids,
                tasks,
                counters,
                self._applications,
                actions,
                EventPoster(gate),
                interaction_object,
                site_url,
                configuration.ors,
                lambda: _timeout_s(self._configuration),
                ScriptClock(),
                give_back_memory,
                nodes,
                self._calls_of,
            )
            self.embedded = EmbeddedOrchestrator(host, configuration.ors)
            self.sessions = host.everywhere = SharedSessions(
                self.embedded, nodes, tasks, reactor, lambda: _timeout_s(self._configuration)
            )
            modules["session"] = Sessions(self.sessions, Fetching(gate), tasks, wall)
            self.home.watch(self.embedded)
            self.home.news.is_ready = host.shards.is_ready
        self.orchestrators = Orchestrators(self.sessions, self._client)
        self._follow_servers(configuration)
        self.health = OrchestrationHealth(self.embedded, self._client)
        self.services = OrchestratedServices(
            kinds.services,
            self.orchestrators,
            kinds.chats,
            kinds.permission,
            push.subscriptions,
            configuration.ors,
            nodes,
        )
        if self.embedded is not None:
            self.embedded.host.owners = self.services
        kinds.services.register_orchestrated(self.services)
        kinds.keeper.listener = SessionChats(self.orchestrators, tasks, reactor)
        push.orchestrate(self.orchestrators)
        self.users = UserSessions(
            store, reactor, kinds.services, self.embedded, self.sessions, nodes
        )

    async def start(self) -> None:
        """Go on with the sessions that are stored."""
        if self.embedded is not None:
            await self.embedded.host.recover()
            if self.embedded.host.alone:
                await self.embedded.host.forget_lost(lambda _: True)

    def stop(self) -> None:
        """Hold still."""
        self.home.stop()
        if self.embedded is not None:
            self.embedded.host.stop()

    def reconfigure(self, configuration: Configuration) -> None:
        """Take new options; nothing of it can fail."""
        self._configuration = configuration
        self.places.reconfigure(configuration.resource_groups, configuration.ors.max_distance_km)
        self._order.reconfigure(*_order_of(configuration))
        self._client.reconfigure(self._request_limits(configuration))
        self._follow_servers(configuration)
        allowed = folders(configuration, self._config_path, self._loopback_only)
        self._documents.reconfigure(allowed.roots, anywhere=allowed.anywhere)
        self._applications.reconfigure()
        self._placefinder.reconfigure(configuration.ors.placefinder_url)
        self._notifications.reconfigure(configuration.push)
        self.services.options = configuration.ors
        self.centre.reconfigure(configuration.contact_centre)
        if self.embedded is not None:
            self.embedded.reconfigure(configuration.ors)

    # Parts.

    async def _calls_of(self, session_id: str) -> Sequence[Interaction]:
        return await self.home.interactions(session_id)

    def _follow_servers(self, configuration: Configuration) -> None:
        gms = configuration.gms
        limits = Limits(gms.http_connection_timeout_s, gms.http_socket_timeout_s, 65_536)
        known = bool(self._order.everywhere)
        gate = self._push.gates.orchestration
        self.orchestrators.events = OrsEvents(gate, self._order, limits) if known else None

    def _place_of(self, latitude: float, longitude: float) -> str:
        found = self.places.nearest(latitude, longitude)
        return "" if found is None else found.name

    @staticmethod
    def _wants_embedded(configuration: Configuration) -> bool:
        wanted = configuration.ors.embedded
        return not configuration.server.ors if wanted is None else wanted

    @staticmethod
    def _request_limits(configuration: Configuration) -> Limits:
        timeout_s = _timeout_s(configuration)
        connect_s = configuration.gms.http_connection_timeout_s
        return Limits(connect_s, timeout_s, MAX_ANSWER_BYTES, wait_s=timeout_s)


class EventPoster:
    """A :class:`gms_twisted.app.orchestrator_needs.Poster` through the outgoing gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def post(self, effect: PostEvent) -> None:
        """Post it.

        :raises GmsError: it was not taken.
        """
        content_type, body = message_of(effect)
        headers = {"Content-Type": content_type}
        answer = await self._gate.request("POST", effect.url, headers, body, Limits())
        if not 200 <= answer.status < 300:
            raise Unavailable(f"The answer is {answer.status}.")


def _timeout_s(configuration: Configuration) -> float:
    return configuration.ors.request_timeout_s or configuration.gms.http_socket_timeout_s


def _order_of(configuration: Configuration) -> tuple[Servers, int, Sequence[Servers]]:
    server = configuration.server
    own = [
        Servers(urls, service.values.get("_ors_lb_strategy", "").lower() != "linear")
        for service in configuration.services.values()
        if (urls := urls_of(service.values))
    ]
    servers = Servers(tuple(server.ors), server.ors_lb_strategy == "circular")
    return servers, configuration.ors.max_ors_request_attempts, own


def urls_of(options: Mapping[str, str]) -> tuple[str, ...]:
    """The servers of a service's own."""
    return tuple(one.strip() for one in options.get("_ors", "").split(",") if one.strip())

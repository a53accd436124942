"""The composition root: every object of one process, and who talks to whom.

Two halves.  :class:`Foundation` is what needs nothing opened: the store, the
rooms, the way to chat servers.  :class:`House` stands on a store that is open,
since identities need a key that is kept in it.  :mod:`gms_twisted.process` opens
and closes them in order.

::

    listeners -> FrontDoor --+-- BayeuxHotPath -> Comet -> BayeuxServer
                             +-- RestAdmission, Api (Klein) -> rest/* -> app/*
    app/*  -> Store (SQLite)                    Comet -> Desk -> rooms
    services, chats: wiring_services.py    push: wiring_push.py
    sessions, calls: wiring_orchestration.py
    Chats  -> ChatServers -> TCP -> ChatServer (embedded, or others) -> rooms -> Store
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThreadPool

from gms_twisted import __version__
from gms_twisted.app.access_views import NumberViews
from gms_twisted.app.broadcasts import Broadcasts
from gms_twisted.app.cluster_health import ClusterHealth
from gms_twisted.app.comet import Comet
from gms_twisted.app.comet_figures import tell_about
from gms_twisted.app.desk_accounts import DeskAccounts
from gms_twisted.app.health import NodeHealth
from gms_twisted.app.home_sessions import HomeSessions
from gms_twisted.app.loop_lag import LoopLag
from gms_twisted.app.node_metrics import NodeMetrics
from gms_twisted.app.nodes import HOME, Nodes
from gms_twisted.app.ops import Ops
from gms_twisted.app.ops_everywhere import ProblemsEverywhere, SessionsEverywhere
from gms_twisted.app.ops_health import HealthWatch
from gms_twisted.app.ops_nodes import NodeFigures, NodeOverview
from gms_twisted.app.ops_services import StoredServices
from gms_twisted.app.ops_sessions import SessionOverview
from gms_twisted.app.ops_sources import OpsSources
from gms_twisted.app.poking import Poking
from gms_twisted.app.reloads import Configured
from gms_twisted.app.storage_areas import StorageAreas
from gms_twisted.app.tasks import Tasks
from gms_twisted.app.traffic import Traffic
from gms_twisted.cluster.cluster import Cluster
from gms_twisted.cluster.place import place_of
from gms_twisted.cluster.registry import Run
from gms_twisted.config.describe import describe
from gms_twisted.config.options import Configuration
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.errors import GmsError
from gms_twisted.domain.redis_url import is_redis
from gms_twisted.embedded.admin_calls import AdminCalls
from gms_twisted.embedded.chat_server import ChatServer, loopback_endpoints
from gms_twisted.embedded.desk import Desk
from gms_twisted.embedded.desk_calls import DeskCalls
from gms_twisted.embedded.ops_calls import CallOverview
from gms_twisted.embedded.ops_chats import ChatOverview, served
from gms_twisted.embedded.passwords import ScryptHasher
from gms_twisted.embedded.room_nodes import RoomNodes
from gms_twisted.http.addresses import Networks
from gms_twisted.http.frontdoor import FrontDoor
from gms_twisted.http.identity import Identity
from gms_twisted.http.limiter import AddressLimiter
from gms_twisted.http.origins import Origins
from gms_twisted.logs import RecentProblems
from gms_twisted.rest.admission import Passwords, PortRestrictions, RestAdmission
from gms_twisted.rest.balancer import balancer_page
from gms_twisted.rest.chat import ChatApi
from gms_twisted.rest.contact_centre import ContactCentreApi
from gms_twisted.rest.desk import DemoApi, DeskApi
from gms_twisted.rest.health import HealthApi
from gms_twisted.rest.lookups import LookUps
from gms_twisted.rest.node import NodeApi
from gms_twisted.rest.notifications import NotificationsApi
from gms_twisted.rest.orchestrator import BODY_LIMIT, MAX_EVENT_BYTES, OrchestratorApi
from gms_twisted.rest.pages import Pages
from gms_twisted.rest.root import Api
from gms_twisted.rest.service_door import ServiceDoor
from gms_twisted.rest.services import ServicesApi
from gms_twisted.rest.storage import StorageApi
from gms_twisted.rest.waiting import WaitingApi
from gms_twisted.store.interfaces import Store
from gms_twisted.store.memory import MemoryStore
from gms_twisted.store.redis import RedisStore, redis_store
from gms_twisted.store.sqlite import sqlite_path, sqlite_store
from gms_twisted.store.sweeper import Sweeper
from gms_twisted.store.wall import SharedWallClock, SteadyWallClock
from gms_twisted.system import SystemIds, SystemWallClock, resident_bytes
from gms_twisted.transports.bayeux_relay import BayeuxRelay
from gms_twisted.transports.chatserver import ChatServers, endpoints
from gms_twisted.transports.hotpath import BayeuxHotPath
from gms_twisted.transports.listening import CannotListen, Listener, descriptions
from gms_twisted.transports.pages import HttpPages
from gms_twisted.transports.relay import NodeRelay
from gms_twisted.wiring_orchestration import OrchestrationHouse
from gms_twisted.wiring_push import PushHouse
from gms_twisted.wiring_services import ServiceHouse, per_minute
from gms_twisted.workers.leash import Leash


@dataclass(frozen=True)
class Settings:
    """What the command line says.

    :ivar config_path: the configuration file.
    :ivar listen: endpoint descriptions; beat those of the configuration.
    :ivar log_file: what ``twistd --logfile`` said, ``""`` for standard output.
    :ivar reread: reads the configuration again, for ``SIGHUP``.
    :ivar leash: what ties a worker to its parent; ``None``: this process is nobody's worker.
    :ivar output: where log lines go instead, if anywhere.
    """

    data_directory: Path
    config_path: Path
    listen: tuple[str, ...]
    log_format: str
    log_level: str
    log_file: str
    foreground: bool
    reread: Callable[[], Any]
    leash: Leash | None = None
    output: TextIO | None = None


SWEEPING = "sweeping"
"""Name of what one node does for all: giving back what expired data in Redis uses."""


def listen_on(configuration: Configuration, settings: Settings) -> Sequence[str]:
    """Endpoint descriptions, from whoever says them first."""
    return descriptions(configuration.server, settings.listen)


class Foundation:
    """What exists before anything is opened.

    :param problems: what the log has seen; for the operator page.
    """

    def __init__(
        self,
        configuration: Configuration,
        settings: Settings,
        reactor: Any,
        problems: RecentProblems | None = None,
    ) -> None:
        self.reactor = reactor
        self.configuration = configuration
        self.settings = settings
        self.ids = SystemIds()
        self.shared = SharedWallClock(SystemWallClock())
        self.wall = SteadyWallClock(self.shared, reactor)
        self.counters = Counters()
        self.lag = LoopLag(reactor, self.counters)
        self.problems = problems if problems is not None else RecentProblems()
        self.tasks = Tasks()
        self.store = self._store()
        self.sweeper = Sweeper(self.store, reactor, configuration.storage.purge_interval_s)
        self.chat_server: ChatServer | None = None
        if self._wants_chat_server():
            self.chat_server = ChatServer(
                self.store,
                configuration.chat_server,
                reactor,
                self.wall,
                self.ids,
                str(configuration.server.node_id),
            )
        self.room_nodes: RoomNodes | None = None
        self.gateway = ChatServers(
            configuration.chat,
            lambda: self.chat_server.address() if self.chat_server else None,
            endpoints(reactor),
            HttpPages(reactor),
            reactor,
            self.ids,
            lambda server: self.chat_server.near(server) if self.chat_server else None,
        )

    def reconfigure(self, configuration: Configuration) -> None:
        """Take what concerns the store."""
        self.configuration = configuration
        take = getattr(self.store, "reconfigure", None)
        if take is not None:
            take(configuration.store)

    def cluster(self, lost: Callable[[str], None]) -> Cluster | None:
        """Make this process one of those on our Redis, if there is one.

        :param lost: told why this process must not go on.
        """
        store = self.store
        if not isinstance(store, RedisStore):
            return None
        place = place_of(self.settings.data_directory, self.ids)
        run = self.run(self.ids.hex(32), place)
        options = self.configuration.cluster
        told, ids = self.shared.told, self.ids
        link, prefix = store.link, store.prefix
        made = Cluster(link, prefix, run, options, self.reactor, ids, lost, told, HOME)
        store.sweeps = lambda: made.is_ours(SWEEPING)
        return made

    def run(self, word: str = "", place: str = "") -> Run:
        """Describe this process to others, and to people."""
        address = f"{socket.gethostname()}, process {os.getpid()}"
        return Run(self.configuration.server.node_id, word, place, address, self.wall.now())

    async def open_chat_server(self, cluster: Cluster | None) -> None:
        """Open the built-in chat server, if there is to be one.

        :raises CannotListen: a port that is configured is taken.
        """
        server, chat, reactor = self.chat_server, self.configuration.chat, self.reactor
        if server is None:
            return
        try:
            await server.bind(*loopback_endpoints(reactor, chat))
        except CannotListenError as error:
            option = "flex_port" if error.port == chat.flex_port else "agent_port"
            raise CannotListen(
                f"chat/{option} {error.port} on 127.0.0.1 is taken; every node of one machine "
                "needs its own, or 0 for any"
            ) from error
        if cluster is not None:
            machine = socket.gethostname()
            self.room_nodes = RoomNodes(server, cluster, cluster.aliases, machine, reactor)
        await server.start()
        if self.room_nodes is not None:
            self.room_nodes.start()

    async def close_chat_server(self) -> None:
        """Close it."""
        if self.room_nodes is not None:
            await self.room_nodes.stop()
        if self.chat_server is not None:
            await self.chat_server.stop()

    def balancer_page(self, alias: str) -> bytes | None:
        """The load balancer's page for chat servers."""
        if self.room_nodes is not None:
            return self.room_nodes.balancer_page(alias)
        return None if self.chat_server is None else self.chat_server.balancer_page()

    def _store(self) -> Store:
        options = self.configuration.store
        if options.url.startswith("memory:"):
            return MemoryStore(self.wall, self.ids)
        if is_redis(options.url):
            directory = self.settings.data_directory
            node = place_of(directory, self.ids)
            return redis_store(
                *(self.reactor, directory, options, self.wall, self.ids, node), self.shared
            )
        path = sqlite_path(options.url, self.settings.data_directory)
        return sqlite_store(self.reactor, path, options, self.wall, self.ids)

    def _wants_chat_server(self) -> bool:
        """The built-in chat server runs unless another one is configured, or as told."""
        chat = self.configuration.chat
        if chat.embedded is not None:
            return chat.embedded
        return not chat.chat_server and "://" not in chat.chat_load_balancer_url_path


class House:
    """What stands on an open store.

    :param visitor_key: signs the tokens of the customer page's visitors.
    :param nodes: other nodes, and who owns what.
    """

    def __init__(
        self,
        foundation: Foundation,
        listeners: Sequence[Listener],
        visitor_key: bytes,
        nodes: Nodes,
    ) -> None:
        base = foundation
        self._base = base
        self.nodes = nodes
        self._listeners = listeners
        self.configuration = configuration = base.configuration
        self.configured = Configured(base.wall)
        self.loopback_only = all(listener.is_loopback for listener in listeners)
        reactor, store, ids, wall, tasks = base.reactor, base.store, base.ids, base.wall, base.tasks
        limits = configuration.limits
        exempt = _exempt(configuration)

        self.identity = Identity(
            configuration.server,
            wall,
            loopback_only=self.loopback_only,
            visitor_key=visitor_key,
            identity_key=_contents(configuration.server.identity_key),
        )
        self.origins = Origins(configuration.server)
        self.comet = Comet(
            configuration.bayeux,
            reactor,
            wall,
            ids,
            tasks,
            self.identity,
            loopback_only=self.loopback_only,
            exempt=exempt,
            keep_s=configuration.push.comet_keep_s,
            keep_max=configuration.push.comet_keep_max,
            peers=nodes,
        )
        home_sessions = HomeSessions(nodes, self.comet)
        bayeux = configuration.bayeux
        self._handshakes = AddressLimiter(
            reactor, bayeux.handshakes_per_s, bayeux.handshakes_burst, exempt
        )
        self.hot_path = BayeuxHotPath(self.comet, self.identity, self.origins, self._handshakes)
        if nodes.node:
            sessions = self.comet.server.sessions
            self.hot_path.join(BayeuxRelay(nodes, sessions, self.hot_path, home_sessions.run_of))
            nodes.on_change(lambda _: None, lambda _: self.comet.server.spread_returns())
            Broadcasts(nodes, self.comet.server, lambda: self.configuration.cluster.broadcast)

        self.push = PushHouse(
            configuration,
            store,
            reactor,
            wall,
            ids,
            tasks,
            base.counters,
            self.comet,
            nodes,
            loopback_only=self.loopback_only,
        )
        self.areas = StorageAreas(store, ids, wall, reactor, configuration.storage, self.base_url)
        self.kinds = ServiceHouse(
            configuration,
            store,
            reactor,
            wall,
            ids,
            tasks,
            base.counters,
            self.areas,
            self.comet,
            self.push,
            base.gateway,
            self.site_url,
            exempt,
            nodes,
        )
        self.services, self.access = self.kinds.services, self.kinds.access
        self.chats, self.delivery = self.kinds.chats, self.kinds.delivery
        self.orchestration = OrchestrationHouse(
            configuration,
            store,
            reactor,
            wall,
            ids,
            tasks,
            base.counters,
            self.areas,
            self.push,
            self.kinds,
            self._files_of,
            self.site_url,
            base.settings.config_path,
            nodes,
            loopback_only=self.loopback_only,
        )

        self._tries = per_minute(reactor, limits.c07_logins_per_min, Networks(()))
        self.accounts = DeskAccounts(
            store,
            ids,
            reactor,
            wall,
            ScryptHasher(
                lambda call, *args: deferToThreadPool(
                    reactor, reactor.getThreadPool(), call, *args
                ),
                ids,
            ),
            self._tries,
        )
        self.desk: Desk | None = None
        if base.chat_server is not None:
            self.desk = Desk(
                base.chat_server.rooms,
                self.accounts,
                self.comet,
                store,
                reactor,
                wall,
                ids,
                tasks,
                self._files_of,
                configuration.chat,
                configuration.chat_server,
                limits,
                DeskCalls(
                    self.orchestration.centre,
                    store,
                    reactor,
                    ids,
                    configuration.chat_server.agent_grace_s,
                ),
                Poking(self.services),
            )

        self.health = NodeHealth(lambda: self.areas.room.usage.writable)
        self.health.add("storage", self.areas.room.health)
        self.push.watch(self.health)
        self.health.add("orchestration", self.orchestration.health.health)
        self.health.add("contact-centre", self.orchestration.figures.health)
        tell_about(self.comet, base.counters, self.health)
        if nodes.node:
            self.health.add("cluster", ClusterHealth(nodes, base.counters).health)
        watch = HealthWatch(self.health, wall, self._facts)
        self.traffic = Traffic(reactor, wall, base.counters, each=watch.look)
        self.ops = Ops(
            self.accounts,
            self.comet,
            wall,
            watch,
            self.traffic,
            lambda: describe(self.configuration),
            self._ops_sources(),
        )
        self.health.add("access-numbers", self.access.pools.health)
        self._misses = per_minute(reactor, limits.s01_misses_per_min, exempt)
        self._passwords = Passwords(configuration.server, configuration.services)
        self._ports = PortRestrictions(configuration.port_restrictions)
        self.api = self._make_api()
        relay = NodeRelay(nodes)
        self._admission = RestAdmission(
            self.api,
            self.identity,
            self.origins,
            configuration.http,
            self._passwords,
            self._ports,
            self.areas.room.check,
            {
                "push": lambda: self.configuration.push.max_body,
                BODY_LIMIT: lambda: MAX_EVENT_BYTES,
            },
            relay.elsewhere,
        )
        self.door = FrontDoor(
            configuration.http,
            self._admission,
            self.hot_path,
            self.api.resource(),
            reactor,
            wall,
            str(base.settings.data_directory),
            sockets=configuration.bayeux,
            counters=base.counters,
            exempt=exempt,
            relay=relay,
            find_route=self._admission.route_of,
        )
        relay.serve(self.door.carried)

    def reconfigure(self, configuration: Configuration) -> None:
        """Take a new configuration as a whole.

        :raises ValueError: something in it cannot be used; nothing has changed.
        """
        base, server = self._base, configuration.server
        limits, exempt = configuration.limits, _exempt(configuration)
        certificates = [
            (listener.tls, listener.tls.read())
            for listener in self._listeners
            if listener.tls is not None
        ]
        self.identity.reconfigure(server, _contents(server.identity_key))
        # From here on nothing fails: the check has seen every value.
        for tls, certificate in certificates:
            tls.use(certificate)
        self.origins.reconfigure(server)
        bayeux = configuration.bayeux
        self.comet.reconfigure(bayeux, self.identity)
        self.hot_path.reconfigure(self.identity, self.origins)
        self._handshakes.reconfigure(bayeux.handshakes_per_s, bayeux.handshakes_burst, exempt)
        self._passwords.reconfigure(server, configuration.services)
        self._ports.reconfigure(configuration.port_restrictions)
        self._admission.reconfigure(configuration.http)
        self.api.reconfigure(server.base_path_aliases)
        self.door.configure(configuration.http, bayeux, exempt)
        misses = limits.s01_misses_per_min
        self._misses.reconfigure(misses / 60.0, misses, exempt)
        tries = limits.c07_logins_per_min
        self._tries.reconfigure(tries / 60.0, tries, Networks(()))
        self.kinds.reconfigure(configuration, exempt)
        self.orchestration.reconfigure(configuration)
        self.areas.reconfigure(configuration.storage)
        self.push.reconfigure(configuration)
        base.gateway.reconfigure(configuration.chat)
        if base.chat_server is not None:
            base.chat_server.reconfigure(configuration.chat_server)
        if self.desk is not None:
            self.desk.reconfigure(configuration.chat, configuration.chat_server, limits)
        base.reconfigure(configuration)
        self.configuration = configuration

    def _make_api(self) -> Api:
        everywhere = None
        if self.nodes.node:
            everywhere = NodeMetrics(self.nodes, self._base.counters).everywhere
        base, configuration = self._base, self.configuration
        lookups = LookUps(self._misses)
        door = ServiceDoor(self.services, self._passwords, base.tasks)
        desk_api = DeskApi(self.accounts, base.tasks)
        api = Api(base.counters, configuration.server.base_path_aliases, base.reactor)
        cross_origin = bool(configuration.server.allowed_origins)
        api.add(
            StorageApi(self.areas, base.tasks, lookups, cross_origin=cross_origin),
            NodeApi(self.health),
            HealthApi(self.health, base.counters, desk_api.operator, everywhere),
            ServicesApi(self.services, door, lookups),
            NotificationsApi(self.push.subscriptions, self.push.notifications, base.tasks),
            ChatApi(self.chats, door, lookups),
            ContactCentreApi(AdminCalls(self.orchestration.centre), base.tasks),
            desk_api,
            DemoApi(self.identity, base.ids, lambda: self.services.definitions),
            Pages(),
        )
        if self.orchestration.sessions is not None:
            node = configuration.server.node_id
            api.add(OrchestratorApi(self.orchestration.sessions, base.tasks, node))
        if base.chat_server is not None:
            api.add(WaitingApi(self.identity, base.chat_server.rooms))
            path = configuration.chat.chat_load_balancer_url_path
            api.add(balancer_page(path, base.balancer_page))
        return api

    def _ops_sources(self) -> OpsSources:
        """Who tells the operator page what; a source that is left out is "not available"."""
        base, chats = self._base, None
        sessions = self.orchestration.embedded
        if base.chat_server is not None and self.desk is not None:
            chats = ChatOverview(base.chat_server.rooms, self.accounts, self.desk.states)
        return OpsSources(
            services=StoredServices(base.store),
            chats=chats,
            numbers=NumberViews(base.store, self.access.pools),
            notifications=self.push.views,
            senders=self.push.senders,
            problems=ProblemsEverywhere(base.problems, self.nodes),
            sessions=(
                None
                if sessions is None
                else SessionsEverywhere(SessionOverview(sessions), self.nodes)
            ),
            calls=CallOverview(self.orchestration.centre),
            nodes=NodeOverview(self.nodes, base.run(), self._figures()),
        )

    def _figures(self) -> NodeFigures:
        """What this node says of itself to the operators of all."""
        sessions, server = self.orchestration.embedded, self._base.chat_server
        return NodeFigures(
            health=self.health,
            configured=self.configured,
            lag=self._base.lag,
            bayeux=lambda: len(self.comet.server.sessions),
            users=lambda: len(self.comet.users_here()),
            orchestration=None if sessions is None else lambda: len(sessions.host.sessions),
            chats=None if server is None else lambda: served(server.rooms),
            memory=resident_bytes,
            deliveries=lambda: self.traffic.latest("deliveries"),
        )

    def _facts(self) -> Mapping[str, object]:
        """What the operator page says about this server."""
        return {
            "version": __version__,
            "identity_mode": self.identity.mode,
            "listeners": [one.url(socket.gethostname()) for one in self._listeners],
            "store": self.configuration.store.url.partition(":")[0],
        }

    def site_url(self) -> str:
        """Where this server is found from outside; ends in ``/``."""
        server = self.configuration.server
        return server.external_url_base or self._listeners[0].url(socket.gethostname())

    def base_url(self) -> str:
        """What URLs in answers begin with; ends in ``/``."""
        return "/" if self.configuration.server.relative_url else self.site_url()

    async def _files_of(self, service_id: str) -> Sequence[Mapping[str, object]]:
        """The files that came with a service, for the desk."""
        try:
            instance = await self.services.peek(service_id)
            return () if instance is None else await self.areas.files_of(instance.data_id)
        except GmsError:
            return ()


def _exempt(configuration: Configuration) -> Networks:
    """Addresses without limits of their own; a proxy's stands for nobody it names."""
    return Networks((*configuration.limits.exempt, *configuration.server.trusted_proxies))


def _contents(path: str) -> bytes:
    return Path(path).read_bytes() if path else b""

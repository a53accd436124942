"""Services and what they are made of: access numbers, chats.

::

    rest/services, rest/chat -> ServiceInstances -> kinds: request-interaction, request-chat...
    ChatNodes -> Chats -> ChatLine -> chat servers     AccessServices -> AccessNumbers -> Store
                   +---> CometDelivery -> Comet

Knows: which objects there are and what each gets.  Does not know: HTTP, pages, push.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gms_twisted.app.builtin import request_chat_delay
from gms_twisted.app.builtin.access import AccessServices
from gms_twisted.app.builtin.request_chat import NAME as REQUEST_CHAT
from gms_twisted.app.builtin.request_chat import RequestChat
from gms_twisted.app.builtin.request_chat_delay import RequestChatDelay
from gms_twisted.app.chat_answers import ChatAnswers
from gms_twisted.app.chat_delivery import CometDelivery
from gms_twisted.app.chat_keeper import ChatKeeper
from gms_twisted.app.chat_limits import ChatLimits
from gms_twisted.app.chat_line import ChatLine
from gms_twisted.app.chat_nodes import ChatNodes
from gms_twisted.app.chat_permission import ChatPermission
from gms_twisted.app.chat_records import ChatRecords
from gms_twisted.app.chat_start import ChatStarter
from gms_twisted.app.chats import Chats
from gms_twisted.app.comet import Comet
from gms_twisted.app.nodes import Nodes
from gms_twisted.app.service_data import ServiceAreas
from gms_twisted.app.service_definitions import read_definitions
from gms_twisted.app.service_records import ServiceInstance
from gms_twisted.app.services import ServiceInstances
from gms_twisted.app.storage_areas import StorageAreas
from gms_twisted.app.tasks import Tasks
from gms_twisted.config.options import Configuration
from gms_twisted.domain.counters import Counters
from gms_twisted.domain.sources import IdSource, WallClock
from gms_twisted.http.addresses import Networks
from gms_twisted.http.limiter import AddressLimiter
from gms_twisted.store.interfaces import Store
from gms_twisted.transports.chatserver import ChatServers
from gms_twisted.wiring_push import PushHouse


class ServiceHouse:
    """Every kind of service.

    :param site_url: where this server is found from outside.
    :param exempt: addresses without limits of their own.
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
        comet: Comet,
        push: PushHouse,
        gateway: ChatServers,
        site_url: Callable[[], str],
        exempt: Networks,
        nodes: Nodes,
    ) -> None:
        self._configuration = configuration
        self._site_url = site_url
        limits = configuration.limits
        self._creations = per_minute(reactor, limits.v13_services_per_min, exempt)
        self.services = ServiceInstances(
            store,
            ServiceAreas(areas, store, wall),
            tasks,
            wall,
            ids,
            read_definitions(configuration.services),
            limits,
            self._creations,
            push.events,
            user_control=configuration.resources.user_control,
            peers=nodes,
        )
        records = ChatRecords(store, ids, nodes)
        self.keeper = keeper = ChatKeeper(records, self.services, wall, configuration.chat)
        line = ChatLine(gateway, ids)
        answers = ChatAnswers(configuration.chat)
        self.permission = ChatPermission(
            store,
            ids,
            records,
            tasks,
            reactor,
            lambda: self._configuration.chat.verify_agent_available,
        )
        push.notifications.listeners.append(self.permission.published)
        self.delivery = CometDelivery(
            records,
            keeper,
            line,
            comet,
            answers,
            self.services,
            tasks,
            push.notifier,
            reactor,
            configuration.chat,
            configuration.push,
            configuration.bayeux.max_interval_s + 15.0,
            nodes,
        )
        self._chats = Chats(
            self.services,
            records,
            keeper,
            ChatStarter(
                self.services, records, keeper, gateway, line, configuration.chat, self._poke_url
            ),
            line,
            self.delivery,
            answers,
            ChatLimits(reactor, limits),
            self.permission,
            tasks,
            reactor,
            configuration.chat,
        )
        self.chats = ChatNodes(self._chats, nodes, ids, reactor, lambda: self.delivery.ready)
        self.services.register(REQUEST_CHAT, RequestChat(self.chats.end))
        self.services.register(
            request_chat_delay.NAME,
            RequestChatDelay(
                self.chats.begin,
                self.chats.end,
                self.services.data_of,
                self.services.definition_of,
            ),
        )
        locks = limits.v03_per_address
        self._bookings = AddressLimiter(reactor, locks / 600.0, locks, exempt)
        self.access = AccessServices(
            store,
            wall,
            reactor,
            ids,
            counters,
            self.services,
            self._bookings,
            configuration.server,
            limits,
            configuration.resource_groups,
            nodes,
        )
        if nodes.node:
            self.access.pools.share(tasks)

    def reconfigure(self, configuration: Configuration, exempt: Networks) -> None:
        """Take new options; nothing of it can fail."""
        self._configuration = configuration
        limits = configuration.limits
        creations, locks = limits.v13_services_per_min, limits.v03_per_address
        self._creations.reconfigure(creations / 60.0, creations, exempt)
        self._bookings.reconfigure(locks / 600.0, locks, exempt)
        self.services.reconfigure(
            read_definitions(configuration.services),
            limits,
            user_control=configuration.resources.user_control,
        )
        self.access.reconfigure(configuration.server, limits, configuration.resource_groups)
        self._chats.reconfigure(configuration.chat, limits)
        self.delivery.reconfigure(configuration.chat, configuration.push)

    def _poke_url(self, instance: ServiceInstance) -> str:
        """Spec: Advanced Chat Service API, "Execute 'internal-poke' request"."""
        options = self.services.definition_of(instance).options
        base = options.get("_poke_url_base") or self._site_url()
        return f"{base.rstrip('/')}/genesys/1/service/{instance.service_id}/internal-poke"


def per_minute(reactor: Any, count: int, exempt: Networks) -> AddressLimiter:
    """Limit an address to so many a minute, all of them at once if it likes."""
    return AddressLimiter(reactor, count / 60.0, count, exempt)

"""Every option: one frozen dataclass per section, with defaults, units and bounds.

An attribute is named as Python names things; the option in the file is named as
the reference names it, given with ``name=`` where the two differ.  Durations are
float seconds here whatever unit the file has (``unit="ms"``).

Knows: names, types, defaults, bounds.  Does not know: text, files, who uses what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gms_twisted.config.bayeux_options import BayeuxOptions
from gms_twisted.config.option import GIB, KIB, MIB, option
from gms_twisted.config.ors_options import OrsOptions
from gms_twisted.config.push_options import PushOptions

MAX_NODE_ID = 1295
"""Two digits to the base of 36."""

MAX_WORKERS = 64

NODES_EACH = 100
"""How many node numbers each ``server/node_id`` stands for when it has workers."""


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Section ``http``: limits of the front door (hardening H01 to H23)."""

    header_timeout_s: float = option(
        10.0, "Time for a complete request head.", name="header_timeout", unit="s", low=0.1
    )
    first_timeout_s: float = option(
        15.0, "Time for the first byte of a connection.", name="first_timeout", unit="s", low=0.1
    )
    keepalive_timeout_s: float = option(
        75.0, "Time between requests of a connection.", name="keepalive_timeout", unit="s", low=0.1
    )
    body_grace_s: float = option(
        20.0, "Time before a body's rate is judged.", name="body_grace", unit="s", low=0
    )
    body_min_rate: int = option(500, "Slowest body after the grace, bytes a second.", low=1)
    body_timeout_s: float = option(
        120.0, "Time for a body of up to 1 MiB.", name="body_timeout", unit="s", low=1
    )
    body_timeout_large_s: float = option(
        900.0, "Time for a larger body.", name="body_timeout_large", unit="s", low=1
    )
    write_buffer: int = option(
        256 * KIB, "Most bytes waiting to be read by a client.", unit="bytes", low=16 * KIB
    )
    write_timeout_s: float = option(
        30.0,
        "A client that takes nothing so long is dropped.",
        name="write_timeout",
        unit="s",
        low=1,
    )
    max_body: int = option(1 * MIB, "Largest form or JSON body.", unit="bytes", low=1 * KIB)
    max_body_multipart: int = option(20 * MIB, "Largest multipart body.", unit="bytes", low=1 * KIB)
    max_headers: int = option(100, "Most header lines of a request.", low=10, high=1000)
    max_header_line: int = option(
        8 * KIB, "Longest header line or request line.", unit="bytes", low=512, high=64 * KIB
    )
    max_header_block: int = option(
        16 * KIB, "Longest request head.", unit="bytes", low=1 * KIB, high=256 * KIB
    )
    max_pipelined: int = option(
        8, "Most requests of a connection waiting for their turn.", low=1, high=1000
    )
    max_fields: int = option(1000, "Most fields of a query or form.", low=1)
    max_field_name: int = option(256, "Longest field name.", unit="bytes", low=1)
    max_field_value: int = option(1 * MIB, "Longest text of a field.", unit="bytes", low=1)
    max_parts: int = option(100, "Most parts of a multipart body.", low=1)
    max_part_header: int = option(8 * KIB, "Longest header block of a part.", unit="bytes", low=256)
    spool_above: int = option(
        256 * KIB, "Files larger than this wait on disk, not in memory.", unit="bytes", low=0
    )
    max_connections: int | None = option(
        None,
        "Most connections; none: four fifths of the descriptor limit less 64.",
        low=1,
        none=True,
    )
    max_connections_per_address: int = option(200, "Most connections of one address.", low=1)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Section ``server``: the node itself."""

    external_url_base: str = option("", "Base of absolute URLs; empty: the first listener.")
    node_id: int = option(
        1,
        "Number of this node in a cluster; its workers are 100 times it plus 1, 2, ...",
        low=1,
        high=MAX_NODE_ID,
        reload=False,
    )
    web_port: int = option(8080, "Listening port.", low=0, high=65535, reload=False)
    web_host: str = option("127.0.0.1", "Listening address.", reload=False)
    listen: tuple[str, ...] = option(
        (), "Listeners as Twisted endpoint descriptions; beats web_host and web_port.", reload=False
    )
    relative_url: bool = option(False, "Give relative URLs in answers.")
    username: str = option(
        "", "With password: HTTP Basic authentication for storage, services and callbacks."
    )
    password: str = option("", "See username.", secret=True)
    base_path_aliases: tuple[str, ...] = option(
        ("/gms-web/gms/1/", "/GMS-web/gms/1/", "/gsg-web/gms/1/"), "Paths that mean /genesys/1/."
    )
    identity_mode: str = option(
        "",
        "open, trusted-proxy or token; empty: open on loopback only, else trusted-proxy.",
        words=("", "open", "trusted-proxy", "token"),
    )
    identity_secret: str = option("", "HS256 key of bearer tokens.", secret=True)
    identity_key: str = option("", "File with the public key (ES256, RS256) of bearer tokens.")
    trusted_proxies: tuple[str, ...] = option(
        (), "Addresses and networks whose forwarding headers count."
    )
    trusted_hops: int = option(1, "How many proxies stand in front.", low=1, high=10)
    internal_allow: tuple[str, ...] = option(
        ("127.0.0.0/8", "::1"), "Addresses and networks that may use internal APIs."
    )
    allowed_origins: tuple[str, ...] = option(
        (), "Origins of other sites that may use us from browsers."
    )
    default_region: str = option(
        "US", "Country of phone numbers without one, two letters (ISO 3166)."
    )
    ors: tuple[str, ...] = option(
        (), "Orchestration Servers for services of type ors, as URLs.", name="_ors"
    )
    ors_lb_strategy: str = option(
        "circular",
        "circular: the next server for each request; linear: the first that answers.",
        name="_ors_lb_strategy",
        words=("circular", "linear"),
    )
    access_code_prefix: str = option(
        "", "First digits of this node's access codes: 9, or 455,466, or 7-9."
    )
    workers: int = option(
        1,
        "Processes that serve the same listeners; more than one needs a Redis.",
        low=1,
        high=MAX_WORKERS,
        reload=False,
    )
    shutdown_grace_s: float = option(
        20.0,
        "Time for SIGTERM to finish what is under way.",
        name="shutdown_grace",
        unit="s",
        low=1,
    )


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Section ``store``."""

    url: str = option(
        "sqlite:",
        "sqlite:[PATH], redis://HOST[:PORT][/DB], rediss://, unix:///PATH, "
        "redis+sentinel://HOST,HOST/NAME, or memory: (for tests).",
        reload=False,
    )
    min_free_percent: float = option(
        5.0, "Refuse new data when the disk has less free.", low=0, high=90
    )
    group_max: int = option(64, "Most units in one disk sync.", low=1, high=1000, reload=False)
    max_waiting: int = option(10_000, "Most units that wait for the disk.", low=1)
    max_waiting_bytes: int = option(
        64 * MIB, "Most bytes that wait for the disk.", unit="bytes", low=1 * MIB
    )
    redis_deadline_s: float = option(
        3.0, "Time for Redis to answer.", name="redis_deadline", unit="s", low=0.1, high=60
    )
    redis_connections: int = option(
        2, "Connections of one process to Redis.", low=1, high=100, reload=False
    )
    redis_replicas: int = option(
        0, "Replicas of Redis that must have a write before it is confirmed (WAIT).", low=0
    )
    redis_ca: str = option("", "PEM file of the authorities to trust with rediss://.", reload=False)


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Section ``cluster``: how the processes that share a Redis reach each other."""

    secret: str = option(
        "",
        "The same word for all nodes of a Redis; needed as soon as there is a second one.",
        secret=True,
        reload=False,
    )
    host: str = option(
        "127.0.0.1", "Address where other nodes reach this one, and no one else.", reload=False
    )
    broadcast: bool = option(
        True, "What clients publish on channels of their own reaches the clients of all nodes."
    )
    port: int = option(
        0,
        "Port where other nodes reach this one; 0: any that is free.",
        high=65535,
        low=0,
        reload=False,
    )
    certificate: str = option(
        "",
        "PEM file with this node's certificate and its key: connections between nodes are TLS. "
        "It must be for the address where others reach it.",
        reload=False,
    )
    ca: str = option(
        "", "PEM file of the authority that made the certificates of all nodes.", reload=False
    )
    reached_at: str = option(
        "",
        "HOST:PORT that other nodes are told, where that is not host and port: in a container, "
        "or behind something that passes connections on.",
        reload=False,
    )


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """Section ``storage``: limits of the Storage API (hardening S01 to S09)."""

    max_value_bytes: int = option(10 * MIB, "Largest value or file.", unit="bytes", low=1)
    max_text_bytes: int = option(
        8 * MIB, "Most text of an area, which a query reads at once.", unit="bytes", low=1
    )
    max_keys: int = option(1000, "Most keys of an area.", low=1)
    max_key_bytes: int = option(255, "Longest key.", unit="bytes", low=1)
    max_ttl: int = option(2_147_483_647, "Longest lifetime.", unit="s", low=1, high=2_147_483_647)
    max_bytes: int = option(10 * GIB, "Most bytes in all areas.", unit="bytes", low=1 * MIB)
    max_entries: int = option(1_000_000, "Most keys in all areas.", low=1)
    purge_interval_s: float = option(
        5.0, "Time between purges of expired data.", name="purge_interval", unit="s", low=1
    )


@dataclass(frozen=True, slots=True)
class LimitOptions:
    """Section ``limits``: rates per client address, and what they spare."""

    exempt: tuple[str, ...] = option(
        ("127.0.0.0/8", "::1"), "Addresses and networks without limits per address."
    )
    s01_misses_per_min: int = option(100, "Look-ups of unknown identifiers of one address.", low=1)
    c02_sends_per_s: float = option(5.0, "Messages a second of one chat.", low=0.1)
    c02_sends_burst: int = option(20, "That many at once.", low=1)
    c02_typing_per_s: float = option(
        1.0, "Typing notices a second of one chat; more are merged.", low=0.1
    )
    c02_message_chars: int = option(4000, "Longest message.", low=1)
    c03_refresh_per_s: float = option(2.0, "Refreshes a second of one chat.", low=0.1)
    c03_refresh_burst: int = option(20, "That many at once.", low=1)
    c07_logins_per_min: int = option(5, "Failed desk log-ins of an address or a name.", low=1)
    v03_per_address: int = option(5, "Access numbers locked for one address in ten minutes.", low=1)
    v03_low_percent: float = option(
        20.0, "A group with a smaller share of free numbers is low.", low=0, high=100
    )
    v04_tries: int = option(
        5, "Wrong access codes of one caller for one number in ten minutes.", low=1
    )
    v13_services_per_min: int = option(20, "Services created by one address.", low=1)
    v13_services: int = option(10_000, "Live services.", low=1)


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """Section ``chat``."""

    chat_load_balancer_url_path: str = option(
        "/WebAPI812/SimpleSamples812/ChatHA/ChatLBServerInfo.jsp",
        "Path or URL of the load balancer page.",
    )
    default_chat_endpoint: str = option(
        "Environment:default", "Queue that new chats enter, TENANT:ENDPOINT."
    )
    chat_session_ttl_s: float = option(
        86_400.0,
        "How long a chat is remembered without any call.",
        name="chat_session_ttl",
        unit="s",
        low=60,
    )
    chat_refresh_rate_s: float = option(
        1.0,
        "Time between refreshes for a comet customer, when the server does not hold them.",
        name="chat_refresh_rate",
        unit="s",
        low=0.1,
    )
    client_timeout_s: float = option(
        900.0, "A comet customer gone so long has left.", name="client_timeout", unit="s", low=1
    )
    client_timeout_notification_s: float = option(
        90.0,
        "A comet customer gone so long gets a push.",
        name="client_timeout_notification",
        unit="s",
        low=1,
    )
    client_timeout_notification_message: str = option("", "Text of that push.")
    agent_timeout_notification_message: str = option(
        "", "What the agent is told when the customer cannot be reached."
    )
    client_gone_after_s: float = option(
        60.0,
        "The agent is told so long after a comet customer went (C10).",
        name="client_gone_after",
        unit="s",
        low=1,
    )
    chat_400_response_on_disconnected: bool = option(
        False, "Refresh after the end: 400 instead of 200."
    )
    verify_agent_available: bool = option(
        True, "503 until an orchestrated service has announced an agent."
    )
    chat_server: tuple[str, ...] = option(
        (), "Chat servers, ALIAS=HOST:PORT[;tls], instead of the balancer."
    )
    embedded: bool | None = option(
        None, "Use the built-in chat server; default: when no server is configured.", reload=False
    )
    flex_port: int = option(
        0,
        "Loopback port of the built-in server for customers; 0: a free one.",
        low=0,
        high=65535,
        reload=False,
    )
    agent_port: int = option(
        0,
        "Loopback port of the built-in server for agents; 0: a free one.",
        low=0,
        high=65535,
        reload=False,
    )
    desk_login_link: bool = option(
        True, "Print a one-time desk log-in link at the first start.", reload=False
    )
    comet_response: str = option(
        "superset", "Shape of answers in comet mode.", words=("superset", "message", "short")
    )
    position_type: str = option(
        "string", "JSON type of transcriptPosition over HTTP.", words=("string", "number")
    )
    push_url_hosts: tuple[str, ...] = option(("*",), "Hosts that agents may push; * for all.")
    request_timeout_s: float = option(
        10.0, "Time for an answer of a chat server.", name="request_timeout", unit="s", low=0.1
    )
    queue_amber_s: float = option(
        60.0, "Waiting time shown amber at the desk.", name="queue_amber", unit="s", low=1
    )
    queue_red_s: float = option(
        180.0, "Waiting time shown red at the desk.", name="queue_red", unit="s", low=1
    )
    canned: tuple[str, ...] = option(
        (), "Canned answers of the desk, KEY=TEXT | KEY=TEXT.", separator="|"
    )


@dataclass(frozen=True, slots=True)
class ChatServerOptions:
    """Section ``chat-server``: the built-in chat server."""

    flex_disconnect_timeout_s: float = option(
        45.0,
        "A customer without any request so long has left.",
        name="flex-disconnect-timeout",
        unit="s",
        low=1,
    )
    transcript_retention_s: float = option(
        2_592_000.0,
        "How long a closed chat stays in earlier chats.",
        name="transcript-retention",
        unit="s",
        low=0,
    )
    stop_abandoned_interaction: bool = option(
        True,
        "Close a chat whose customer left before any agent joined.",
        name="stop-abandoned-interaction",
    )
    max_sessions: int = option(1000, "Most open chats.", name="max-sessions", low=1)
    closed_session_ttl_s: float = option(
        600.0,
        "How long a closed chat can still be read by its customer.",
        name="closed-session-ttl",
        unit="s",
        low=0,
    )
    agent_grace_s: float = option(
        60.0,
        "An agent gone so long loses its chats to the queue (C10).",
        name="agent-grace",
        unit="s",
        low=1,
    )
    queues: tuple[str, ...] = option(("Environment:default",), "Queues there are, TENANT:ENDPOINT.")


@dataclass(frozen=True, slots=True)
class ContactCentreOptions:
    """Section ``contact-centre``: the built-in stand-in for a telephone system."""

    groups: tuple[str, ...] = option(("Billing",), "Agent groups there are from the beginning.")
    default_group: str = option(
        "", "Group for calls of services without an application; empty: the first of groups."
    )
    ring_timeout_s: float = option(
        20.0,
        "A call that rings an agent so long goes to the next one.",
        name="ring_timeout",
        unit="s",
        low=1,
    )
    outbound_answer_after_s: float = option(
        3.0,
        "A customer who is called answers after so long; 0: only as an admin call says.",
        name="outbound_answer_after",
        unit="s",
        low=0,
    )


@dataclass(frozen=True, slots=True)
class GmsOptions:
    """Section ``gms``: calls that the server makes to others."""

    http_connection_timeout_s: float = option(
        10.0, "Time to open a connection.", name="http.connection_timeout", unit="s", low=0.1
    )
    http_socket_timeout_s: float = option(
        10.0, "Time to wait for an answer.", name="http.socket_timeout", unit="s", low=0.1
    )
    http_max_connections_per_route: int = option(
        20, "Most connections to one target.", name="http.max_connections_per_route", low=1
    )
    http_max_connections_total: int = option(
        100,
        "Most connections to callbacks, to browsers' push services, to gateways each.",
        name="http.max_connections_total",
        low=1,
    )


@dataclass(frozen=True, slots=True)
class ResourcesOptions:
    """Section ``resources``."""

    resources_list_name: str = option(
        "GMS_Resources", "Name of the original product's list; nothing here depends on it."
    )
    user_control: bool = option(
        False, "Refuse requests to a service without the gms_user that created it."
    )


@dataclass(frozen=True, slots=True)
class ResourceGroup:
    """Section ``resource.NAME``: numbers to give out.

    Every option that is not one of these is an access number; its name is a label.

    :ivar numbers: by label, in the file's order.
    """

    allocation_strategy: str = option(
        "RANDOM",
        "RANDOM: any number; LOCAL, CLUSTER: locked for one service here, everywhere; "
        "ROUND_ROBIN: in turn. LOCKING is LOCAL.",
        name="_allocation_strategy",
        words=("RANDOM", "LOCAL", "CLUSTER", "LOCKING", "ROUND_ROBIN"),
    )
    backup_resource: tuple[str, ...] = option(
        (), "Numbers given out, without a lock, when all are taken.", name="_backup_resource"
    )
    booking_expiration_timeout_s: float = option(
        30.0,
        "How long a number stays locked.",
        name="_booking_expiration_timeout",
        unit="s",
        low=5,
        high=1800,
    )
    latitude: float | None = option(
        None, "Where the group is, in degrees.", name="_latitude", low=-90, high=90, none=True
    )
    longitude: float | None = option(
        None, "Where the group is, in degrees.", name="_longitude", low=-180, high=180, none=True
    )
    name: str = ""
    numbers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """Section ``service.NAME``: one configured service.

    Option names are accepted with and without the leading underscore; here they
    are kept with it.

    :ivar values: every option of the section, by name with its underscore.
    """

    name: str
    values: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Configuration:
    """The whole configuration.

    :ivar services: by name.
    :ivar push_sections: ``push`` and every ``push.provider.*``, as texts.
    :ivar resource_groups: by name.
    :ivar port_restrictions: ports and ranges by URL pattern.
    :ivar other: sections that wait for who will read them, as text.
    """

    http: HttpOptions = field(default_factory=HttpOptions)
    bayeux: BayeuxOptions = field(default_factory=BayeuxOptions)
    server: ServerOptions = field(default_factory=ServerOptions)
    store: StoreOptions = field(default_factory=StoreOptions)
    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    storage: StorageOptions = field(default_factory=StorageOptions)
    limits: LimitOptions = field(default_factory=LimitOptions)
    chat: ChatOptions = field(default_factory=ChatOptions)
    chat_server: ChatServerOptions = field(default_factory=ChatServerOptions)
    contact_centre: ContactCentreOptions = field(default_factory=ContactCentreOptions)
    gms: GmsOptions = field(default_factory=GmsOptions)
    ors: OrsOptions = field(default_factory=OrsOptions)
    resources: ResourcesOptions = field(default_factory=ResourcesOptions)
    push: PushOptions = field(default_factory=PushOptions)
    push_sections: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    services: Mapping[str, ServiceOptions] = field(default_factory=dict)
    resource_groups: Mapping[str, ResourceGroup] = field(default_factory=dict)
    port_restrictions: Mapping[str, str] = field(default_factory=dict)
    other: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

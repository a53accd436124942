"""Section ``ors``: orchestration, in this process and on other servers."""

from __future__ import annotations

from dataclasses import dataclass

from gms_twisted.config.option import KIB, MIB, option


@dataclass(frozen=True, slots=True)
class OrsOptions:
    """Section ``ors``."""

    embedded: bool | None = option(
        None,
        "Run services of type ors in this process; none: unless server/_ors names others.",
        none=True,
        reload=False,
    )
    document_roots: tuple[str, ...] = option(
        (),
        "Directories that applications may be read from by file: URLs, besides the bundled ones "
        "and that of this file.",
    )
    pass_defaults: bool = option(
        True, "Give every application _access_info_via_event = true unless it is set."
    )
    placefinder_url: str = option(
        "", "Ask this URL for the place of a position; empty: the resource groups say it."
    )
    max_ors_request_attempts: int = option(
        3, "Most servers tried for one request.", low=1, high=100
    )
    request_timeout_s: float | None = option(
        None,
        "Time for an answer of an orchestrated service; none: gms/http.socket_timeout.",
        name="request_timeout",
        unit="s",
        low=0.1,
        none=True,
    )
    session_grace_s: float = option(
        3600.0,
        "A session is ended so long after the life of its service.",
        name="session_grace",
        unit="s",
        low=0,
    )
    max_sessions: int = option(20_000, "Most sessions in this process.", low=1)
    max_awake: int = option(
        200, "Most sessions with a script context at hand; others wait as text.", low=1
    )
    max_pinned: int = option(
        1000,
        "Most sessions that keep theirs since their variables are no plain data; none is begun "
        "beside more.",
        low=1,
    )
    evaluation_s: float = option(
        0.030,
        "CPU time of one script or expression.",
        name="evaluation",
        unit="ms",
        low=1,
        high=1000,
    )
    heap: int = option(
        4 * MIB, "Memory of one session's scripts.", unit="bytes", low=512 * KIB, high=256 * MIB
    )
    microsteps: int = option(10_000, "Most microsteps for one event.", low=100)
    queued_events: int = option(1000, "Most events that wait in one session.", low=10)
    timers: int = option(100, "Most delayed sends that wait in one session.", low=1)
    sends_per_s: int = option(50, "Most sends a second of one session.", low=1)
    max_distance_km: float = option(
        100.0, "A resource group farther away is not near.", name="max_distance", low=0
    )

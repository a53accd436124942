"""How much a state chart may use.

Knows: the limits and their defaults.  Does not know: how each is enforced.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for one session, its invoked charts counted apart.

    What passes one of them is stopped and raises an error event; what hints at a runaway
    is a strike as well, and the last strike ends the session.

    :ivar evaluation_s: CPU time of one script or expression.
    :ivar heap_bytes: of a script context, the engine's own 100 KiB included.
    :ivar stack_bytes: of a script context.
    :ivar turn_s: CPU time of all evaluations of one step, where there is a clock for it: a
        step that has used ``evaluation_s`` ends after its microstep, one that has used this
        is stopped in the middle.
    :ivar turn_elements: of executable content in one step; more are stopped.
    :ivar turn_microsteps: microsteps (and events without transition) before the caller
        has its turn.
    :ivar event_microsteps: for one external event; more end the session.
    :ivar queued_events: waiting, in each of the two queues.
    :ivar pending_sends: delayed ``<send>`` that wait.
    :ivar sends_per_s: ``<send>`` carried out, as many at once after a quiet second.
    :ivar longest_delay_s: of a ``<send>``.
    :ivar payload_bytes: characters of an event's data as JSON, of a value that leaves a
        script.
    :ivar effects: what the host is asked for until it takes it, log lines apart;
        ``effect_chars`` the characters that that carries.
    :ivar invoke_depth: charts within charts; ``invocations`` at once by one chart.
    :ivar json_depth: nesting of data that comes in.
    :ivar strikes: overruns that end a session.
    """

    evaluation_s: float = 0.030
    heap_bytes: int = 4 * 1024 * 1024
    stack_bytes: int = 200 * 1024
    turn_s: float = 0.100
    turn_elements: int = 5_000
    turn_microsteps: int = 200
    event_microsteps: int = 10_000
    queued_events: int = 1_000
    pending_sends: int = 100
    sends_per_s: int = 50
    longest_delay_s: float = 31 * 86_400.0
    payload_bytes: int = 256 * 1024
    effects: int = 1_000
    effect_chars: int = 8 * 1024 * 1024
    invoke_depth: int = 8
    invocations: int = 20
    json_depth: int = 500
    strikes: int = 3

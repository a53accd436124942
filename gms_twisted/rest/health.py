"""``/health`` and ``/metrics``: for load balancers, people and Prometheus."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator

from twisted.web.iweb import IRequest

from gms_twisted.app.health import NodeHealth
from gms_twisted.domain.counters import Counters, Sample
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.http.interfaces import BodyKind
from gms_twisted.rest.forms import caller_of, form_of
from gms_twisted.rest.replies import body_reply, json_reply, text_reply
from gms_twisted.rest.root import route

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def nobody(request: IRequest) -> bool:
    """Take no request for an operator's."""
    return False


class HealthApi:
    """How this node is.

    :param is_operator: tells whether a request comes from an operator at the desk.
    :param everywhere: gives the numbers of all nodes.
    """

    def __init__(
        self,
        health: NodeHealth,
        counters: Counters,
        is_operator: Callable[[IRequest], Awaitable[bool]] = nobody,
        everywhere: Callable[[], Awaitable[Iterable[Sample]]] | None = None,
    ) -> None:
        self._health = health
        self._counters = counters
        self._is_operator = is_operator
        self._everywhere = everywhere

    @route("/health", "GET")
    async def health(self, request: IRequest) -> bytes:
        """200 or 503: one word for anybody, everything for our own people."""
        status = 200 if self._health.ready else 503
        if caller_of(request).internal or await self._is_operator(request):
            return json_reply(request, self._health.details(), status)
        return text_reply(request, self._health.word, status)

    @route("/metrics", "GET", body=BodyKind.FORM, internal=True)
    async def metrics(self, request: IRequest) -> bytes:
        """Every counter, in the text format of Prometheus.

        :raises InvalidRequest: ``nodes`` is neither missing nor ``all``.
        """
        nodes = form_of(request).text("nodes")
        if nodes not in ("", "all"):
            raise InvalidRequest("nodes must be all, or not be there.", "nodes")
        samples: Iterable[Sample] = self._counters.samples()
        if nodes and self._everywhere is not None:
            samples = await self._everywhere()
        lines = "".join(_exposition(samples))
        return body_reply(request, lines.encode(), METRICS_TYPE)


def _exposition(samples: Iterable[Sample]) -> Iterator[str]:
    """Lines of the text format; a ``# TYPE`` line before the first of each name."""
    name = ""
    for sample in samples:
        if sample.name != name:
            name = sample.name
            yield f"# TYPE {name} {sample.kind}\n"
        labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sample.labels)
        yield f"{name}{{{labels}}} {sample.value:g}\n" if labels else f"{name} {sample.value:g}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

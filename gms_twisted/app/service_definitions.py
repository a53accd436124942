"""What services are configured to be.

Spec: Service API and the "Configuration" part of each service.  An option beats
the request parameter of the same name, always (V09).

Knows: options and their two spellings.  Does not know: instances, requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gms_twisted.config.options import ServiceOptions
from gms_twisted.domain.errors import InvalidRequest, shown

MAX_NAME_BYTES = 64
"""Longest name of a service (V01)."""

MAX_LIFE_S = 2_147_483_647

_LIFE = re.compile(r"[0-9]{1,10}")
_YES = frozenset({"true", "yes", "1", "on"})


@dataclass(frozen=True, slots=True)
class ServiceDefinition:
    """One configured service.

    :ivar name: as in ``/genesys/1/service/NAME``.
    :ivar orchestrated: its logic is a state chart, not built in.
    :ivar service: name of the built-in service, or of the application.
    :ivar options: by name with the leading underscore.
    """

    name: str
    orchestrated: bool
    service: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, configured: ServiceOptions) -> ServiceDefinition:
        """Make the definition of a ``service.NAME`` section.

        ``_type`` is ``builtin``, ``built-in`` or ``ors``; ``_service`` names what
        runs, and where it is absent ``_name`` does, at last the section itself.
        """
        options = _with_underscores(configured.values)
        kind = options.get("_type", "").strip().lower()
        service = options.get("_service") or options.get("_name") or configured.name
        return cls(configured.name, kind == "ors", service.strip(), options)

    def parameter(self, name: str, parameters: Mapping[str, str], default: str = "") -> str:
        """The value in effect: the option's, else the request's, else the default.

        An option that is present but empty counts as absent.
        """
        return self.options.get(name) or parameters.get(name) or default

    def flag(self, name: str, default: bool) -> bool:
        """An option that says yes or no."""
        text = self.options.get(name, "").strip().lower()
        return text in _YES if text else default

    def seconds(self, name: str, default: float) -> float:
        """An option in seconds; the default where it is absent or not a positive number."""
        try:
            value = float(self.options.get(name, ""))
        except ValueError:
            return default
        return value if 0 < value <= MAX_LIFE_S else default

    def life(self, parameters: Mapping[str, str], default_s: float) -> float:
        """How long an instance lives, from ``_ttl``, in seconds.

        :raises InvalidRequest: the request's ``_ttl`` is not 1 to ``MAX_LIFE_S``.
        """
        text = self.parameter("_ttl", parameters)
        if not text:
            return default_s
        if _LIFE.fullmatch(text) and 1 <= int(text) <= MAX_LIFE_S:
            return float(text)
        if self.options.get("_ttl"):
            # The check refuses such a value at start; one that came by a reload is not the
            # client's fault.
            return default_s
        raise InvalidRequest(
            f"_ttl must be a whole number of seconds from 1 to {MAX_LIFE_S}, not {shown(text)!r}.",
            "_ttl",
        )


def _with_underscores(values: Mapping[str, str]) -> dict[str, str]:
    """Both spellings mean the same; where both are given the one with the underscore wins."""
    plain = {f"_{name}": value for name, value in values.items() if not name.startswith("_")}
    return plain | {name: value for name, value in values.items() if name.startswith("_")}


def read_definitions(services: Mapping[str, ServiceOptions]) -> dict[str, ServiceDefinition]:
    """Make the definitions of a configuration, by name."""
    return {name: ServiceDefinition.read(configured) for name, configured in services.items()}

"""A configuration for people: what is set, without secrets, and what a reload changed.

PURE.  Knows: which values are secret, which count only at the next start.  Does not
know: pages, logs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gms_twisted.config.bayeux_options import BayeuxOptions
from gms_twisted.config.options import Configuration, ResourceGroup
from gms_twisted.config.push_reading import CREDENTIALS
from gms_twisted.config.reading import specs_of
from gms_twisted.config.sections import SECTIONS

HIDDEN = "***"

_SECRET_NAME = re.compile(
    r"password|passwd|secret|token|api_?key|(auth|private|secure)_?key|credential|account",
    re.IGNORECASE,
)

Texts = dict[str, dict[str, str]]
"""Values as a file has them, by section and option."""


def describe(configuration: Configuration) -> Texts:
    """Write out every option, secrets as ``***`` (G07); an empty secret stays empty."""
    return _texts(configuration, hide=True)


def _texts(configuration: Configuration, hide: bool) -> Texts:
    described: Texts = {}
    for section, options in SECTIONS.items():
        values = getattr(configuration, section.replace("-", "_"))
        described[section] = {
            name: _shown(spec.write(getattr(values, spec.attribute)), hide and spec.secret)
            for name, spec in specs_of(options).items()
        }
    described["bayeux"] |= _specific_texts(configuration)
    for name, group in configuration.resource_groups.items():
        own = {
            option: spec.write(getattr(group, spec.attribute))
            for option, spec in specs_of(ResourceGroup).items()
        }
        described[f"resource.{name}"] = own | dict(group.numbers)
    named: dict[str, Mapping[str, str]] = {
        **{f"service.{name}": one.values for name, one in configuration.services.items()},
        "port_restrictions": configuration.port_restrictions,
        **configuration.other,
    }
    for section, texts in configuration.push_sections.items():
        described.setdefault(section, {}).update(
            (name, _shown(text, hide and name in CREDENTIALS and CREDENTIALS[name].secret))
            for name, text in texts.items()
        )
    for section, texts in named.items():
        if texts:
            described[section] = {
                name: _shown(text, hide and bool(_SECRET_NAME.search(name)))
                for name, text in texts.items()
            }
    return described


def _specific_texts(configuration: Configuration) -> dict[str, str]:
    by_attribute = {spec.attribute: spec for spec in specs_of(BayeuxOptions).values()}
    return {
        f"{prefix}.{by_attribute[attribute].name}": by_attribute[attribute].write(value)
        for prefix, values in configuration.bayeux.specific.items()
        for attribute, value in values.items()
    }


def _shown(text: str, secret: bool) -> str:
    return HIDDEN if secret and text else text


@dataclass(frozen=True, slots=True)
class Changes:
    """What is different between two configurations, as ``section/option``, sorted.

    :ivar at_once: takes effect with the reload.
    :ivar at_restart: waits for the next start.
    """

    at_once: tuple[str, ...]
    at_restart: tuple[str, ...]


def changes(old: Configuration, new: Configuration) -> Changes:
    """Compare two configurations; values stay out of it, for some are secret."""
    before, after = _texts(old, hide=False), _texts(new, hide=False)
    changed = {
        (section, option)
        for section in before.keys() | after.keys()
        for option in before.get(section, {}).keys() | after.get(section, {}).keys()
        if before.get(section, {}).get(option) != after.get(section, {}).get(option)
    }
    later = {pair for pair in changed if _waits(*pair)}
    return Changes(_names(changed - later), _names(later))


def _waits(section: str, option: str) -> bool:
    options = SECTIONS.get(section)
    spec = specs_of(options).get(option) if options else None
    return spec is not None and not spec.reload


def _names(pairs: set[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(sorted(f"{section}/{option}" for section, option in pairs))

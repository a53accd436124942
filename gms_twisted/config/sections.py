"""All sections of a file -> the one ``options.Configuration``.

PURE.  Knows: which sections there are, here and in the original product; the rules of
sections with a name in their name.  Does not know: files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gms_twisted.config.bayeux_options import (
    COMETD_DEFAULTS,
    TRANSPORT_OPTIONS,
    TRANSPORT_PREFIXES,
    BayeuxOptions,
)
from gms_twisted.config.options import (
    ChatOptions,
    ChatServerOptions,
    ClusterOptions,
    Configuration,
    ContactCentreOptions,
    GmsOptions,
    HttpOptions,
    LimitOptions,
    ResourceGroup,
    ResourcesOptions,
    ServerOptions,
    StorageOptions,
    StoreOptions,
)
from gms_twisted.config.ors_options import OrsOptions
from gms_twisted.config.push_options import PushOptions
from gms_twisted.config.push_reading import is_push, read_push
from gms_twisted.config.reading import (
    BadValue,
    Problems,
    read_values,
    specs_of,
    suggestion,
    warn_unknown,
)
from gms_twisted.config.service_sections import read_service
from gms_twisted.config.text import Entry, Section

SECTIONS: Mapping[str, type] = {
    "server": ServerOptions,
    "http": HttpOptions,
    "bayeux": BayeuxOptions,
    "store": StoreOptions,
    "cluster": ClusterOptions,
    "storage": StorageOptions,
    "limits": LimitOptions,
    "chat": ChatOptions,
    "chat-server": ChatServerOptions,
    "contact-centre": ContactCentreOptions,
    "gms": GmsOptions,
    "ors": OrsOptions,
    "resources": ResourcesOptions,
    "push": PushOptions,
}
"""Sections that are there once, in the order of ``etc/gms.ini``."""

_SILENT: Mapping[str, frozenset[str]] = {
    "chat": frozenset(("enable-fast-chat-transcript-refresh",)),
    "gms": frozenset(
        (
            "http.proxy",
            "http.proxy-auto-config-file",
            "http.ssl_trust_all",
            "http.use_lax_redirect_strategy",
        )
    ),
    "server": frozenset(("max_sessions", "web_ports")),
    "ors": frozenset(("ors_loadbalancer_refresh_rate", "max_ors_idle_connection_time")),
}
"""Options that files of the original product carry and that nothing here depends on."""

_KEPT = (
    *("business-attributes", "callback", "cassandra", "commons-connection"),
    *("cassandra-authentication-security", "cview", "elasticsearch", "features", "lab", "log"),
    *("notification", "openmedia", "profiler", "pulse", "reporting", "urs", "urs-stat"),
)
_KEPT_PREFIXES = ("chat.", "email.", "stat.")

_NAMED = ("service.NAME", "resource.NAME", "push.provider.NAME")

_PORTS = re.compile(r"[0-9]{1,5}(-[0-9]{1,5})?")


def read_sections(sections: Mapping[str, Section], problems: Problems) -> Configuration:
    """Make the configuration of a file's sections; every problem goes into ``problems``."""
    sections = _one_spelling(sections, problems)
    plain: dict[str, Any] = {}
    plain["push"], push_sections = read_push(sections, problems)
    for name, options in SECTIONS.items():
        if options is PushOptions:
            continue
        section = sections.get(name, Section(name, "", 0))
        attribute = name.replace("-", "_")
        if options is BayeuxOptions:
            plain[attribute] = _read_bayeux(section, problems)
        else:
            plain[attribute] = options(**read_values(section, options, problems))
            warn_unknown(section, specs_of(options), problems, _SILENT.get(name, ()))
    services = {}
    groups = {}
    restrictions: dict[str, str] = {}
    other = {}
    for name, section in sections.items():
        kind, _, rest = name.partition(".")
        if name in SECTIONS or is_push(name):
            continue
        if kind == "service" and rest:
            services[rest] = read_service(rest, section, problems)
        elif kind == "resource" and rest:
            groups[rest] = _read_group(rest, section, problems)
        elif name == "port_restrictions":
            restrictions = _read_restrictions(section, problems)
        else:
            if name not in _KEPT and not name.startswith(_KEPT_PREFIXES):
                known = (*SECTIONS, *_KEPT, "port_restrictions", *_NAMED)
                problems.warn(section, "", f"there is no such section{suggestion(name, known)}")
            other[name] = {option: entry.text for option, entry in section.entries.items()}
    return Configuration(
        **plain,
        push_sections=push_sections,
        services=services,
        resource_groups=groups,
        port_restrictions=restrictions,
        other=other,
    )


def _one_spelling(sections: Mapping[str, Section], problems: Problems) -> dict[str, Section]:
    """``services.NAME`` is ``service.NAME``; both in one file are two of one section."""
    unified: dict[str, Section] = {}
    for name, section in sections.items():
        spelt = f"service.{name[9:]}" if name.startswith("services.") else name
        first = unified.setdefault(spelt, section)
        if first is section:
            continue
        if first.line and section.line:
            sentence = f"this service has another section, in line {first.line}"
            problems.fault(section, "", sentence)
        # One of them comes from the command line, which may use either spelling.
        written, said = (first, section) if first.line else (section, first)
        unified[spelt] = replace(written, entries={**written.entries, **said.entries})
    return unified


def _read_bayeux(section: Section, problems: Problems) -> BayeuxOptions:
    """Read section ``bayeux``: the profile's defaults, and what differs by transport."""
    values = read_values(section, BayeuxOptions, problems)
    if values.get("profile") == "cometd":
        values = {**COMETD_DEFAULTS, **values}
    specs = specs_of(BayeuxOptions)
    specific: dict[str, dict[str, Any]] = {}
    known = set(specs)
    for prefix in TRANSPORT_PREFIXES:
        names = {f"{prefix}.{name}": name for name in TRANSPORT_OPTIONS}
        known |= names.keys()
        own = {names[key]: entry for key, entry in section.entries.items() if key in names}
        for name, entry in own.items():
            try:
                value, warning = specs[name].read(entry.text)
            except BadValue as reason:
                problems.fault(section, f"{prefix}.{name}", str(reason))
                continue
            specific.setdefault(prefix, {})[specs[name].attribute] = value
            if warning:
                problems.warn(section, f"{prefix}.{name}", warning)
    warn_unknown(section, known, problems)
    return BayeuxOptions(**values, specific=specific)


def _read_group(name: str, section: Section, problems: Problems) -> ResourceGroup:
    """Read a resource group: its few options, and numbers under any other name."""
    specs = specs_of(ResourceGroup)
    entries: dict[str, Entry] = {}
    numbers: dict[str, str] = {}
    for key, entry in section.entries.items():
        spelt = key if key in specs else f"_{key}"
        if spelt in specs:
            if spelt not in entries or key == spelt or entry.overrides:
                entries[spelt] = entry
        elif key.startswith("_"):
            hint = suggestion(key, specs)
            problems.warn(section, key, f"there is no such option{hint}")
        elif not entry.text:
            problems.fault(section, key, "this access number is empty")
        else:
            if entry.text in numbers.values():
                problems.warn(section, key, "this access number is there twice")
            numbers[key] = entry.text
    values = read_values(replace(section, entries=entries), ResourceGroup, problems)
    if values.get("allocation_strategy") == "LOCKING":
        values["allocation_strategy"] = "LOCAL"
    if not numbers:
        problems.warn(section, "", "this group has no access number")
    return ResourceGroup(name=name, numbers=numbers, **values)


def _read_restrictions(section: Section, problems: Problems) -> dict[str, str]:
    """Read which URL patterns answer on which ports only."""
    restrictions = {}
    for pattern, entry in section.entries.items():
        parts = [part.strip() for part in entry.text.split(",")]
        if not pattern.startswith("/"):
            problems.fault(section, pattern, "a URL pattern begins with /")
        elif not all(_PORTS.fullmatch(part) for part in parts):
            problems.fault(section, pattern, f"{entry.text!r} is not a list of ports and ranges")
        else:
            restrictions[pattern] = ",".join(parts)
    return restrictions

"""What goes along with an event's message: options merged from general to specific.

For tag ``a.b`` and provider ``P`` the sections are, each stronger than those before::

    push
    push.provider.P
    push.provider.event      push.provider.event.a      push.provider.event.a.b
    push.provider.P.event    push.provider.P.event.a    push.provider.P.event.a.b

A section that is not there is skipped; those below it still count.  Options are merged
one by one; one set to nothing overrides and means that the attribute is not sent.

Spec: Push Notification Service, "Support of OS specific capabilities associated with
the notification message".

Knows: names of sections, the order.  Does not know: what an attribute does.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from gms_twisted.config.push_provider_options import FormattingOptions
from gms_twisted.config.reading import specs_of
from gms_twisted.domain.push_sections import PUSH, parse_push_section
from gms_twisted.domain.tags import compared

MAX_CACHED = 1000
"""Merged chains that are remembered; more come up only with as many sections."""

_FORMATTING = frozenset(specs_of(FormattingOptions))
_ENTRY = re.compile(r"\$\{entry:([^{}]*)\}")


class EventOptions:
    """Every section of push, ready to be asked for an event's options.

    :param sections: ``push`` and every ``push.provider.*``, by name, as texts
        (:attr:`gms_twisted.config.options.Configuration.push_sections`).
    :param case_sensitive: compare tags with case (``push/tag_case_sensitive``); names of
        providers always are.
    """

    def __init__(
        self, sections: Mapping[str, Mapping[str, str]], case_sensitive: bool = True
    ) -> None:
        self._case_sensitive = case_sensitive
        self._texts = {
            name: {option: text for option, text in texts.items() if option in _FORMATTING}
            for name, texts in sections.items()
        }
        self._events: dict[tuple[str, str], tuple[str, ...]] = {}
        self._providers: dict[str, str] = {}
        self._depth = 0
        for name in sections:
            parsed = parse_push_section(name)
            if parsed is None:
                continue
            if parsed.event is None:
                self._providers[parsed.provider] = name
                continue
            event = compared(parsed.event, case_sensitive)
            place = (parsed.provider, event)
            # Without case two sections may be the same; the later is the stronger.
            self._events[place] = (*self._events.get(place, ()), name)
            self._depth = max(self._depth, event.count(".") + 1)
        self._merged: OrderedDict[tuple[str, ...], Mapping[str, str]] = OrderedDict()

    def chain(self, tag: str, provider: str = "") -> tuple[str, ...]:
        """Names of the sections for an event, from the most general to the most specific.

        :param tag: checked; of the event, never a subscription's filter.
        :param provider: a provider's name, ``""`` for the default one.
        """
        found = [PUSH] if PUSH in self._texts else []
        # Choice: the reference's order has no section push.provider.NAME.  It is the named
        # provider's counterpart of push, so events beat it.
        if provider and provider in self._providers:
            found.append(self._providers[provider])
        prefixes = self._prefixes(compared(tag, self._case_sensitive))
        for whose in ("", provider) if provider else ("",):
            for prefix in prefixes:
                found.extend(self._events.get((whose, prefix), ()))
        return tuple(found)

    def options_for(self, tag: str, provider: str = "") -> Mapping[str, str]:
        """Merge an event's options; see :meth:`chain`.

        Tags often end in an id of their own, so what is remembered goes by the chain.
        Credentials and other options of ``push`` are not among them.

        :returns: by name; ``""`` means not to send the attribute.
        """
        chain = self.chain(tag, provider)
        merged = self._merged.get(chain)
        if merged is None:
            options: dict[str, str] = {}
            for name in chain:
                options.update(self._texts[name])
            merged = self._merged[chain] = MappingProxyType(options)
            if len(self._merged) > MAX_CACHED:
                self._merged.popitem(last=False)
        else:
            self._merged.move_to_end(chain)
        return merged

    def _prefixes(self, tag: str) -> tuple[str, ...]:
        """The beginnings of a tag, by whole parts, as deep as any section goes."""
        parts = tag.split(".", self._depth)[: self._depth]
        return ("", *(".".join(parts[: count + 1]) for count in range(len(parts))))


def fill_entries(options: Mapping[str, str], entries: Mapping[str, str]) -> Mapping[str, str]:
    """Put entries of the localization file into options that name them, ``${entry:KEY}``.

    In a single pass: what an entry holds is not looked at again.

    :param entries: of the language of one subscription.
    :returns: an option that names an entry which is not there is ``""``: not sent.
    """
    # Choice: half a text would reach the device, so the attribute is left out as a whole.
    if not any("${entry:" in text for text in options.values()):
        return options
    return dict(_filled(options, entries))


def _filled(options: Mapping[str, str], entries: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for option, text in options.items():
        if all(key in entries for key in _ENTRY.findall(text)):
            yield option, _ENTRY.sub(lambda found: entries[found[1]], text)
        else:
            yield option, ""

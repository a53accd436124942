"""Tests of :mod:`gms_twisted.domain.push_sections`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.domain.push_sections import PushSection, is_provider_name, parse_push_section


class NameTests(SynchronousTestCase):
    """What a section's name says."""

    def test_table(self) -> None:
        """Every form of name, and what is none."""
        for name, expected in (
            ("push", PushSection("", None)),
            ("push.provider.event", PushSection("", "")),
            ("push.provider.event.A2C.service", PushSection("", "A2C.service")),
            ("push.provider.event.event", PushSection("", "event")),
            ("push.provider.SalesApp", PushSection("SalesApp", None)),
            ("push.provider.SalesApp.event", PushSection("SalesApp", "")),
            ("push.provider.SalesApp.event.A2C", PushSection("SalesApp", "A2C")),
            ("push.provider.Event", PushSection("Event", None)),
            *((name, None) for name in ("pushy", "push.", "push.x", "push.provider")),
            *((f"push.provider.{rest}", None) for rest in ("", ".", "a.b", "a.", ".event")),
            *((f"push.provider.{rest}", None) for rest in ("event.", "a.event.", "a.b.event")),
        ):
            self.assertEqual(parse_push_section(name), expected, name)

    def test_provider_names(self) -> None:
        """A provider is not called event and has no dot."""
        self.assertTrue(is_provider_name("Sales App"))
        for name in ("", "event", "a.b", "."):
            self.assertFalse(is_provider_name(name), name)

"""The worked example of how an event's options are found, from a configuration file on.

Spec: Push Notification Service, "Providers", "Support of OS specific capabilities
associated with the notification message".
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.event_options import EventOptions
from gms_twisted.config.ini import load_text
from gms_twisted.domain.tags import check_filter, check_tag, filters_matching, matches

SECTIONS = (
    "push",
    "push.provider.event",
    "push.provider.event.internal",
    "push.provider.event.internal.advanced",
    "push.provider.event.A2C",
    "push.provider.event.A2C.service",
    "push.provider.event.A2C.service.statuschanged",
    "push.provider.event.A2C.service.internal",
    "push.provider.event.A2C.service.statuschanged.agentavailable",
    "push.provider.SalesApp.event",
    "push.provider.SalesApp.event.A2C.service.internal",
    "push.provider.SalesApp.event.A2C.service.statuschanged",
)
"""As printed, (0) to (11)."""

TAG = "A2C.service.statuschanged.agentavailable"


class WorkedExampleTests(SynchronousTestCase):
    """A subscription of provider SalesApp with filter ``A2C.*``."""

    def setUp(self) -> None:
        """Read a file with these sections; each sets the badge to its number."""
        text = "".join(
            f"[{name}]\napple.badge={number}\nandroid.collapse_key=of-{number}\n"
            for number, name in enumerate(SECTIONS)
            if number != 11
        )
        text += f"[{SECTIONS[11]}]\napple.badge=11\n"
        loaded = load_text(text, "gms.ini")
        self.assertEqual((loaded.faults, loaded.warnings), ((), ()))
        self.options = EventOptions(loaded.configuration.push_sections)

    def test_filter_matches(self) -> None:
        """The event's tag matches the filter of the subscription."""
        self.assertTrue(matches(check_filter("A2C.*"), check_tag(TAG)))
        self.assertIn("A2C.*", filters_matching(TAG))

    def test_chain(self) -> None:
        """The chain is 0->1->4->5->6->8->9->11."""
        chain = [SECTIONS.index(name) for name in self.options.chain(TAG, "SalesApp")]
        self.assertEqual(chain, [0, 1, 4, 5, 6, 8, 9, 11])

    def test_more_concrete_overwrites(self) -> None:
        """Each option comes from the most concrete section that has it."""
        self.assertEqual(
            self.options.options_for(TAG, "SalesApp"),
            {"apple.badge": "11", "android.collapse_key": "of-9"},
        )

"""Targets as applications write them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.modules.targets import (
    MAX_NAME,
    MAX_TARGETS,
    parse_target,
    read_targets,
    spelled,
    target_of,
)
from gms_twisted.app.telephony import Target
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.scxml.effects import Child


class ReadTests(SynchronousTestCase):
    """Elements."""

    def test_three_ways(self) -> None:
        """The type may stand with all targets, with one, or in the short form."""
        billing = Target("Billing", "agentgroup", "S")
        for targets in (
            Child(
                "targets",
                {"type": "agentgroup"},
                (Child("target", {"name": "Billing", "statserver": "S"}),),
            ),
            Child(
                "targets",
                {},
                (Child("target", {"name": "Billing", "type": "'agentgroup'", "statserver": "S"}),),
            ),
            Child("targets", {}, (Child("targetid", {"expr": "Billing@S.GA"}),)),
        ):
            self.assertEqual(read_targets([targets]), (billing,))

    def test_nearer_type_wins(self) -> None:
        """A target's own type beats that of all, and a written type the short form."""
        children = (
            Child("target", {"name": "Lee", "type": "agent"}),
            Child("target", {"name": "Billing.A"}),
        )
        self.assertEqual(
            read_targets([Child("targets", {"type": "agentgroup"}, children)]),
            (Target("Lee", "agent"), Target("Billing", "agentgroup")),
        )

    def test_attribute(self) -> None:
        """The attribute ``queue`` is one more target; the same twice is one."""
        child = Child("target", {"name": "Q1", "type": "queue"})
        self.assertEqual(read_targets([child], "Q1"), (Target("Q1", "queue"),))

    def test_none(self) -> None:
        """Without a target, with one that has no name or a long one, there is nothing to find."""
        for children in (
            [],
            [Child("targets", {})],
            [Child("runtreatments", {})],
            [Child("target", {})],
            [Child("target", {"name": {}})],
            [Child("target", {"name": "n" * (MAX_NAME + 1)})],
        ):
            self.assertRaises(InvalidRequest, read_targets, children)
        self.assertTrue(read_targets([Child("target", {"name": "n" * MAX_NAME})]))

    def test_most(self) -> None:
        """There is a limit to targets."""
        many = [Child("target", {"name": str(n)}) for n in range(MAX_TARGETS)]
        self.assertEqual(len(read_targets(many)), MAX_TARGETS)
        self.assertRaises(InvalidRequest, read_targets, [*many, many[0]])


class ShortFormTests(SynchronousTestCase):
    """``Billing@Stat_Server.GA``."""

    def test_there_and_back(self) -> None:
        """Short forms are read and written."""
        for short, target in (
            ("Billing@Stat_Server.GA", Target("Billing", "agentgroup", "Stat_Server")),
            ("Lee@Stat_Server.A", Target("Lee", "agent", "Stat_Server")),
            ("Billing.GA", Target("Billing", "agentgroup")),
            ("7001@Switch.RP", Target("7001", "routingpoint", "Switch")),
            ("lee@example.com@S.A", Target("lee@example.com", "agent", "S")),
        ):
            self.assertEqual(parse_target(short), target)
            self.assertEqual(spelled(target), short)

    def test_names_with_dots(self) -> None:
        """A name is left alone where its end is no short form."""
        for name in ("lee@example.com", "Dept.Sales", "a.b@c"):
            self.assertEqual(parse_target(name), Target(name, "agentgroup"))

    def test_one_value(self) -> None:
        """A resource object names its number, a text itself."""
        self.assertEqual(target_of({"type": "rp", "dn": "8000"}), Target("8000", "routingpoint"))
        self.assertEqual(target_of("Lee.A"), Target("Lee", "agent"))
        self.assertEqual(target_of(7001), Target("7001", "agentgroup"))
        nothing: object
        for nothing in (None, "", {}, {"type": "rp"}, []):
            self.assertRaises(InvalidRequest, target_of, nothing)

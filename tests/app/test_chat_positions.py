"""Hardening C04: positions against a model, at random."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.app.chat_answers import Call
from gms_twisted.config.options import LimitOptions
from gms_twisted.domain.chat import NoticeType, Visibility
from tests.support.chat_house import ChatHouse

LIMITS = LimitOptions(
    c02_sends_per_s=1e6, c02_sends_burst=10**6, c03_refresh_per_s=1e6, c03_refresh_burst=10**6
)

STEPS = st.one_of(
    st.just(("agent", 0)),
    st.just(("hidden", 0)),
    st.just(("refresh", 0)),
    st.just(("send", 0)),
    st.just(("restart", 0)),
    st.tuples(st.just("again"), st.integers(0, 40)),
)


class PositionModelTests(SynchronousTestCase):
    """A polling client against a list of numbers."""

    @settings(deadline=None, max_examples=60)
    @given(st.lists(STEPS, max_size=25))
    def test_C04_model(self, steps: list[tuple[str, int]]) -> None:
        """Without a position: exactly what was not seen.  With one: exactly what is after it.

        Positions never go back, also across restarts.
        """
        house = ChatHouse(self, limits=LIMITS)
        service_id = house.chatting()
        visible = [1]
        last, seen = 1, 1
        for word, number in steps:
            if word == "agent":
                last = house.server.agent_says(str(last + 1))
                visible.append(last)
                continue
            if word == "hidden":
                last = house.server.agent_notices(NoticeType.CUSTOM, "x", Visibility.INT)
                continue
            if word == "restart":
                house.kill()
                house = ChatHouse(self, limits=LIMITS, house=house)
                continue
            fields = {}
            after = seen
            if word == "again":
                fields["transcriptPosition"] = str(number)
                after = min(number, last)
            if word == "send":
                fields["message"] = "m"
                last += 1
                visible.append(last)
            answer = house.call(service_id, Call.REFRESH, **fields)
            rows = answer["transcriptToShow"]
            assert isinstance(rows, list)
            self.assertEqual(len(rows), sum(position > after for position in visible))
            self.assertEqual(answer["transcriptPosition"], str(last))
            self.assertGreaterEqual(last, seen)
            seen = last
        house.stop()

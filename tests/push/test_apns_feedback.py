"""Polls of the feedback service, over real TLS."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.apns.frames import Feedback
from gms_twisted.app.pauses import pause
from gms_twisted.domain.errors import Unavailable
from gms_twisted.domain.ids import DeviceId
from gms_twisted.push.apns_feedback import BATCH, POLL_S, RETRY_S, SLICE, ApnsFeedback
from tests.push.apns_rig import Rig
from tests.support.log_lines import LogLines

ONE, TWO = Feedback(1_700_000_000, bytes(range(32))), Feedback(1_700_000_100, b"\2" * 32)


class MemoryTuples:
    """Keeps tuples, and notes what happened in which order.

    :ivar away: nothing can be stored for now.
    :ivar unread: nothing can be read for now.
    :ivar slow: keeping takes time, as it does on a disk.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.tuples: list[Feedback] = []
        self.batches: list[int] = []
        self.told_before_kept = False
        self.broken = False
        self.away = self.unread = False
        self.slow = False

    async def keep(self, tuples: Sequence[Feedback]) -> None:
        """Store them."""
        if self.broken:
            raise OSError("disk full")
        if self.away:
            raise Unavailable("Redis cannot be reached.")
        if self.slow:
            await pause(self._rig.clock, 0.01)
        self.told_before_kept |= bool(self._rig.news.dead)
        self.batches.append(len(tuples))
        self.tuples += tuples

    async def kept(self) -> Sequence[Feedback]:
        """Everything stored."""
        if self.unread:
            raise Unavailable("Redis cannot be reached.")
        return list(self.tuples)

    async def strike_off(self, tuples: Sequence[Feedback]) -> None:
        """Forget them."""
        self.tuples = [one for one in self.tuples if one not in tuples]


class FeedbackTests(SynchronousTestCase):
    """Who is gone is stored, told, struck off."""

    def made(self, **settings: object) -> tuple[Rig, MemoryTuples, ApnsFeedback]:
        """Make a poller with its service."""
        rig = Rig(**settings)  # type: ignore[arg-type]
        store = MemoryTuples(rig)
        feedback = ApnsFeedback(rig.settings, rig.dialer, store, rig.news, rig.clock, rig.counters)
        self.addCleanup(self.end, rig, feedback)
        return rig, store, feedback

    def end(self, rig: Rig, feedback: ApnsFeedback) -> None:
        """Stop, and see that nothing is left to happen."""
        self.successResultOf(Deferred.fromCoroutine(feedback.stop()))
        rig.network.pump()
        self.assertEqual(rig.clock.getDelayedCalls(), [])

    def test_N10_f_two_tuples_split_inside_the_token(self) -> None:
        """Both are told with their times, so that a later registration can be kept."""
        for newest in (False, True):
            rig, store, feedback = self.made(newest=newest)
            rig.feedback.dead = [ONE, TWO]
            rig.feedback.pieces = (20, 30, 7)
            feedback.start()
            rig.network.advance(0.2)
            self.assertEqual(
                rig.news.dead,
                [(DeviceId(one.token.hex()), float(one.since)) for one in (ONE, TWO)],
            )
            self.assertEqual((store.tuples, store.told_before_kept), ([], False))
            self.assertEqual(rig.counters.value("apns_feedback_total"), 2)

    def test_one_node_of_several(self) -> None:
        """While another one polls, nothing is asked nor acted on; then it is, soon."""
        rig, store, feedback = self.made()
        ours = False
        self.patch(feedback, "_ours", lambda: ours)
        store.tuples = [ONE]
        rig.feedback.dead = [TWO]
        feedback.start()
        rig.network.advance(RETRY_S + 1, 10)
        self.assertEqual((rig.feedback.polls, rig.news.dead, store.tuples), (0, [], [ONE]))
        ours = True
        rig.network.advance(RETRY_S + 1, 10)
        self.assertEqual(rig.feedback.polls, 1)
        self.assertEqual(len(rig.news.dead), 2)

    def test_polls_at_start_and_each_interval(self) -> None:
        """One hour between two polls, nothing between."""
        rig, _, feedback = self.made()
        feedback.start()
        rig.network.advance(3599, 10)
        self.assertEqual(rig.feedback.polls, 1)
        rig.network.advance(2)
        self.assertEqual(rig.feedback.polls, 2)

    def test_interval_0_switches_it_off(self) -> None:
        """Nothing is asked."""
        rig, _, feedback = self.made(feedback_interval_s=0)
        feedback.start()
        rig.network.advance(1)
        self.assertEqual(rig.network.attempts, 0)

    def test_incomplete_last_tuple(self) -> None:
        """It is ignored and counted."""
        rig, _, feedback = self.made()
        rig.feedback.dead = [ONE, TWO]
        rig.feedback.cut = 3
        feedback.start()
        rig.network.advance(0.2)
        self.assertEqual(len(rig.news.dead), 1)
        self.assertEqual(rig.counters.value("apns_feedback_incomplete_total"), 1)

    def test_left_by_a_crash(self) -> None:
        """What is stored at start is told, though the service cannot be asked."""
        rig, store, feedback = self.made()
        rig.network.refuse = True
        store.tuples = [ONE]
        feedback.start()
        self.assertEqual(len(rig.news.dead), 1)
        self.assertEqual(store.tuples, [])

    def test_stored_after_the_end_of_the_list(self) -> None:
        """The service closes while the last of what it said is written to disk."""
        rig, store, feedback = self.made()
        store.slow = True
        rig.feedback.dead = [ONE, TWO]
        feedback.start()
        rig.network.advance(0.5)
        self.assertEqual((len(rig.news.dead), store.tuples), (2, []))

    def test_struck_off_when_it_is_done(self) -> None:
        """Not before: what the store cannot end now is told again at the next poll."""
        rig, store, feedback = self.made()
        rig.network.refuse = True
        rig.news.broken = True
        store.tuples = [ONE]
        feedback.start()
        self.assertEqual(store.tuples, [ONE])
        rig.news.broken = False
        rig.network.advance(RETRY_S + 1, 5.0)
        self.assertEqual((len(rig.news.dead), store.tuples), (1, []))

    def test_acted_on_in_slices(self) -> None:
        """A list of thousands is not worked off in one turn of the reactor."""
        rig, store, feedback = self.made()
        rig.network.refuse = True
        store.tuples = [Feedback(n, n.to_bytes(32)) for n in range(3 * SLICE)]
        feedback.start()
        self.assertEqual(len(rig.news.dead), SLICE)
        rig.network.advance(0.1, 0.01)
        self.assertEqual((len(rig.news.dead), store.tuples), (3 * SLICE, []))

    def test_many_are_stored_in_batches(self) -> None:
        """A long list never waits in memory as a whole."""
        rig, store, feedback = self.made()
        rig.feedback.dead = [Feedback(n, n.to_bytes(32)) for n in range(5 * BATCH)]
        rig.feedback.pieces = (4000,)
        feedback.start()
        rig.network.advance(1)
        self.assertEqual(len(rig.news.dead), 5 * BATCH)
        self.assertGreater(len(store.batches), 1)
        self.assertEqual(sum(store.batches), 5 * BATCH)

    def test_failed_poll_is_repeated_sooner(self) -> None:
        """After a failure the next comes in five minutes."""
        rig, _, feedback = self.made()
        rig.network.refuse = True
        feedback.start()
        rig.network.refuse = False
        rig.network.advance(RETRY_S + 1, 5.0)
        self.assertEqual(rig.feedback.polls, 1)

    def test_service_that_hangs(self) -> None:
        """A poll ends after a minute, connected or not; what it brought counts."""
        rig, _, feedback = self.made()
        rig.network.hang = True
        feedback.start()
        rig.clock.advance(POLL_S)
        self.assertTrue(rig.network.pending[0].called)
        rig, _, feedback = self.made()
        rig.feedback.dead = [ONE]
        rig.feedback.hang = True
        feedback.start()
        rig.network.advance(POLL_S - 1, 1.0)
        self.assertEqual(rig.news.dead, [])
        rig.network.advance(2, 1.0)
        self.assertEqual(len(rig.news.dead), 1)

    def test_certificate_refused(self) -> None:
        """The list is not emptied, and nothing is told."""
        for newest in (False, True):
            rig, _, feedback = self.made(newest=newest, foreign=True)
            rig.feedback.dead = [ONE]
            feedback.start()
            rig.network.advance(0.2)
            self.assertEqual((rig.news.dead, rig.feedback.dead), ([], [ONE]))

    def test_broken_keystore(self) -> None:
        """Nothing is asked; later it is tried again."""
        rig, _, feedback = self.made(password="other")
        feedback.start()
        self.assertEqual(rig.network.attempts, 0)
        self.assertEqual(len(rig.clock.getDelayedCalls()), 1)

    def test_store_that_fails(self) -> None:
        """Nobody is told of what could not be stored; the failure is logged."""
        rig, store, feedback = self.made()
        rig.feedback.dead = [ONE]
        store.broken = True
        feedback.start()
        rig.network.advance(0.2)
        self.assertEqual(rig.news.dead, [])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_store_that_is_away(self) -> None:
        """What the service has forgotten by now is stored as soon as that can be."""
        rig, store, feedback = self.made()
        log = LogLines(self)
        rig.feedback.dead = [ONE, TWO]
        store.away = True
        feedback.start()
        rig.network.advance(20)
        self.assertEqual((store.tuples, rig.news.dead), ([], []))
        store.away = False
        rig.network.advance(20)
        self.assertEqual(len(rig.news.dead), 2)
        self.assertEqual(store.tuples, [])
        (line,) = log.lines()
        self.assertIn("storing what APNs tells of devices; again until it is done", line)

    def test_store_that_is_away_at_the_start(self) -> None:
        """What is stored cannot be read: a line in the log, and the next poll comes sooner."""
        rig, store, feedback = self.made()
        store.tuples = [ONE]
        store.unread = True
        log = LogLines(self)
        feedback.start()
        rig.network.advance(RETRY_S + 1, 10)
        self.assertEqual(len(log.lines()), 1)
        store.unread = False
        rig.network.advance(RETRY_S + 1, 10)
        self.assertEqual(len(rig.news.dead), 1)

    def test_stopped_with_something_read(self) -> None:
        """What the service has forgotten and we have read is stored before the end."""
        rig, store, feedback = self.made()
        rig.feedback.dead = [ONE, TWO]
        rig.feedback.hang = True
        feedback.start()
        rig.network.advance(1)
        self.assertEqual((store.tuples, rig.feedback.dead), ([], []))
        self.successResultOf(Deferred.fromCoroutine(feedback.stop()))
        self.assertEqual(store.tuples, [ONE, TWO])
        self.assertEqual(rig.news.dead, [])

    def test_stopped_in_the_middle(self) -> None:
        """A poll under way ends, and no other begins."""
        rig, _, feedback = self.made()
        feedback.start()
        self.successResultOf(Deferred.fromCoroutine(feedback.stop()))
        rig.network.advance(7200, 100.0)
        self.assertEqual(rig.feedback.polls, 0)

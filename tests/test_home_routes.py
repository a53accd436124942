"""Which routes live at one node of several, held against what the whole server has."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.http.carried import MAX_CARRIED
from tests.support.house import make_house

AT_HOME = ("/desk/api/", "/embedded/")
"""The desk's log-ins, and the contact centre's calls and agents."""


class HomeRouteTests(SynchronousTestCase):
    """Every route of the desk and the contact centre, and no other."""

    def test_which(self) -> None:
        """Pages, probes, and the APIs of applications are answered by any node."""
        folder = Path(self.mktemp())
        folder.mkdir()
        house, _ = make_house(folder, "server/identity_mode=open")
        rules = list(house.api.rules())
        home = {url for url, _, plan in rules if plan.home}
        self.assertEqual(home, {url for url, _, _ in rules if url.startswith(AT_HOME)})
        self.assertEqual({url.split("/")[1] for url in home}, {"desk", "embedded"})
        for url, _, plan in rules:
            if plan.home:
                self.assertFalse(plan.multipart, url)
        self.assertLessEqual(house.configuration.http.max_body, MAX_CARRIED)

"""The load balancer's page over HTTP."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.chatserver.balancer import balancer_answer
from gms_twisted.domain.chat import ChatServerAddress
from gms_twisted.domain.values import FormValue
from gms_twisted.rest.balancer import DEFAULT_PATH, balancer_page, page_path
from gms_twisted.rest.root import Api
from tests.support.rest_client import RestClient


class BalancerPageTests(SynchronousTestCase):
    """One URL, one server."""

    def setUp(self) -> None:
        """A page at the default path."""
        self.pages: dict[str, bytes] = {}
        self.page: bytes | None = balancer_answer(ChatServerAddress("350", "127.0.0.1", 4856))
        api = Api()
        api.add(balancer_page(DEFAULT_PATH, lambda alias: self.pages.get(alias, self.page)))
        self.client = RestClient(api)

    def test_names_the_server(self) -> None:
        """JSON, whatever alias is asked for: that is the take-over."""
        for query in ("", "?chatServerLoadBalancerAlias=350", "?chatServerLoadBalancerAlias=7"):
            answer = self.client.get(DEFAULT_PATH + query)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.header("content-type"), "application/json")
            self.assertEqual(
                answer.json(),
                {"alias": "350", "host": "127.0.0.1", "webapi_port": 4856, "tls": False},
            )

    def test_names_the_server_that_is_asked_for(self) -> None:
        """Of several, that with the alias."""
        self.pages["8"] = balancer_answer(ChatServerAddress("8", "127.0.0.1", 4858))
        wanted: dict[str, FormValue] = {"chatServerLoadBalancerAlias": "8"}
        answer = self.client.request("GET", DEFAULT_PATH, fields=wanted)
        self.assertEqual(answer.json()["webapi_port"], 4858)

    def test_no_server(self) -> None:
        """503 while there is none."""
        self.page = None
        self.assertEqual(self.client.get(DEFAULT_PATH).status, 503)

    def test_path_is_an_option(self) -> None:
        """A path is taken; somebody else's URL, or what is no path, leaves the default."""
        self.assertEqual(page_path("/lb/ChatLBServerInfo.jsp?x=1"), "/lb/ChatLBServerInfo.jsp")
        for other in ("http://lb.example/ChatLBServerInfo.jsp", "lb", "", "/<x>"):
            self.assertEqual(page_path(other), DEFAULT_PATH)

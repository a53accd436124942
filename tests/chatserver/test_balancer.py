"""The load balancer's answer."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gms_twisted.chatserver.balancer import (
    MAX_ANSWER_BYTES,
    BadBalancerAnswer,
    balancer_answer,
    parse_balancer_answer,
    parse_server_entry,
)
from gms_twisted.domain.chat import ChatServerAddress

SERVER = ChatServerAddress("350", "135.225.51.225", 4856, False)


class BalancerAnswerTests(SynchronousTestCase):
    """One form is written, several are read."""

    def test_written_form(self) -> None:
        """JSON with alias, host, port and TLS."""
        answer = json.loads(balancer_answer(SERVER))
        expected = {"alias": "350", "host": "135.225.51.225", "webapi_port": 4856, "tls": False}
        self.assertEqual(answer, expected)
        self.assertEqual(parse_balancer_answer(balancer_answer(SERVER)), SERVER)

    def test_friendly_forms(self) -> None:
        """JSON, lines, pairs and XML, under any of the names."""
        secure = ChatServerAddress("350", "135.225.51.225", 4856, True)
        for text in (
            '{"chatServerLoadBalancerAlias":350,"chatServerHost":"135.225.51.225",'
            '"chatWebApiPort":"4856","isTLSrequired":"true"}',
            "alias=350\nhost = 135.225.51.225\r\nport=4856\nsecure=1\n",
            "ALIAS=350&Chat_Server_Host=135.225.51.225&web-api-port=4856&tls=yes",
            '<?xml version="1.0"?><server alias="350" host="135.225.51.225" webapi_port="4856" '
            'TLS="on"/>',
            '<a><chat alias="350" host="135.225.51.225" port="4856" secure="true"/></a>',
            '\n\n {"alias":"350","host":"135.225.51.225","port":4856,"tls":true,"extra":[1]}\n',
        ):
            self.assertEqual(parse_balancer_answer(text.encode()), secure, text)

    def test_alias_may_be_missing(self) -> None:
        """Host and port are what is needed."""
        self.assertEqual(
            parse_balancer_answer(b"host=a&port=1"), ChatServerAddress("", "a", 1, False)
        )

    def test_not_understood(self) -> None:
        """Anything else is an error that shows the beginning, escaped."""
        for body in (
            b"",
            b"<html><body>It works!</body></html>",
            b"[1,2]",
            b'{"host":"a"}',
            b'{"host":"a b","port":1}',
            b'{"host":"a","port":65536}',
            b'{"host":"a","port":1,"tls":"maybe"}',
            b'{"host":["a"],"port":{}}',
            b"{" * 5000,
            b'<!DOCTYPE a [<!ENTITY b "c">]><a host="&b;" port="1"/>',
            b"x" * (MAX_ANSWER_BYTES + 1),
            b'{"alias":"\\u0000","host":"a","port":1}',
        ):
            with self.assertRaises(BadBalancerAnswer):
                parse_balancer_answer(body)
        with self.assertRaises(BadBalancerAnswer) as caught:
            parse_balancer_answer(b"\x1b[31mno\r\n" + b"y" * 1000)
        self.assertTrue(str(caught.exception).isprintable())
        self.assertLessEqual(len(str(caught.exception)), 400)

    @settings(deadline=None, max_examples=100)
    @given(
        st.binary(max_size=100)
        | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))
    )
    def test_garbage(self, body: bytes) -> None:
        """Whatever comes, there is a server or BadBalancerAnswer."""
        try:
            parse_balancer_answer(body)
        except BadBalancerAnswer:
            return


class ServerEntryTests(SynchronousTestCase):
    """Entries of ``chat/chat_server``."""

    def test_forms(self) -> None:
        """Alias, host, port, TLS perhaps; IPv6 in brackets."""
        self.assertEqual(
            [
                parse_server_entry(text)
                for text in ("a=h:1", " b=[::1]:2;tls ", "350=c.example:4856")
            ],
            [
                ChatServerAddress("a", "h", 1),
                ChatServerAddress("b", "::1", 2, True),
                ChatServerAddress("350", "c.example", 4856),
            ],
        )

    def test_wrong_forms(self) -> None:
        """Anything else is refused in one sentence."""
        for text in (
            "",
            "a",
            "a=h",
            "a=h:0",
            "a=h:99999",
            "=h:1",
            "a=h:1;ssl",
            "a=h h:1",
            "a=::1:2",
        ):
            with self.assertRaises(ValueError):
                parse_server_entry(text)

"""Services that count by a timer, and publish each number to a program that is called back.

Knows: the Service API, the application, HTTP callbacks.  Does not know: faults, what must hold.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from tests.soak.clients import API, Clients

APPLICATION = """
<scxml version="1.0" initial="on" xmlns="http://www.w3.org/2005/07/scxml"
  xmlns:ws="http://www.genesyslab.com/modules/ws"
  xmlns:gsgNotification="http://www.genesyslab.com/modules/dfm/gsgNotification/v1">
  <datamodel>
    <data id="count" expr="0"/><data id="sent" expr="{}"/><data id="failed" expr="[]"/>
    <data id="request" expr="''"/><data id="start" expr="''"/>
  </datamodel>
  <state id="on">
    <transition event="gms.start">
      <assign location="_data.start" expr="_event.sendid"/>
      <gsgNotification:create apiVersion="'1'" content="({'subscriberId': _sessionid,
        'notificationDetails': {'type': 'httpcb', 'deviceId': _data._url}, 'expire': 86400,
        'filter': 'soak.tick.' + _sessionid})"/>
    </transition>
    <transition event="gsgNotification.create.done">
      <ws:response requestid="_data.start" resultcode="JSON.stringify({'_id': _sessionid})"/>
      <send id="tick" event="'tick'" delay="_data._every + 's'"/>
    </transition>
    <transition event="error.gsgNotification.create" target="off">
      <ws:response requestid="_data.start" type="'negative'" resultcode="'no subscription'"/>
    </transition>
    <transition event="tick">
      <assign location="_data.count" expr="_data.count + 1"/>
      <gsgNotification:publish requestid="_data.request" apiVersion="'1'"
        content="({'tag': 'soak.tick.' + _sessionid,
          'message': JSON.stringify({'session': _sessionid, 'number': _data.count})})"/>
      <script>_data.sent[_data.request] = _data.count;</script>
      <send id="tick" event="'tick'" delay="_data._every + 's'"/>
    </transition>
    <transition event="gsgNotification.publish.done">
      <script>delete _data.sent[_event.data.requestid];</script>
    </transition>
    <transition event="error.gsgNotification.publish">
      <script>_data.failed.push(_data.sent[_event.data.requestid]);
        delete _data.sent[_event.data.requestid];</script>
    </transition>
    <transition event="status">
      <ws:response requestid="_event.sendid" resultcode="JSON.stringify({'count': _data.count,
        'failed': _data.failed, 'sent': _data.sent})"/>
    </transition>
    <transition event="halt">
      <cancel sendid="'tick'"/>
      <ws:response requestid="_event.sendid" resultcode="'halted'"/>
    </transition>
  </state>
  <final id="off"/>
</scxml>
"""
"""Counts, publishes, and answers ``status``, until ``halt``."""


class CallbackSite(Resource):
    """Takes what is published."""

    isLeaf = True

    def __init__(self, clients: Clients) -> None:
        super().__init__()
        self._clients = clients

    def render_POST(self, request: Request) -> bytes:
        """Note it."""
        assert request.content is not None
        said = json.loads(request.content.read())
        name = request.getHeader("X-Notification-Id")
        self._clients.history.told(
            "timer", "fired", said["session"], number=said["number"], id=name
        )
        return b""


class Ticks:
    """Services that count.

    :param many: how many.
    :param every_s: seconds between two numbers.
    :ivar keys: those that were started.
    """

    name = "ticks"

    def __init__(self, clients: Clients, many: int = 6, every_s: int = 1) -> None:
        self._clients = clients
        self._many = many
        self._every_s = every_s
        self.keys: list[str] = []
        self._port: Any = clients.world.reactor.listenTCP(
            0, Site(CallbackSite(clients)), interface="127.0.0.1"
        )
        folder = clients.world.folder / "applications"
        folder.mkdir()
        application = Path(folder) / "tick.scxml"
        application.write_text(APPLICATION)
        port = self._port.getHost().port
        self.url = f"http://127.0.0.1:{port}/"
        clients.world.options += (
            f"push/httpcb.allow=127.0.0.1:{port}",
            "push/retry.background=true",
            f"ors/document_roots={folder}",
            "service.tick/_type=ors",
            f"service.tick/_service={application.as_uri()}",
            "service.tick/_ttl=86400",
        )

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """See :class:`Workload`."""
        return [self._loop() for _ in range(self._many)]

    async def _loop(self) -> None:
        ours, key = self._clients, ""
        fields = {"_url": self.url, "_every": str(self._every_s)}
        while not ours.over and not key:
            answer = await ours.ask("POST", f"{API}/service/tick", fields)
            key = str(answer.json["_id"]) if answer.status == 200 else ""
            ours.note("timer", "start", key, answer)
            await ours.pause(answer)
        if key:
            self.keys.append(key)
        while not ours.over:
            await self._status(key, "status")
            await ours.world.sleep(self._every_s * (0.2 + ours.random.random()))

    async def _status(self, key: str, action: str) -> bool:
        ours = self._clients
        answer = await ours.ask("POST", f"{API}/service/{key}/status")
        got = dict(answer.json) if answer.status == 200 else {}
        ours.note("timer", action, key, answer, None, got)
        return answer.status == 200

    async def finish(self) -> None:
        """Let each come to rest, and ask it how far it is."""
        ours = self._clients
        for key in self.keys:
            for _ in range(20):
                if (await ours.ask("POST", f"{API}/service/{key}/halt")).status == 200:
                    break
                await ours.world.sleep(0.5)
        await ours.world.sleep(8)
        for key in self.keys:
            for _ in range(10):
                if await self._status(key, "final"):
                    break
                await ours.world.sleep(0.5)
        await self._port.stopListening()

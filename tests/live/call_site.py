"""A customer's program and a contact centre, asked over HTTP as each would ask.

Knows: which requests there are, what an answer is like apart from ids and numbers.  Does
not know: which process runs what.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from gms_twisted.app.access_records import BOOKING
from gms_twisted.app.service_records import SERVICE
from gms_twisted.app.session_records import SESSION
from gms_twisted.app.subscription_records import SUBSCRIPTION
from gms_twisted.store.sqlite import FILE_NAME
from tests.live.attacks import eventually
from tests.live.canary import FORM, Connection, Wrong
from tests.live.server import Server
from tests.live.several import Nodes

API = "/genesys/1/service"
GROUP = "Billing"
ANI = "6504669999"
PATIENCE_S = 15.0

_ID = re.compile(r"\b[0-9A-V]{32}\b")
_NUMBER = re.compile(r'"(_access_number|_access_code|chatSessionId|secureKey)":"[^"]+"')


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    body: str

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    @property
    def shape(self) -> tuple[int, str]:
        """Status and body, ids and numbers to call apart: two of the same kind are equal."""
        return self.status, _NUMBER.sub(r'"\1":"..."', _ID.sub("ID", self.body))


class Program:
    """A customer's program; one connection."""

    def __init__(self, url: str) -> None:
        self._http = Connection(url, again=True)

    def create(self, service: str, **fields: str) -> Answer:
        """Create a service."""
        return self._post(f"{API}/{service}", fields)

    def made(self, service: str, **fields: str) -> Any:
        """Create one, which must succeed; gives the JSON."""
        answer = self.create(service, **fields)
        if answer.status != 200:
            raise Wrong(f"{service}: {answer}")
        return answer.json

    def ask(self, service_id: str, request: str, **fields: str) -> Answer:
        """Ask a service."""
        return self._post(f"{API}/{service_id}/{request}", fields)

    def delete(self, service_id: str) -> int:
        """Delete one."""
        return self._http.ask("DELETE", f"{API}/{service_id}")[0]

    def await_status(self, service_id: str, wanted: str) -> Answer:
        """Poll until a service's status is that; gives the answer."""
        seen: list[Answer] = []

        def there() -> bool:
            seen.append(self.ask(service_id, "status"))
            return f'"_status":"{wanted}"' in seen[-1].body

        if not eventually(there, PATIENCE_S):
            raise Wrong(f"the status is not {wanted}: {seen[-1]}")
        return seen[-1]

    def await_end(self, service_id: str) -> Answer:
        """Ask until a service is no more; gives the answer then."""
        seen: list[Answer] = []

        def gone() -> bool:
            seen.append(self.ask(service_id, "nothing-such"))
            return "unknown_request" not in seen[-1].body

        if not eventually(gone, PATIENCE_S):
            raise Wrong("the service does not end")
        return seen[-1]

    def close(self) -> None:
        """Be gone; asked again, it comes back."""
        self._http.close()

    def _post(self, path: str, fields: dict[str, str]) -> Answer:
        status, body = self._http.ask("POST", path, urlencode(fields).encode(), **FORM)
        return Answer(status, body.decode())


class Centre:
    """The contact centre of a process, and its sessions."""

    def __init__(self, url: str) -> None:
        self._http = Connection(url, again=True)

    def agent(self, state: str) -> None:
        """An agent says what it does."""
        self._good("POST", f"/embedded/agents/{GROUP}/anna", state=state)

    def call(self, number: str, ani: str = ANI, **more: str) -> str:
        """A customer calls; gives the call's id."""
        return str(self._good("POST", "/embedded/calls", dnis=number, ani=ani, **more)["id"])

    def calls(self) -> list[Any]:
        """All calls."""
        found: list[Any] = self._good("GET", "/embedded/calls")["calls"]
        return found

    def only_call(self, state: str) -> str:
        """The one call that has not ended, once it is in a state; gives its id."""
        found: list[Any] = []

        def there() -> bool:
            found[:] = [one for one in self.calls() if one["state"] != "ended"]
            return [one["state"] for one in found] == [state]

        if not eventually(there, PATIENCE_S):
            raise Wrong(f"no call is {state}: {found}")
        return str(found[0]["id"])

    def customer(self, call: str, state: str) -> None:
        """What a customer who is called does."""
        self._good("POST", f"/embedded/calls/{call}", state=state)

    def hang_up(self, call: str) -> None:
        """The customer hangs up."""
        self._good("DELETE", f"/embedded/calls/{call}")

    def query(self, session_id: str) -> Any:
        """A session's state and data, ``None`` when there is none."""
        status, body = self._http.ask("GET", f"/scxml/session/{session_id}/query")
        return json.loads(body) if status == 200 else None

    def close(self) -> None:
        """Be gone; asked again, it comes back."""
        self._http.close()

    def _good(self, method: str, path: str, **fields: str) -> Any:
        body = urlencode(fields).encode() if fields else None
        return self._http.good(method, path, body, **(FORM if fields else {}))


KINDS = (SERVICE, SESSION, BOOKING, SUBSCRIPTION)


def stored(server: Server) -> dict[str, int]:
    """How much of each kind a server's store holds; numbers that are held are ``held``.

    What has expired and is only still to be swept away does not count.
    """
    if isinstance(server, Nodes):
        return {**{str(kind): server.count(kind) for kind in KINDS}, "held": server.held()}
    path = server.data / FILE_NAME
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        now = (time.time(),)
        kept = "SELECT kind, count(*) FROM records WHERE ifnull(expires_at > ?, 1) GROUP BY kind"
        found = dict(store.execute(kept, now).fetchall())
        held = store.execute("SELECT count(*) FROM reservations WHERE until > ?", now).fetchone()[0]
    return {**{str(kind): found.get(str(kind), 0) for kind in KINDS}, "held": held}


def is_empty(server: Server) -> bool:
    """Tell whether a server's store holds none of these."""
    return not any(stored(server).values())


def keys(server: Server, kind: str) -> set[str]:
    """The keys of a kind of records."""
    if isinstance(server, Nodes):
        return server.keys(kind)
    path = server.data / FILE_NAME
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        rows = store.execute("SELECT key FROM records WHERE kind = ?", (kind,)).fetchall()
    return {str(key) for (key,) in rows}

"""What clients get of a session's answers.

Spec: Orchestration Server-based Services, "Common Characteristics".

Knows: bodies, statuses.  Does not know: sessions, services.
"""

from __future__ import annotations

import json

from gms_twisted.app.access_codes import NoCodeFree
from gms_twisted.app.access_numbers import Busy
from gms_twisted.app.access_pools import NumbersTaken
from gms_twisted.app.orchestration import Reply, json_object
from gms_twisted.app.service_kinds import Verbatim
from gms_twisted.domain.errors import NodeAway, StoreReadOnly, Unavailable

_NOT_NOW = frozenset(
    {
        Unavailable.code,
        NodeAway.code,
        NumbersTaken.code,
        NoCodeFree.code,
        Busy.code,
        StoreReadOnly.code,
    }
)
"""What applications pass on of failures that may not last."""


def created(session_id: str, reply: Reply, *, verbose: bool) -> Verbatim:
    """What the client gets of a session's answer to ``gms.start``.

    A JSON object goes through as it is; anything else, a bare id for example, becomes one.
    """
    answer = json_object(reply.body)
    if answer is None:
        answer = {"_id": session_id}
    elif not verbose:
        return Verbatim(reply.body)
    if verbose:
        # The reference's own spelling.
        answer["_session_comand_STATUS_URL"] = status_url(session_id)
    # The application's own values: half a character, a number of any length.
    return Verbatim(json.dumps(answer, separators=(",", ":")))


def status_url(service_id: str) -> str:
    """Where the request ``status`` of a service is."""
    return f"/genesys/1/service/{service_id}/status"


def refusal(body: str) -> int:
    """The status of a negative answer: 503 for one that names a failure of that kind, else 400.

    Spec: Advanced Chat Service API, "Response": 503 before an agent is available.
    """
    code = (json_object(body) or {}).get("exception")
    return 503 if isinstance(code, str) and code in _NOT_NOW else 400

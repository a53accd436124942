"""Google's GCM over HTTP, from its side of the wire.

GCM: "HTTP Connection Server", "Downstream message syntax", "Response format".
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from gms_twisted.domain.sources import IdSource
from gms_twisted.simulators.gateway import JSON, TEXT, Call, Reply, Say, Script

PATHS = frozenset(("/gcm/send", "/fcm/send"))
MAX_DEVICES = 1000
MAX_DATA = 4096
MAX_TTL = 2_419_200
_MEMBERS: Mapping[str, type | tuple[type, ...]] = {
    "registration_ids": list,
    "to": str,
    "data": dict,
    "notification": dict,
    "collapse_key": str,
    "time_to_live": int,
    "delay_while_idle": bool,
    "restricted_package_name": str,
    "dry_run": bool,
    "priority": str,
    "content_available": bool,
    "mutable_content": bool,
}


class GcmSimulator:
    """Takes sends; orders are by registration id.

    The word is an error, or ``canonical:ID`` for a device that has another id now.

    :param key: the only API key taken; ``""``: any.
    """

    def __init__(self, say: Say, ids: IdSource, key: str = "") -> None:
        self.script = Script()
        self._say = say
        self._ids = ids
        self._key = key

    def handle(self, call: Call) -> Reply:
        """Answer a request."""
        ordered = self.script.ordered(call)
        if ordered is not None:
            return ordered
        if call.path.partition("?")[0] not in PATHS:
            return self._refuse(404, "Not Found")
        if call.method != "POST":
            return self._refuse(405, "Method Not Allowed")
        scheme, _, key = call.headers.get("authorization", "").partition("=")
        if scheme != "key" or not key or self._key not in ("", key):
            return self._refuse(401, "Unauthorized")
        if call.media_type != "application/json":
            return self._refuse(400, f"Unsupported Content-Type {call.media_type}")
        try:
            message = json.loads(call.body.decode("utf-8"))
        except ValueError:
            return self._refuse(400, "JSON_PARSING_ERROR: the body is not JSON in UTF-8")
        problem = _problem(message)
        if problem:
            return self._refuse(400, problem)
        return self._send(message)

    def _send(self, message: Mapping[str, object]) -> Reply:
        devices = message.get("registration_ids")
        ids = [str(one) for one in devices] if isinstance(devices, list) else [str(message["to"])]
        general = _general_error(message)
        results: list[dict[str, str]] = []
        for device in ids:
            word = general or self.script.word_for(device)
            if not device:
                word = "MissingRegistration"
            name, _, canonical = word.partition(":")
            result = {"error": word}
            if not word or name == "canonical":
                result = {"message_id": f"0:{self._ids.hex(16)}%{self._ids.hex(16)}"}
                if canonical:
                    result["registration_id"] = canonical
            results.append(result)
            shown = {name: value for name, value in message.items() if name != "registration_ids"}
            what = "refused" if "error" in result else "push"
            self._say(what, {"device": device, **shown, "answer": result})
        failed = sum("error" in result for result in results)
        answer = {
            "multicast_id": int(self._ids.hex(12), 16),
            "success": len(results) - failed,
            "failure": failed,
            "canonical_ids": sum("registration_id" in result for result in results),
            "results": results,
        }
        return Reply(200, json.dumps(answer).encode("utf-8"), {"content-type": JSON})

    def _refuse(self, status: int, why: str) -> Reply:
        self._say("refused", {"why": why, "answer": status})
        return Reply(status, f"{why}\n".encode(), {"content-type": TEXT})


def _problem(message: object) -> str:
    """Say what makes the request as a whole wrong, ``""`` for nothing."""
    if not isinstance(message, dict):
        return "JSON_TYPE_ERROR: the body is not an object"
    for name, value in message.items():
        wanted = _MEMBERS.get(name)
        if wanted is None:
            return f"JSON_TYPE_ERROR: there is no field {name!r}"
        # To Python, true is a number too.
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            return f"JSON_TYPE_ERROR: field {name!r} has the wrong type"
    devices = message.get("registration_ids")
    if (devices is None) == ("to" not in message):
        return 'Missing "registration_ids" field'
    if devices is not None and not 0 < len(devices) <= MAX_DEVICES:
        return f'"registration_ids" must hold 1 to {MAX_DEVICES} ids'
    if devices is not None and not all(isinstance(one, str) for one in devices):
        return 'JSON_TYPE_ERROR: field "registration_ids" must be strings'
    if not all(isinstance(value, str) for value in message.get("data", {}).values()):
        return 'JSON_TYPE_ERROR: values of "data" must be strings'
    return ""


def _general_error(message: Mapping[str, object]) -> str:
    """The error that every device gets for this message."""
    data = message.get("data")
    items = data.items() if isinstance(data, dict) else ()
    if sum(len(str(name).encode()) + len(str(value).encode()) for name, value in items) > MAX_DATA:
        return "MessageTooBig"
    for name, _ in items:
        if name in ("from", "message_type") or name.startswith(("google", "gcm")):
            return "InvalidDataKey"
    ttl = message.get("time_to_live", 0)
    if isinstance(ttl, int) and not 0 <= ttl <= MAX_TTL:
        return "InvalidTtl"
    return ""

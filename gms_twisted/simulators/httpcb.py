"""A callback server: takes what the server posts, and answers 200.

Spec: HttpCallback Notification.
"""

from __future__ import annotations

from gms_twisted.simulators.gateway import TEXT, Call, Reply, Say, Script


class CallbackSimulator:
    """Answers for any URL; orders are by path, the word is a status."""

    def __init__(self, say: Say) -> None:
        self.script = Script()
        self._say = say

    def handle(self, call: Call) -> Reply:
        """Take a callback."""
        ordered = self.script.ordered(call)
        if ordered is not None:
            return ordered
        if call.method != "POST":
            return self._refuse(405, call, "callbacks are posted", {"Allow": "POST"})
        if "content-length" not in call.headers:
            return self._refuse(411, call, "there is no Content-Length")
        try:
            text = call.body.decode("utf-8")
        except UnicodeDecodeError:
            return self._refuse(400, call, "the body is not UTF-8")
        path = call.path.partition("?")[0]
        status = self.script.word_for(path) or self.script.word_for(call.path) or "200"
        self._say(
            "push",
            {
                "url": call.path,
                "message": text,
                "tag": call.headers.get("x-notification-tag", ""),
                "id": call.headers.get("x-notification-id", ""),
                "content_type": call.headers.get("content-type", ""),
                "answer": int(status),
            },
        )
        return Reply(int(status))

    def _refuse(
        self, status: int, call: Call, why: str, headers: dict[str, str] | None = None
    ) -> Reply:
        self._say("refused", {"url": call.path, "why": why, "answer": status})
        return Reply(status, why.encode("utf-8"), {"content-type": TEXT, **(headers or {})})

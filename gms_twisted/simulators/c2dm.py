"""Google's C2DM and its ClientLogin, from their side of the wire.

C2DM: "Role of the Third-Party Application Server"; "ClientLogin".
"""

from __future__ import annotations

from gms_twisted.domain.sources import IdSource
from gms_twisted.simulators.gateway import TEXT, Call, Reply, Say, Script

LOGIN_PATH = "/accounts/ClientLogin"
SEND_PATH = "/c2dm/send"
MAX_DATA = 1024
_ACCOUNT_TYPES = frozenset(("GOOGLE", "HOSTED", "HOSTED_OR_GOOGLE"))


class C2dmSimulator:
    """Takes log-ins and sends; orders are by registration id, the word is an error.

    :param password: the only one taken; ``""``: any.
    :ivar token: the one that sends must carry; ``""`` before the first log-in.
    :ivar update: a token that the next answer hands out, in place of the present one.
    """

    def __init__(self, say: Say, ids: IdSource, password: str = "", token: str = "") -> None:
        self.script = Script()
        self._say = say
        self._ids = ids
        self._password = password
        self.token = token
        self.update = ""
        self.logins = 0

    def handle(self, call: Call) -> Reply:
        """Answer a request."""
        ordered = self.script.ordered(call)
        if ordered is not None:
            return ordered
        path = call.path.partition("?")[0]
        if path not in (LOGIN_PATH, SEND_PATH):
            return _text(404, "Not Found")
        if call.method != "POST":
            return _text(405, "Method Not Allowed")
        try:
            form = call.form()
        except ValueError as error:
            self._say("refused", {"why": str(error), "answer": 400})
            return _text(400, "Bad Request")
        return self._login(form) if path == LOGIN_PATH else self._send(call, form)

    def _login(self, form: dict[str, str]) -> Reply:
        right = (
            form.get("Email")
            and form.get("Passwd")
            and form.get("service") == "ac2dm"
            and form.get("source")
            and form.get("accountType") in _ACCOUNT_TYPES
            and self._password in ("", form["Passwd"])
        )
        if not right:
            self._say("refused", {"why": "the log-in is wrong", "answer": 403})
            return _text(403, "Error=BadAuthentication\n")
        self.logins += 1
        self.token = self._ids.token()
        self._say("login", {"email": form["Email"]})
        return _text(200, f"SID={self._ids.token()}\nLSID={self._ids.token()}\nAuth={self.token}\n")

    def _send(self, call: Call, form: dict[str, str]) -> Reply:
        given = call.headers.get("authorization", "")
        if not self.token or given != f"GoogleLogin auth={self.token}":
            self._say("refused", {"why": "the token is wrong", "answer": 401})
            return _text(401, "Unauthorized")
        headers = {}
        if self.update:
            self.token, self.update = self.update, ""
            headers["Update-Client-Auth"] = self.token
        error = self._judge(form)
        data = {name[5:]: value for name, value in form.items() if name.startswith("data.")}
        answer = f"Error={error}" if error else f"id=0:{self._ids.hex(16)}%{self._ids.hex(16)}"
        self._say(
            "refused" if error else "push",
            {
                "device": form.get("registration_id", ""),
                "data": data,
                "collapse_key": form.get("collapse_key", ""),
                "delay_while_idle": "delay_while_idle" in form,
                "answer": answer,
            },
        )
        return _text(200, f"{answer}\n", headers)

    def _judge(self, form: dict[str, str]) -> str:
        size = sum(
            len(name[5:].encode()) + len(value.encode())
            for name, value in form.items()
            if name.startswith("data.")
        )
        if not form.get("registration_id"):
            return "MissingRegistration"
        if not form.get("collapse_key"):
            return "MissingCollapseKey"
        if size > MAX_DATA:
            return "MessageTooBig"
        return self.script.word_for(form["registration_id"])


def _text(status: int, text: str, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, text.encode("utf-8"), {"content-type": TEXT, **(headers or {})})

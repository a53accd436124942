"""What operators ask a running server for: log-in links, copies of the store, data of a person.

Each command of :mod:`gms_twisted.commands` that needs the server has a coroutine here.  It gets the
JSON object that was sent, and answers with the members of the object that comes back; a
:class:`gms_twisted.domain.errors.GmsError` is told to whoever asked, as its sentence.

Knows: which part of the server does what.  Does not know: sockets, lines, the terminal.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gms_twisted.control import Command
from gms_twisted.domain.errors import InvalidRequest
from gms_twisted.embedded.chat_data import export_user
from gms_twisted.wiring import Foundation, House

Json = Mapping[str, object]


class ControlCommands:
    """The commands of a server that has started."""

    def __init__(self, base: Foundation, house: House) -> None:
        self._base = base
        self._house = house

    def by_name(self) -> Mapping[str, Command]:
        """Each of them by the name that it is asked for with."""
        return {
            "login-link": self.login_link,
            "backup": self.backup,
            "site-url": self.site_url,
            "user-export": self.user_export,
            "user-delete": self.user_delete,
        }

    async def login_link(self, asked: Json) -> Json:
        """Make a one-time ``link`` to the desk for the agent ``name``, ``""``: for a new operator.

        :raises NotFound: there is no such agent.
        """
        name = asked.get("name", "")
        token = await self._house.accounts.new_link(name if isinstance(name, str) else "")
        return {"link": f"{self._house.site_url()}desk/#link={token}"}

    async def backup(self, asked: Json) -> Json:
        """Copy the store to ``file``, which is answered.

        :raises InvalidRequest: the file is there already, or this store cannot be copied.
        """
        target = Path(str(asked.get("file", "")))
        copy = getattr(self._base.store, "backup", None)
        if copy is None:
            raise InvalidRequest("This store cannot be copied.")
        if target.exists():
            raise InvalidRequest(f"{target} exists already.")
        await copy(target)
        return {"file": str(target)}

    async def site_url(self, asked: Json) -> Json:
        """Tell the root's ``url``, which ends in ``/``, and the ``mode`` of identities."""
        return {"url": self._house.site_url(), "mode": self._house.identity.mode}

    async def user_export(self, asked: Json) -> Json:
        """Give all that is known of ``user``: ``found``, with ``chats`` and ``sessions``."""
        user = str(asked.get("user", ""))
        chats = await export_user(self._base.store, user)
        sessions = await self._house.orchestration.users.export(user)
        return {"found": {"chats": chats, "sessions": sessions}}

    async def user_delete(self, asked: Json) -> Json:
        """Delete all that is known of ``user``; ``deleted`` says in words how much it was."""
        user, rooms = str(asked.get("user", "")), self._base.chat_server
        # First, for what a session does at its end may still be said in a chat.
        sessions = await self._house.orchestration.users.end(user)
        chats = 0 if rooms is None else await rooms.rooms.delete_user(user)
        return {"deleted": f"{chats} chats, {sessions} sessions"}

"""Agents of the desk: accounts, log-ins, links, and what names and passwords may be.

Knows: shapes, rules of form, the record of an account.  Does not know: who may do
what, the life of links and log-ins.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from gms_twisted.domain.errors import Conflict, InvalidRequest, NotFound, Unauthorized
from gms_twisted.domain.ids import AgentName
from gms_twisted.store.interfaces import Kind

AGENTS = Kind("agent")

PASSWORD_CHARS = (10, 200)
DISPLAY_NAME_CHARS = 64
ROLES = ("agent", "operator")

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")


class BadLogin(Unauthorized):
    """Unknown name, wrong password or disabled account: one answer for all three."""

    code = "gms.desk.bad_login"


class NotLoggedIn(Unauthorized):
    """No log-in, or its time is over."""

    code = "gms.desk.not_logged_in"


class LinkNotFound(NotFound):
    """No such link, or it has been used, or is older than a day."""

    code = "gms.desk.link_not_found"


class NameTaken(Conflict):
    """An agent of that name exists."""

    code = "gms.desk.name_taken"


@dataclass(frozen=True, slots=True)
class Agent:
    """One account.

    :ivar password: hashed, or ``""`` before the first log-in link was used.
    """

    name: AgentName
    display_name: str
    role: str
    enabled: bool = True
    password: str = ""

    @property
    def is_operator(self) -> bool:
        """Tell whether this agent may administer others."""
        return self.role == "operator"

    def __repr__(self) -> str:
        """Without the hash."""
        return f"Agent({self.name!r}, role={self.role!r}, enabled={self.enabled})"


@dataclass(frozen=True, slots=True)
class Login:
    """A log-in.

    :ivar key: digest of the cookie; what the store knows it by.
    :ivar csrf: what calls that change something must repeat in a header.
    """

    key: str
    agent: Agent
    csrf: str

    def __repr__(self) -> str:
        """Without the token."""
        return f"Login({self.agent.name!r})"


@dataclass(frozen=True, slots=True)
class Link:
    """What a one-time link is for; ``name`` is empty when its holder chooses one."""

    name: str
    display_name: str
    role: str


def read_agent(key: str, value: bytes) -> Agent:
    """Read the record of an account."""
    return Agent(name=AgentName(key), **json.loads(value))


def agent_value(agent: Agent) -> bytes:
    """Write the record of an account."""
    return json.dumps(
        {
            "display_name": agent.display_name,
            "role": agent.role,
            "enabled": agent.enabled,
            "password": agent.password,
        }
    ).encode()


def checked_name(name: str) -> AgentName:
    """Give a name its one spelling.

    :raises InvalidRequest: it is no name.
    """
    lowered = name.strip().lower()
    if not _NAME.match(lowered):
        raise InvalidRequest(
            "name: use 1 to 64 letters a-z, digits, dots, dashes or underscores, "
            "beginning with a letter or digit.",
            "name",
        )
    return AgentName(lowered)


def checked_display_name(text: str) -> str:
    """Tidy what customers see.

    :raises InvalidRequest: it is empty, too long or not printable.
    """
    shown = " ".join(text.split())
    if not shown or len(shown) > DISPLAY_NAME_CHARS or not shown.isprintable():
        raise InvalidRequest(
            f"display_name: 1 to {DISPLAY_NAME_CHARS} printable characters.", "display_name"
        )
    return shown


def checked_password(password: str) -> str:
    """Judge a new password by its length.

    :raises InvalidRequest: it is too short or too long.
    """
    low, high = PASSWORD_CHARS
    if not low <= len(password) <= high:
        raise InvalidRequest(f"password: {low} to {high} characters.", "password")
    return password

"""Charts that a chart has invoked.

SCXML: "invoke".  A child lives inside its parent's interpreter, and is stored with it.

Knows: one invocation, and how it is written down.  Does not know: when one begins or ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gms_twisted.scxml.model import Invoke

if TYPE_CHECKING:
    from gms_twisted.scxml.interpreter import Interpreter

INNER, URL, TEXT = "inner", "url", "text"


@dataclass(slots=True)
class Invocation:
    """An ``<invoke>`` that was begun.

    :ivar id: its invoke id.
    :ivar state: the state it lives as long as.
    :ivar origin: where the chart is from: :data:`INNER`, :data:`URL` or :data:`TEXT`;
        ``name`` which one, its place, its URL or itself.
    :ivar arguments: JSON texts by name.
    :ivar child: ``None`` until its document is there, and when it has ended.
    :ivar over: it has ended, and what it sent last may still wait.
    """

    id: str
    invoke: Invoke
    state: int
    origin: str
    name: str
    arguments: dict[str, str]
    token: str = ""
    child: Interpreter | None = None
    over: bool = False

    @property
    def stable(self) -> bool:
        """Is not in the middle of a macrostep."""
        return self.child is None or self.child.stable

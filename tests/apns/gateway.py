"""A gateway as the protocol describes it, without bytes: the model to test against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class ModelGateway:
    """One connection's other side.

    :ivar accepted: what it took, in order.
    :ivar packet: what it says before it closes: status and identifier.
    """

    is_bad: Callable[[str], bool]
    accepted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    packet: tuple[int, int] | None = None
    closed: bool = False

    def read(self, sent: Sequence[tuple[int, str]]) -> None:
        """Read in order; at the first bad one say so and throw away the rest."""
        for identifier, name in sent:
            if self.closed:
                return
            if self.is_bad(name):
                self.refused.append(name)
                self.packet = (8, identifier)
                self.closed = True
            else:
                self.accepted.append(name)

    def shut_down(self, last_identifier: int) -> None:
        """Close politely: everything up to an identifier was accepted."""
        if not self.closed:
            self.packet = (10, last_identifier)
            self.closed = True

    def vanish(self) -> None:
        """Close without a word."""
        self.closed = True

"""Says once for each formatting option that its value is of no use.

Knows: names of options.  Does not know: values, which stay out of the log.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.logger import Logger


class UnusableOptions:
    """Remembers what has been said; as many names as there are options."""

    log = Logger()

    def __init__(self) -> None:
        self._said: set[str] = set()

    def say(self, names: Iterable[str]) -> None:
        """Warn of options that were ignored, unless that was done before."""
        for name in names:
            if name not in self._said:
                self._said.add(name)
                self.log.warn("Option {option} cannot be read and is not sent", option=name)

"""What the command line says to a parent.

Knows: options that are the parent's own.  Does not know: how they are carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gms_twisted.config.ini import Loaded
from gms_twisted.config.options import Configuration
from gms_twisted.transports.listening import descriptions


@dataclass(frozen=True, slots=True)
class Plan:
    """What counts as long as the parent runs.

    :ivar listen: endpoint descriptions; beat those of the configuration.
    :ivar overrides: ``SECTION/OPTION=VALUE`` each.
    :ivar log_file: what ``twistd --logfile`` said, ``""`` for standard output.
    :ivar reread: reads the configuration again, without looking at applications.
    """

    data_directory: Path
    config_path: Path
    listen: tuple[str, ...]
    overrides: tuple[str, ...]
    log_format: str
    log_level: str
    log_file: str
    reread: Callable[[], Loaded]

    def listen_on(self, configuration: Configuration) -> Sequence[str]:
        """Endpoint descriptions, from whoever says them first."""
        return descriptions(configuration.server, self.listen)

    def at_restart(self, old: Configuration, new: Configuration) -> Sequence[str]:
        """Name what has changed and counts when the parent itself starts again only."""
        names = []
        if old.server.workers != new.server.workers:
            names.append("server/workers")
        if self.listen_on(old) != self.listen_on(new):
            names.append("server/listen, web_host or web_port")
        return names

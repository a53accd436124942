"""Runs the README's shell lines as typed, against a server started as it says.

A block that begins with ``curl`` is run by ``sh`` in one shell for the whole file, so
that variables set in one block are there in the next.  A line ``# -> TEXT`` after a
command says what its output must hold.
"""

from __future__ import annotations

import re
import subprocess
import sys

from tests.live.server import ROOT
from tests.live.several import server as started

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)
EXPECTED = re.compile(r"^# -> (.*)$")
MARK = "--- next command"


def commands() -> list[tuple[str, str]]:
    """Read the commands and what each must print."""
    text = (ROOT / "README.md").read_text()
    found: list[tuple[str, str]] = []
    for block in BLOCK.findall(text):
        if "curl" not in block:
            continue
        for part in re.split(r"(?<!\\)\n", block):
            expected = EXPECTED.match(part)
            if expected and found:
                found[-1] = (found[-1][0], expected[1])
            elif part.strip() and not part.startswith("#"):
                found.append((part, ""))
    return found


def main() -> int:
    """Run them; returns the exit status."""
    wanted = commands()
    with started(port=8080):
        script = f"\necho '{MARK}'\n".join(command for command, _ in wanted)
        ended = subprocess.run(
            ["sh", "-eu", "-c", script], capture_output=True, text=True, timeout=120, check=False
        )
    outputs = ended.stdout.split(f"{MARK}\n")
    failed = 0
    for number, (command, expected) in enumerate(wanted):
        output = outputs[number] if number < len(outputs) else ""
        if number >= len(outputs) or expected not in output:
            failed += 1
            print(f"README: {command}\n  must print {expected!r}, printed {output!r}")
    if ended.returncode:
        failed += 1
        print(ended.stderr)
    print(f"# pass {len(wanted) - failed}\n# fail {failed}")
    return 1 if failed or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())

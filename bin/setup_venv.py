"""Make the virtual environment ``.venv`` of this checkout; run by bin/gms and bin/test.

Only the dependencies named in setup.cfg are installed.  The checkout itself enters
by a ``.pth`` line, so an edit needs no new installation.  The stamp that declares the
environment complete is written last: one without it is built anew.  A lock makes two
starters at once safe: the second waits and then finds everything done.

Uses the standard library only, since it runs before anything is installed.
"""

from __future__ import annotations

import configparser
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "gms-stamp"
TEST_STAMP = VENV / "gms-stamp-test"


def wanted_stamp() -> str:
    """Say what the environment must have been made from; bin/gms compares the same words."""
    checksum = subprocess.run(
        ["cksum"], stdin=(ROOT / "setup.cfg").open("rb"), capture_output=True, text=True, check=True
    ).stdout.strip()
    return f"{checksum} {os.path.realpath(PYTHON) if PYTHON.exists() else ''} {ROOT}"


def is_complete(stamp: Path) -> bool:
    """Tell whether a stamp says that what it stands for is installed."""
    try:
        return stamp.read_text().rstrip("\n") == wanted_stamp()
    except OSError:
        return False


def only_requirements_changed() -> bool:
    """Tell whether a complete environment differs from the wanted one by setup.cfg alone."""
    try:
        found = STAMP.read_text().split(" ", 2)
    except OSError:
        return False
    return found[2:] == [wanted_stamp().split(" ", 2)[2] + "\n"]


def requirements(extra: bool) -> list[str]:
    """Read what to install from setup.cfg."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    text = setup["options"]["install_requires"]
    if extra:
        text += setup["options.extras_require"]["test"]
    return [line.strip() for line in text.splitlines() if line.strip()]


def fail(sentence: str) -> None:
    """End with one sentence."""
    sys.stderr.write(f"gms: {sentence}\n")
    sys.exit(1)


def make_environment() -> None:
    """Create an empty environment in place of whatever is there."""
    shutil.rmtree(VENV, ignore_errors=True)
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        fail(
            "this Python cannot make virtual environments. On Debian and Ubuntu: "
            f"apt-get install python{version}-venv (it said: {made.stdout.strip()[-300:]})"
        )
    purelib = subprocess.run(
        [str(PYTHON), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (Path(purelib) / "gms_checkout.pth").write_text(f"{ROOT}\n")


def install(extra: bool) -> None:
    """Install the dependencies with pip."""
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*command, *requirements(extra)], check=False).returncode:
        fail(
            "the dependencies could not be installed; pip's own words are above. "
            "When the network is back, the same command goes on."
        )


def write_stamp(stamp: Path) -> None:
    """Declare complete, in one step."""
    fresh = stamp.with_suffix(".new")
    fresh.write_text(wanted_stamp() + "\n")
    fresh.replace(stamp)


def main() -> None:
    """Bring the environment to the state that setup.cfg asks for."""
    extra = "--test" in sys.argv[1:]
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_complete(STAMP):
            if only_requirements_changed():
                sys.stderr.write("gms: bringing .venv up to date\n")
                extra = extra or TEST_STAMP.exists()
                STAMP.unlink()
                TEST_STAMP.unlink(missing_ok=True)
            else:
                sys.stderr.write("gms: setting up .venv (once, about half a minute)\n")
                make_environment()
            install(extra)
            write_stamp(STAMP)
            if extra:
                write_stamp(TEST_STAMP)
        elif extra and not is_complete(TEST_STAMP):
            sys.stderr.write("gms: adding the test tools to .venv\n")
            install(extra)
            write_stamp(TEST_STAMP)


if __name__ == "__main__":
    main()

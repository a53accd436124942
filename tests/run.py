"""Everything that continuous integration runs, step by step; ``bin/test`` starts it.

    bin/test                 all steps
    bin/test lint suite      some of them
    bin/test --list          what there is

Each step prints one line with its time; what it said follows only when it failed.
Tools that are missing are installed where that is allowed (npm packages into
``node_modules`` of their folder, Debian packages as root) and named where it is not.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTHON = sys.executable
CODE = ["gms_twisted", "tests", "bench", "bin/setup_venv.py", "twisted"]
STEP_LIMIT_S = 1500


class Missing(Exception):
    """A tool is not there and may not be installed from here; the text says what to do."""


@dataclass(frozen=True)
class Result:
    """What a step did: its exit status, what it said, and how many tests passed and failed."""

    status: int
    output: str
    passed: int = 0
    failed: int = 0


def run(*command: str, folder: Path = ROOT, **environment: str) -> Result:
    """Run a command to its end and count the tests it reports."""
    try:
        ended = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=STEP_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        said = late.output.decode(errors="replace") if isinstance(late.output, bytes) else ""
        return Result(1, f"{said}\nnot finished after {STEP_LIMIT_S} s", failed=1)
    passed, failed = counted(ended.stdout)
    return Result(ended.returncode, ended.stdout, passed, failed)


def together(ended: Sequence[Result]) -> Result:
    """Make one result of several, with the output of those that failed."""
    return Result(
        max(abs(one.status) for one in ended),
        "\n".join(one.output for one in ended if one.status),
        sum(one.passed for one in ended),
        sum(one.failed for one in ended),
    )


def counted(output: str) -> tuple[int, int]:
    """Read how many tests passed and failed from the last lines of trial or node."""
    passed = sum(int(number) for number in re.findall(r"successes=(\d+)", output))
    failed = sum(int(number) for number in re.findall(r"(?:failures|errors)=(\d+)", output))
    passed += sum(int(number) for number in re.findall(r"^(?:# |\u2139 )pass (\d+)$", output, re.M))
    failed += sum(int(number) for number in re.findall(r"^(?:# |\u2139 )fail (\d+)$", output, re.M))
    return passed, failed


def need(tool: str, package: str) -> str:
    """Find a program, installing its Debian package when we may."""
    found = shutil.which(tool)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        run("apt-get", "update", "-qq")
        run(
            "apt-get", "install", "-y", "-qq", "--no-install-recommends", package,
            DEBIAN_FRONTEND="noninteractive",
        )  # fmt: skip
        found = shutil.which(tool)
    if found is None:
        raise Missing(f"{tool} is missing. On Debian and Ubuntu: apt-get install {package}")
    return found


def need_packages(folder: Path) -> None:
    """Install the npm packages that a folder's package.json names."""
    need("node", "nodejs")
    npm = need("npm", "npm")
    wanted = hashlib.sha256((folder / "package.json").read_bytes()).hexdigest()
    stamp = folder / "node_modules" / ".gms-stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    ended = run(npm, "install", "--no-package-lock", "--no-audit", "--no-fund", folder=folder)
    if ended.status:
        raise Missing(f"npm could not install the packages of {folder}:\n{ended.output}")
    stamp.write_text(wanted)


def step_format() -> Result:
    """Check that ruff would format nothing differently."""
    return run(str(BIN / "ruff"), "format", "--check", *CODE)


def step_lint() -> Result:
    """Check the rules of pyproject.toml."""
    return run(str(BIN / "ruff"), "check", *CODE)


def step_types() -> Result:
    """Check types, strictly."""
    return run(str(BIN / "mypy"), "gms_twisted", "tests", "bench")


def step_suite() -> Result:
    """Run the trial suite under branch coverage."""
    need("redis-server", "redis-server")
    shutil.rmtree(ROOT / "_trial_temp", ignore_errors=True)
    for old in ROOT.glob(".coverage.*"):
        old.unlink()
    ended = run(
        PYTHON, "-W", "error::RuntimeWarning", "-m", "coverage", "run", "--rcfile=setup.cfg",
        "-m", "twisted.trial", "tests",
    )  # fmt: skip
    if ended.status:
        return ended
    run(PYTHON, "-m", "coverage", "combine", "--rcfile=setup.cfg")
    report = run(PYTHON, "-m", "coverage", "report", "--rcfile=setup.cfg", f"--include={PURE}")
    total = re.search(r"^TOTAL.*?(\d+)%$", report.output, re.M)
    if total is None or int(total[1]) < PURE_COVERAGE:
        said = f"coverage of the pure packages is below {PURE_COVERAGE} %\n{report.output}"
        return Result(1, said, ended.passed, 1)
    return ended


PURE = (
    "gms_twisted/domain/*,gms_twisted/bayeux/*,gms_twisted/chatserver/*,gms_twisted/config/*,"
    "gms_twisted/apns/*,"
    "gms_twisted/http/parse.py,gms_twisted/http/multipart.py,gms_twisted/http/websocket.py,"
    "gms_twisted/http/known.py,gms_twisted/http/strict_json.py,gms_twisted/http/deflate.py,"
    "gms_twisted/http/upgrade.py,"
    "gms_twisted/http/framing.py"
)
PURE_COVERAGE = 98


def step_apidocs() -> Result:
    """Build the API documentation; a warning is a failure."""
    return run(
        str(BIN / "pydoctor"), "--config=setup.cfg", "--html-output=build/apidocs",
        "--warnings-as-errors", "--quiet", "gms_twisted",
    )  # fmt: skip


def step_pages() -> Result:
    """Run the unit tests of the pages' JavaScript."""
    folder = ROOT / "tests" / "web"
    need_packages(folder)
    return run(
        "node", "--test", *map(str, sorted((folder / "unit").glob("*.test.mjs"))), folder=folder
    )


def step_readme() -> Result:
    """Run the README's commands as typed, against a server started as it says."""
    need("curl", "curl")
    return run(PYTHON, "-m", "tests.live.readme")


def step_lifecycle() -> Result:
    """Start, signal, reload, end and move real server processes, also behind a real proxy."""
    need("nginx", "nginx-light")
    need("redis-server", "redis-server")
    tests = ("lifecycle", "moving", "workers")
    return run(PYTHON, "-m", "twisted.trial", *(f"tests.live.{name}" for name in tests))


def step_attacks() -> Result:
    """Attack real server processes, with well-behaved clients beside."""
    return run(
        PYTHON,
        "-m",
        "twisted.trial",
        "tests.live.attacks",
        "tests.live.push_attacks",
        "tests.live.service_attacks",
    )


def step_orchestration() -> Result:
    """Run services whose logic is elsewhere, dies, or is hostile, in real processes."""
    return run(
        PYTHON,
        "-m",
        "twisted.trial",
        "tests.live.orchestration",
        "tests.live.session_kills",
        "tests.live.script_attacks",
        "tests.live.scxml_samples",
    )


def step_clients() -> Result:
    """Run the real Bayeux clients, and the load generator of the benches, against a real server."""
    need_packages(ROOT / "tests" / "clients")
    parts = (("-m", "tests.live.clients"), ("-m", "twisted.trial", "tests.live.load"))
    return together([run(PYTHON, *part) for part in parts])


def step_proxies() -> Result:
    """Run the server behind the shipped files of haproxy and nginx, with the real clients."""
    need("haproxy", "haproxy")
    need("nginx", "nginx")
    need_packages(ROOT / "tests" / "clients")
    return run(PYTHON, "-m", "twisted.trial", "tests.live.proxies")


def step_gateways() -> Result:
    """Push through every simulated gateway; check them and the senders with others' programs."""
    folder = ROOT / "tests" / "live" / "gateways"
    need_packages(folder)
    need_packages(folder / "h2")
    need_packages(folder / "fcm")
    parts = (
        ("-m", "twisted.trial", "tests.live.gateways.simulated"),
        ("-m", "tests.live.gateways.apns_binary"),
        ("-m", "tests.live.gateways.h2_push"),
        ("-m", "tests.live.gateways.fcm"),
    )
    return together([run(PYTHON, *part) for part in parts])


NODES_LIFECYCLE = tuple(
    f"tests.live.lifecycle.{name}"
    for name in (
        "SignalTests.test_R12_SIGTERM_ends_with_status_0",
        "SignalTests.test_R13_SIGHUP_applies_a_good_configuration_and_keeps_out_a_bad_one",
        "CommandTests.test_login_link_works_while_the_server_runs",
        "CommandTests.test_C12_a_persons_chats_and_sessions_are_exported_and_deleted",
        "CommandTests.test_self_check_tries_what_clients_need",
    )
)


def step_nodes() -> Result:
    """Run what knows the server only from outside against two nodes behind a balancer.

    Some of it in parts, where another node has no part in the rest: of attacks on connections
    those on Bayeux, of hostile applications those that send and start without end, of gateways
    one that is polled for news and one that a browser gave, of a process's life what is done to
    it while it runs, of the pages that show one thing in two themes one.
    """
    need("redis-server", "redis-server")
    need("haproxy", "haproxy")
    need("chromium", "chromium")
    need("curl", "curl")
    need_packages(ROOT / "tests" / "clients")
    need_packages(ROOT / "tests" / "web")
    trial = ("-m", "twisted.trial")
    simulated = "tests.live.gateways.simulated.SimulatedTests"
    parts = (
        ("-m", "tests.live.readme"),
        ("-m", "tests.live.clients"),
        (
            *trial,
            "tests.live.orchestration",
            "tests.live.session_kills",
            "tests.live.scxml_samples",
        ),
        (*trial, "tests.live.script_attacks.ChartTests.test_G01_G02_G03_X03_storms"),
        (*trial, "tests.live.attacks.BayeuxTests"),
        (*trial, "tests.live.push_attacks", "tests.live.service_attacks"),
        (*trial, *NODES_LIFECYCLE, "tests.live.moving.WholeTests"),
        (*trial, f"{simulated}.test_apns", f"{simulated}.test_webpush"),
        ("-m", "tests.live.browser", "chat", "advanced", "voice", "ops", "access"),
    )
    return together([run(PYTHON, *part, GMS_LIVE_NODES="2", GMS_BRIEF="1") for part in parts])


def step_cluster() -> Result:
    """Break a cluster of real processes, and check what its clients saw.

    A dozen faults by lot, then each node killed amid a crowd.
    """
    need("redis-server", "redis-server")
    soak = (PYTHON, "-m", "tests.soak.run", "--nodes", "2")
    return together(
        [
            run(*soak, "--seed", "1", "--minutes", "4", "--most", "12"),
            run(*soak, "--crowd", "--minutes", "8"),
        ]
    )


def step_browser() -> Result:
    """Drive the pages in a real browser through a whole chat."""
    need("chromium", "chromium")
    need_packages(ROOT / "tests" / "web")
    return run(PYTHON, "-m", "tests.live.browser")


STEPS: dict[str, Callable[[], Result]] = {
    "format": step_format,
    "lint": step_lint,
    "types": step_types,
    "suite": step_suite,
    "apidocs": step_apidocs,
    "pages": step_pages,
    "readme": step_readme,
    "lifecycle": step_lifecycle,
    "attacks": step_attacks,
    "orchestration": step_orchestration,
    "clients": step_clients,
    "proxies": step_proxies,
    "gateways": step_gateways,
    "cluster": step_cluster,
    "nodes": step_nodes,
    "browser": step_browser,
}


def main(arguments: Sequence[str]) -> int:
    """Run the named steps, all by default; the exit status says whether all went well."""
    if "--list" in arguments:
        for name, step in STEPS.items():
            what = (step.__doc__ or "").partition("\n")[0]
            print(f"{name:13} {what}")
        return 0
    unknown = [name for name in arguments if name not in STEPS]
    if unknown:
        print(f"no such step: {', '.join(unknown)}; bin/test --list names them", file=sys.stderr)
        return 2
    passed = failed = 0
    bad = []
    for name in arguments or STEPS:
        began = time.monotonic()
        try:
            result = STEPS[name]()
        except Missing as missing:
            result = Result(1, str(missing))
        failures = result.failed or (1 if result.status else 0)
        passed += result.passed or (0 if failures else 1)
        failed += failures
        word = "FAILED" if failures else "ok"
        print(f"{name:13} {word:7} {time.monotonic() - began:6.1f} s", flush=True)
        if failures:
            bad.append(name)
            print(result.output, flush=True)
    if bad:
        print(f"failed steps: {', '.join(bad)}")
    print(f"{passed} passed, {failed} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

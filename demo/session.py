"""The session: each command as one would type it, its true output, and a check of what it did to the host."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from demo import host
from demo.base import Composer
from demo.packages import Pool
from demo.settings import DEVEL, HOST, LAYER, PROJECT, DemoError, say

TOOLS = {
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "rpmbuild": "rpm",
    "createrepo_c": "createrepo-c",
    "ostree": "ostree",
    "bwrap": "bubblewrap",
    "chattr": "e2fsprogs",
    "ldconfig": "libc-bin",
}
CLOSING = """
The host stays for you to go on with (nothing of it runs on this machine, so try what you like):

    export LAYER_SYSROOT={host} PATH={bin}:$PATH
    layer pkg-add htop
    layer rollback 5               any point of the history, not only the last deployment
    layer rollback                 and back again
    layer history --package jq
    layer show 5 --json
    layer audit serve              the journal in a browser, with ready questions
    sqlite-utils {host}/ostree/deploy/debian/var/lib/layer/journal.db \\
        'SELECT position, transaction_number, type, recorded_at FROM events' -t

`make demo` makes it anew."""


def show(text: str) -> None:
    print(f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text, flush=True)


def tell(text: str) -> None:
    show(f"\n# {text}")


def play(shown: str, *command: str | Path, exits: int = 0) -> None:
    """Print the command, run it on our own terminal, and insist on its exit code."""
    show(f"$ {shown}")
    # Without a keyboard: on a terminal no step may open a pager or wait for an answer.
    code = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT).returncode
    if code:
        show(f"[exit code {code}]")
    if code != exits:
        raise DemoError(f"`{shown}` ended with exit code {code}; {exits} was expected.")


def layer(*words: str, exits: int = 0) -> None:
    play(shlex.join(["layer", *words]), LAYER, *words, exits=exits)


def ask(*words: str) -> Any:
    """What a reading verb says in JSON, for the checks; not shown."""
    done = subprocess.run([LAYER, *words, "--json"], check=False, capture_output=True, text=True)
    if done.returncode:
        raise DemoError(f"`layer {shlex.join(words)} --json` ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def insist(truth: bool, expectation: str, found: object) -> None:
    if not truth:
        raise DemoError(f"Expected {expectation}; found: {found}")


def strace_runs() -> None:
    """The layered program, run in its own deployment as its root, on this machine's kernel."""
    root = host.Deployment().root
    command = "--proc /proc --dev /dev strace -e trace=openat /bin/true"
    play(
        f"bwrap --ro-bind $LAYER_SYSROOT/{root.relative_to(HOST)} / {command}",
        "bwrap",
        "--ro-bind",
        root,
        "/",
        *command.split(),
    )


def session(composer: Composer) -> None:
    show(f"$ export LAYER_SYSROOT={HOST}")
    os.environ["LAYER_SYSROOT"] = str(HOST)
    os.environ.pop("LAYER_OS", None)

    tell("A host of the base image 12.1, with nothing layered.")
    layer("status")
    host.Deployment().expect("12.1", set(), set(), {"strace", "jq", "less"})

    tell("A package with its library is laid on the base: a new deployment, the old one untouched.")
    layer("pkg-add", "strace")
    host.Deployment().expect("12.1", {"strace"}, {"strace"}, {"jq", "less"})
    strace_runs()
    layer("pkg-add", "jq")
    host.Deployment().expect("12.1", {"jq", "strace"}, {"jq", "strace"}, {"less"})

    tell("Meanwhile the distributor publishes the base 12.2 and, in the repository, a newer jq.")
    composer.proceed()
    layer("upgrade")
    host.Deployment().expect("12.2", {"jq", "strace"}, {"jq", "less", "strace"}, set())
    layered = ask("status")["deployments"][0]["layered"]
    insist(any("+demo1" in nevra for nevra in layered), "the newer jq among the layered packages", layered)

    tell("The devel branch's base has strace itself: the requested set shrinks, the journal remembers it.")
    layer("rebase", f"demo:{DEVEL}")
    host.Deployment().expect("12.1-devel", {"jq"}, {"jq", "strace"}, {"less"})
    absorbed = ask("status")["deployments"][0]["absorbed"]
    insist(absorbed == ["strace"], "strace to be absorbed", absorbed)

    tell("With nothing left to layer, the deployment is the bare base.")
    layer("pkg-delete", "jq")
    host.Deployment().expect("12.1-devel", set(), {"strace"}, {"jq", "less"})

    tell("What is refused is on record as well.")
    layer("pkg-add", "no-such-package", exits=1)
    layer("history")
    outcomes = [one["outcome"] for one in reversed(ask("history"))]
    insist(outcomes == ["committed"] * 6 + ["refused"], "six committed and one refused", outcomes)
    layer("show", "5")

    tell("Back to the state after transaction 2: the base 12.1 with strace layered, long overwritten since.")
    layer("rollback", "2")
    host.Deployment().expect("12.1", {"strace"}, {"strace"}, {"jq", "less"})
    then, now = ask("show", "2")["layered_commit"], ask("status")["deployments"][0]["commit"]
    insist(then == now, f"the very commit of transaction 2, {then}", now)
    strace_runs()

    look_back()
    print(CLOSING.format(host=HOST, bin=LAYER.parent))


def look_back() -> None:
    tell("And what was this host as of transaction 3? How does now differ from it, and why is each package there?")
    layer("status", "--as-of", "3")
    layer("diff", "3", "now")
    layer("blame")
    reasons = {one["transaction"]: one["required_by"] for one in ask("blame") if not one["requested"]}
    insist(list(reasons) == [8] and reasons[8][0].startswith("strace-"), "a library that strace needs", reasons)

    tell("One change taken back, whatever came after it; and done again.")
    layer("undo", "2")
    host.Deployment().expect("12.1", set(), set(), {"strace", "jq", "less"})
    layer("redo", "2")
    host.Deployment().expect("12.1", {"strace"}, {"strace"}, {"jq", "less"})

    tell("The auditor's desk: the head is signed, and everything is checked against it.")
    layer("audit", "checkpoint")
    layer("audit", "verify")
    layer("doctor")


def prepare() -> Composer:
    if os.geteuid() != 0:
        raise DemoError("The demo must run as root: an OSTree sysroot holds files of many owners.")
    missing = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)})
    if missing:
        raise DemoError(
            "The demo host is composed of Debian's packages, on Debian 12. Not found here: "
            f"{', '.join(missing)}. Elsewhere, run it in a privileged container of debian:12."
        )
    composer = Composer(Pool())
    composer.begin()
    host.create()
    return composer


def main() -> int:
    began = time.monotonic()
    try:
        composer = prepare()
        say(f"The demo host is ready: {HOST} ({time.monotonic() - began:.0f} s)\n")
        if not LAYER.exists():
            raise DemoError(f"{LAYER.relative_to(PROJECT)} is not there: `make setup` makes it.")
        session(composer)
    except DemoError as error:
        say(f"\nThe demo failed.\n{error}")
        return 1
    return 0

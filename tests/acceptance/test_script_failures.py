"""Scripts that fail, hang or can't be run; and the choice to refuse or to skip them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.bases import BaseTree
from tests.acceptance.checks import fails, unchanged
from tests.acceptance.host import Host, environment
from tests.acceptance.repositories import Repository
from tests.acceptance.scripted import RULES, image_with_shell, layered, publish


@pytest.fixture
def base(tmp_path: Path) -> BaseTree:
    return image_with_shell(tmp_path / "remote")


# What goes wrong


@pytest.mark.parametrize("section", ["%pre", "%post", "%posttrans", "%transfiletriggerin -- /usr/share"])
def test_a_failing_script_fails_the_transaction_with_its_output(
    host: Host, repository: Repository, section: str
) -> None:
    publish(repository, "broken", {section: "echo gone wrong; echo it has >&2; exit 3"})
    result = fails(host, "pkg-add", "broken")
    name = section.partition(" ")[0]
    for expected in (f"broken-1.0-1.noarch: {name}", "exit status 3", "gone wrong", "it has"):
        assert expected in result.stderr
    assert host.last()["error"]["kind"] == "script-failed"


def test_show_has_a_script_s_output_line_by_line(host: Host, repository: Repository) -> None:
    publish(repository, "broken", {"%post": "echo gone wrong; echo it has; exit 3"})
    fails(host, "pkg-add", "broken")
    told = [line.strip() for line in host.ok("show", "last").stdout.splitlines()]
    start = told.index("Error: broken-1.0-1.noarch: %post failed with exit status 3: [script-failed]")
    assert told[start + 1 : start + 3] == ["gone wrong", "it has"]


def test_output_can_t_steer_the_terminal_that_it_is_told_on(host: Host, repository: Repository) -> None:
    publish(repository, "artist", {"%post": "printf 'a\\033[2Jb\\r\\nc\\007\\n'; exit 1"})
    message = fails(host, "pkg-add", "artist").stderr
    assert "a\ufffd[2Jb\nc\ufffd\n" in message
    assert "\x1b" not in message


def test_a_script_that_a_signal_ended_is_told_so(host: Host, repository: Repository) -> None:
    publish(repository, "victim", {"%post": "kill -9 $$"})
    assert "SIGKILL" in fails(host, "pkg-add", "victim").stderr


def test_what_a_script_that_succeeds_says_is_in_the_log(host: Host, repository: Repository) -> None:
    publish(repository, "talker", {"%post": "echo all is well; echo or nearly so >&2"})
    said = host.run("pkg-add", "talker", check=0, env={"LAYER_DEBUG": "1"}).stderr
    (line,) = (json.loads(line) for line in said.splitlines() if '"script"' in line)
    assert line["script"] == "talker-1.0-1.noarch: %post"
    assert line["output"] == "all is well\nor nearly so"


def test_of_long_output_the_end_is_kept(host: Host, repository: Repository) -> None:
    publish(repository, "chatty", {"%post": "seq 1 200000; echo the end; exit 1"})
    message = fails(host, "pkg-add", "chatty").stderr
    assert "the end" in message
    assert len(message) < 6000


def test_a_script_that_hangs_is_killed_with_all_that_it_started(host: Host, repository: Repository) -> None:
    marker = f"3{os.getpid()}"
    publish(repository, "sleepy", {"%post": f"(setsid sleep {marker} &) ; echo before; sleep {marker}"})
    with unchanged(host):
        result = host.run("pkg-add", "sleepy", check=1, env={"LAYER_SCRIPT_TIMEOUT": "2"})
    assert "killed after 2 seconds" in result.stderr
    assert "--script-timeout" in result.stderr
    assert "before" in result.stderr
    assert host.last()["error"]["kind"] == "script-failed"
    assert not running(marker)


def test_the_time_that_a_script_may_take_can_be_said_with_the_command(host: Host, repository: Repository) -> None:
    publish(repository, "sleepy", {"%post": "sleep 60"})
    result = fails(host, "pkg-add", "sleepy", "--script-timeout", "1")
    assert "killed after 1 seconds" in result.stderr
    assert host.run("pkg-add", "sleepy", "--script-timeout", "0").exit == 2


def test_what_a_script_leaves_running_ends_with_it(host: Host, repository: Repository) -> None:
    marker = f"4{os.getpid()}"
    layered(host, repository, "daemonic", {"%post": f"setsid sleep {marker} >/dev/null 2>&1 &"})
    assert not running(marker)


def test_a_cancelled_script_is_over_and_the_host_is_what_it_was(host: Host, repository: Repository) -> None:
    marker = f"5{os.getpid()}"
    publish(repository, "sleepy", {"%post": f"sleep {marker}"})
    with unchanged(host):
        process = subprocess.Popen(
            host.command("pkg-add", "sleepy", "--json"),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for_script(process, marker)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate()
    assert process.returncode == 1
    assert "Cancelled" in stderr
    assert host.last()["error"]["kind"] == "cancelled"
    assert json.loads(stdout)["error"] == host.last()["error"]
    assert not running(marker)


def test_a_killed_layer_takes_its_script_with_it_and_leaves_no_mount(host: Host, repository: Repository) -> None:
    marker = f"6{os.getpid()}"
    publish(repository, "sleepy", {"%post": f"sleep {marker}"})
    with unchanged(host):
        process = subprocess.Popen(host.command("pkg-add", "sleepy"), env=environment(), stderr=subprocess.DEVNULL)
        wait_for_script(process, marker)
        process.kill()
        process.wait()
        while running(marker):
            time.sleep(0.05)
    assert str(host.sysroot) not in Path("/proc/mounts").read_text()
    host.ok("pkg-add", "foo")
    left = [path for path in (host.repo / "extensions/layer").iterdir() if path.name.startswith("run-")]
    assert left == []


def test_removing_everything_harms_nothing_and_makes_no_layer(host: Host, repository: Repository) -> None:
    publish(repository, "rmrf", {"%post": "rm -rf / 2>/dev/null; :"})
    result = fails(host, "pkg-add", "rmrf")
    assert "rmrf-1.0-1.noarch: %post removed /" in result.stderr
    host.ok("pkg-add", "foo")
    assert host.read(f"{RULES}/one") == "one\n"


def test_without_bubblewrap_it_is_said_before_anything_is_done(
    host: Host, repository: Repository, tmp_path: Path
) -> None:
    publish(repository, "scripted", {"%post": ":"})
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("unshare", "nsenter", "mount", "sh"):
        (tools / name).symlink_to(shutil.which(name) or name)
    with unchanged(host):
        result = host.run("pkg-add", "scripted", check=1, env={"PATH": str(tools)})
    assert "bwrap is not installed" in result.stderr
    assert host.last()["outcome"] == "refused"
    assert not (host.repo / "extensions/layer/pkgcache").exists()
    host.run("pkg-add", "--scripts=refuse", "foo", check=0, env={"PATH": str(tools)})


@pytest.fixture
def layered_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that no overlay can be made on: an overlay on an overlay, and the kernel stacks no third."""
    mounted: list[Path] = []
    below = tmp_path / "below"
    below.mkdir()
    for storey in ("first", "second"):
        directory = tmp_path / storey
        for name in ("upper", "work", "merged"):
            (directory / name).mkdir(parents=True)
        options = f"lowerdir={below},upperdir={directory / 'upper'},workdir={directory / 'work'}"
        below = directory / "merged"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", below], check=True)
        mounted.append(below)
    (below / "tmp").mkdir()
    yield below
    for each in reversed(mounted):
        subprocess.run(["umount", "--lazy", each], check=True)


def test_where_no_overlay_can_be_made_it_is_said_before_anything_is_done(
    base: BaseTree, repository: Repository, layered_disk: Path
) -> None:
    host = Host.install(layered_disk / "sysroot", base.repo)
    host.set_repo(repository.repo_file())
    publish(repository, "scripted", {"%post": ":"})
    with unchanged(host):
        result = host.run("pkg-add", "scripted", check=1, env={"TMPDIR": str(layered_disk / "tmp")})
    assert "Scripts of packages can't be run on this host" in result.stderr
    assert "--scripts=" in result.stderr
    assert host.last()["outcome"] == "refused"
    assert not (host.repo / "extensions/layer/pkgcache").exists()


# The choice


def test_a_dry_run_runs_nothing(host: Host, repository: Repository) -> None:
    publish(repository, "scripted", {"%pre": "exit 1"})
    with unchanged(host):
        host.ok("pkg-add", "--dry-run", "scripted")
    assert not (host.repo / "extensions/layer").exists()


def test_download_only_runs_nothing(host: Host, repository: Repository) -> None:
    publish(repository, "scripted", {"%pre": "exit 1"})
    with unchanged(host):
        host.ok("pkg-add", "--download-only", "scripted")


@pytest.mark.parametrize(
    "section",
    ["%pre", "%post", "%posttrans", "%triggerin -- bash", "%filetriggerin -- /usr", "%transfiletriggerin -- /usr"],
)
def test_scripts_are_refused_by_name_where_asked_for(host: Host, repository: Repository, section: str) -> None:
    publish(repository, "scripted", {section: "echo here"})
    result = fails(host, "pkg-add", "--scripts=refuse", "scripted")
    assert "scripted-1.0-1.noarch" in result.stderr
    assert section.partition(" ")[0] in result.stderr
    assert host.last()["outcome"] == "failed"


def test_scripts_are_skipped_where_asked_for_and_that_is_another_layer(host: Host, repository: Repository) -> None:
    publish(repository, "scripted", {"%post": "echo ran > /usr/share/ran"})
    host.ok("pkg-add", "--scripts=skip", "scripted")
    assert host.read("/usr/share/scripted") == "scripted\n"
    assert not host.exists("/usr/share/ran")
    skipped = host.commit_of()
    started = host.json("show", "last")["events"][0]["payload"]
    assert started["options"]["scripts"] == "skip"
    host.ok("pkg-delete", "scripted")
    host.ok("pkg-add", "scripted")
    assert host.read("/usr/share/ran") == "ran\n"
    assert host.commit_of() != skipped


def test_a_layer_whose_scripts_were_skipped_is_rebuilt_as_it_was(host: Host, repository: Repository) -> None:
    publish(repository, "scripted", {"%post": "echo ran > /usr/share/ran"})
    host.ok("pkg-add", "--scripts=skip", "scripted")
    skipped, number = host.commit_of(), host.last()["transaction"]
    host.ok("pkg-delete", "scripted")
    host.ok("pkg-add", "foo")
    host.ok("pkg-delete", "foo")
    for ref in [name for name in host.refs() if name.startswith("layer/key/")]:
        subprocess.run(["ostree", "refs", f"--repo={host.repo}", "--delete", ref], check=True, capture_output=True)
    host.admin("cleanup")
    subprocess.run(["ostree", "prune", f"--repo={host.repo}", "--refs-only"], check=True, capture_output=True)
    host.ok("rollback", str(number))
    assert host.commit_of() == skipped


def running(argument: str) -> bool:
    """Whether a process has this word among its arguments."""
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdecimal() else []
        except OSError:
            continue
        if words[:1] != [b""] and words[:1] and words[0].endswith(b"sleep") and argument.encode() in words:
            return True
    return False


def wait_for_script(process: subprocess.Popen[str], marker: str) -> None:
    """Return once the script of this `layer` has started the process that is waited for."""
    while not running(marker):
        assert process.poll() is None
        time.sleep(0.05)

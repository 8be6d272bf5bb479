"""A host that boots: what is layered is booted into, what is taken back as well, and no loss of power breaks either."""

from __future__ import annotations

import json
from typing import Any

from tests.boot.machine import Machine

TOOL = "tool-1.0-1.noarch"
SCRIPTED = "scripted-1.0-1.noarch"


def deployments(machine: Machine) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = machine.json("status")["deployments"]
    return listed


def booted(machine: Machine) -> dict[str, Any]:
    """What `status` says of the deployment that runs, which must be the one to be booted next, too."""
    first, *others = deployments(machine)
    assert (first["booted"], first["staged"]) == (True, False)
    assert not any(each["booted"] for each in others)
    return first


def outcomes(machine: Machine) -> list[tuple[str, str]]:
    """Verb and outcome of each transaction, oldest first."""
    return [(entry["verb"], entry["outcome"]) for entry in machine.json("history", "--reverse")]


def has(machine: Machine, path: str) -> bool:
    return machine.wait(machine.start("test", "-e", path)).exit == 0


def is_sound(machine: Machine) -> None:
    """Journal and host agree, and every record is what it was."""
    assert machine.layer("doctor").stdout == "The journal and the host agree.\n"
    assert machine.layer("audit", "verify").stdout.startswith("All is well: ")


def test_layers_upgrades_and_rollbacks_are_booted_into(machine: Machine) -> None:
    assert "● debian/stable\n" in machine.layer("status").stdout
    bare = booted(machine)
    assert (bare["version"], bare["requested"], bare["transaction"]) == ("1", [], None)

    machine.layer("pkg-add", "tool", "scripted")
    staged, running = deployments(machine)
    assert (staged["booted"], staged["staged"], running["booted"]) == (False, True, True)
    assert not has(machine, "/usr/bin/tool")
    # What is written to /etc after the deployment was staged comes along.
    machine.run("sh", "-c", "echo mine > /etc/mine")
    machine.reboot()
    layered = booted(machine)
    assert (layered["commit"], layered["base_commit"]) == (staged["commit"], bare["commit"])
    assert (layered["requested"], layered["layered"]) == (["scripted", "tool"], [SCRIPTED, TOOL])
    assert (layered["transaction"], deployments(machine)[1]["commit"]) == (2, bare["commit"])
    assert machine.run("tool").stdout == "tool\n"
    assert machine.run("cat", "/usr/share/scripted/note", "/etc/mine").stdout == "made by a script\nmine\n"
    assert machine.run("rpm", "--dbpath=/usr/share/rpm", "-q", "tool").stdout == f"{TOOL}\n"
    assert outcomes(machine) == [("adopt", "committed"), ("pkg-add", "committed")]

    machine.start("layer", "upgrade", "--reboot")
    machine.await_off()
    machine.boot()
    upgraded = booted(machine)
    assert (upgraded["version"], upgraded["layered"]) == ("2", [SCRIPTED, TOOL])
    assert machine.run("cat", "/usr/share/image-version").stdout == "2\n"
    assert machine.run("tool").stdout == "tool\n"

    machine.layer("rollback")
    machine.reboot()
    assert (booted(machine)["version"], booted(machine)["commit"]) == ("1", layered["commit"])
    assert not has(machine, "/usr/share/image-version")
    assert machine.run("tool").stdout == "tool\n"
    verbs = ["adopt", "pkg-add", "upgrade", "rollback"]
    assert outcomes(machine) == [(verb, "committed") for verb in verbs]
    hosts = [json.loads(line)["host"] for line in machine.layer("audit", "log").stdout.splitlines()]
    assert len({host["machine_id"] for host in hosts}) == 1
    assert len({host["boot_id"] for host in hosts}) == 3
    is_sound(machine)


def test_power_that_fails_while_a_script_runs_leaves_the_host_as_it_was(machine: Machine) -> None:
    before = booted(machine)
    machine.start("layer", "pkg-add", "slow")
    running = ("sh", "-c", "grep -qsx sleep /proc/[0-9]*/comm")
    machine.until("runs the script", lambda: machine.wait(machine.start(*running)).exit == 0)
    machine.cut_power()
    machine.boot()
    assert booted(machine)["commit"] == before["commit"]
    machine.layer("doctor", check=3)
    machine.layer("sync")
    assert outcomes(machine) == [("adopt", "committed"), ("pkg-add", "interrupted")]
    is_sound(machine)


def test_power_that_fails_before_a_staged_deployment_is_written_is_told_of(machine: Machine) -> None:
    """What is staged lies in /run until the host shuts down."""
    bare = booted(machine)["commit"]
    machine.layer("pkg-add", "tool")
    assert deployments(machine)[0]["staged"]
    machine.cut_power()
    machine.boot()
    assert (booted(machine)["commit"], booted(machine)["requested"]) == (bare, [])
    machine.layer("doctor", check=3)
    machine.layer("sync")
    assert outcomes(machine) == [("adopt", "committed"), ("pkg-add", "committed"), ("observe", "committed")]
    is_sound(machine)

    # Again, and power fails while the deployment is being written: the old one or the new one is booted.
    machine.layer("pkg-add", "tool")
    new = deployments(machine)[0]["commit"]
    machine.start("systemctl", "reboot")
    machine.await_console(r"Stopping .*Finalize Staged Deployment")
    machine.cut_power()
    machine.boot()
    machine.layer("sync")
    now = booted(machine)
    assert (now["commit"], now["requested"]) in [(bare, []), (new, ["tool"])]
    assert has(machine, "/usr/bin/tool") == (now["requested"] == ["tool"])
    is_sound(machine)
    machine.run("ostree", "fsck", "--quiet")  # here only: emulated, it takes as long as a boot

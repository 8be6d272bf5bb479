"""A virtual machine that boots a disk as firmware and a boot loader would, and commands run inside it.

Kernel, initramfs and kernel arguments are those of the boot loader entry that libostree wrote, read from the disk for
each boot. Commands go through QEMU's guest agent (https://www.qemu.org/docs/master/interop/qemu-ga.html).
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.acceptance.host import Result
from tests.boot.debian import run

PATIENCE = 300  # seconds for a boot, a shutdown or a command; processors are emulated where there is no KVM
_NUMBERS = itertools.count(1)


@dataclass(slots=True)
class Machine:
    """One disk, and the machine that runs from it while it is on."""

    disk: Path
    console: Path = field(init=False)
    _agent: Path = field(init=False)
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.console = self.disk.with_name("console.log")
        self._agent = self.disk.with_name("agent")

    def boot(self) -> None:
        """Turn the machine on, and wait until commands can be run in it."""
        kernel, initramfs, arguments = self._boot_entry()
        options = {
            "-machine": "q35,accel=tcg",  # /dev/kvm may be there and not work
            "-cpu": "max",
            "-smp": "2",
            "-m": "1024",
            "-kernel": str(kernel),
            "-initrd": str(initramfs),
            "-append": arguments,
            # What was written when QEMU is killed is in this machine's memory: no flush is needed to keep it.
            "-drive": f"file={self.disk},format=raw,if=virtio,cache=unsafe",
            "-serial": f"file:{self.console}",
            "-chardev": f"socket,id=agent,path={self._agent},server=on,wait=off",
            "-display": "none",
        }
        devices = ("virtio-rng-pci", "virtio-serial", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0")
        command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot"]
        command += [word for option in options.items() for word in option]
        command += [word for device in devices for word in ("-device", device)]
        self.console.unlink(missing_ok=True)
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.until("has booted", self._answers)

    def run(self, *command: str, check: int = 0) -> Result:
        """Run a command in the guest, as root; its exit status must be `check`."""
        result = replace(self.wait(self.start(*command)), command=command)
        assert result.exit == check, str(result)
        return result

    def layer(self, *arguments: str, check: int = 0) -> Result:
        """Run `layer ARGUMENTS` in the guest."""
        return self.run("layer", *arguments, check=check)

    def json(self, *arguments: str) -> Any:
        """The document that `layer ARGUMENTS --json` prints."""
        return json.loads(self.layer(*arguments, "--json").stdout)

    def start(self, *command: str) -> int:
        """Begin a command in the guest; its pid there."""
        asked = {"path": command[0], "arg": command[1:], "capture-output": True}
        pid: int = self._ask("guest-exec", asked)["pid"]
        return pid

    def wait(self, pid: int) -> Result:
        """What a command that was begun leaves."""
        status: dict[str, Any] = {}

        def exited() -> bool:
            status.update(self._ask("guest-exec-status", {"pid": pid}))
            return bool(status["exited"])

        self.until(f"has ended process {pid}", exited)
        out, err = (base64.b64decode(status.get(name, "")).decode() for name in ("out-data", "err-data"))
        return Result((str(pid),), status.get("exitcode", -status.get("signal", 0)), out, err)

    def reboot(self) -> None:
        """Shut the guest down in order, and boot what is to be booted then."""
        self.start("systemctl", "reboot")
        self.await_off()
        self.boot()

    def await_off(self) -> None:
        """Wait for a reboot that was asked for in the guest: QEMU ends there."""
        assert self._process is not None
        assert self._process.wait(PATIENCE) == 0
        self._process = None

    def await_console(self, pattern: str) -> None:
        """Wait for what the guest says on its serial console since it was turned on."""
        self.until(f"says {pattern!r}", lambda: bool(re.search(pattern, self.console.read_text(errors="replace"))))

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait for the condition. Raises AssertionError with the end of the console where it does not come true."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            on = self._process is not None and self._process.poll() is None
            if not on or time.monotonic() > deadline:
                said = self.console.read_text(errors="replace") if self.console.exists() else ""
                raise AssertionError(f"The machine is {'on' if on else 'off'}, before it {what}:\n{said[-5000:]}")
            time.sleep(0.2)

    def cut_power(self) -> None:
        """Turn the machine off at once: what the guest had not written is lost."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _boot_entry(self) -> tuple[Path, Path, str]:
        """Kernel and initramfs, copied out of the disk, and kernel arguments, of the entry that is to be booted.

        Read as boot loaders do, the file system's journal not replayed. Entries:
        https://uapi-group.org/specifications/specs/boot_loader_specification/
        """
        listed = self._debugfs("ls -p /boot/loader/entries")
        entries = [
            dict(re.findall(r"^(\S+)\s+(.*)$", self._debugfs(f"cat /boot/loader/entries/{name}"), re.MULTILINE))
            for name in re.findall(r"/([^/]+\.conf)/", listed)
        ]
        assert entries, listed
        entry = max(entries, key=lambda each: int(each["version"]))
        kernel, initramfs = (self.disk.with_name(name) for name in ("vmlinuz", "initramfs"))
        for key, copy in (("linux", kernel), ("initrd", initramfs)):
            self._debugfs(f"dump /boot{entry[key]} {copy}")
        return kernel, initramfs, entry["options"]

    def _debugfs(self, request: str) -> str:
        # After power failed, bitmaps and checksums may be in the journal only: they are not looked at (-c, -n).
        return run("debugfs", "-c", "-n", "-R", request, self.disk)

    def _answers(self) -> bool:
        try:
            self._ask("guest-ping", {}, patience=1)
        except (OSError, ValueError):
            return False
        return True

    def _ask(self, request: str, arguments: dict[str, Any], patience: float = PATIENCE) -> Any:
        """Answers to earlier requests may still come: `guest-sync` tells where those end."""
        number = next(_NUMBERS)
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(patience)
            channel.connect(str(self._agent))
            for words in (
                {"execute": "guest-sync", "arguments": {"id": number}},
                {"execute": request, "arguments": arguments},
            ):
                channel.sendall(json.dumps(words).encode() + b"\n")
            answers = channel.makefile()
            while json.loads(answers.readline()).get("return") != number:
                pass
            answer = json.loads(answers.readline())
        assert "return" in answer, f"{request}: {answer}"
        return answer["return"]

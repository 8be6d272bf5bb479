"""Which scripts of which packages are to run, in which order, and what each is given. Pure: headers in, scripts out.

Run are %pre (of all packages first), %post, %triggerin, %filetriggerin, %posttrans and %transfiletriggerin, each as for
a first installation. Sources: rpm-scriptlets(7), rpm's docs/manual/{triggers,file_triggers}.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import rpm

from layering.librpm import UNCHECKED
from layering.rpmfile import nevra_of

LUA = "<lua>"
_EXPAND, _QFORMAT = 1, 2  # RPMSCRIPT_FLAG_EXPAND and _QFORMAT of rpmscript.h
_DEFAULT_PROGRAM = ("/bin/sh",)
_DEFAULT_PRIORITY = 1_000_000
_SENSE = rpm.RPMSENSE_LESS | rpm.RPMSENSE_GREATER | rpm.RPMSENSE_EQUAL
_PLAIN = ("PREIN", "POSTIN", "POSTTRANS")
_NAMES = {"PREIN": "%pre", "POSTIN": "%post", "POSTTRANS": "%posttrans"}
_TRIGGERS = {"TRIGGER": "%triggerin", "FILETRIGGER": "%filetriggerin", "TRANSFILETRIGGER": "%transfiletriggerin"}
_SYSUSERS = "/usr/lib/sysusers.d/"


@dataclass(frozen=True, slots=True)
class Script:
    """A scriptlet, ready to run.

    package: NEVRA. name: as in a spec. program: the interpreter and its arguments. body: empty where the program is all
    there is. expand: by rpm's macros (`-e`); query: as a query format (`-q`), of `header`. arguments: those that
    rpm passes. files: paths for its standard input.
    """

    package: str
    name: str
    program: tuple[str, ...]
    body: str
    expand: bool = False
    query: bool = False
    header: bytes = field(default=b"", repr=False)
    arguments: tuple[int, ...] = (1,)
    files: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return f"{self.package}: {self.name}"


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger script and what sets it off: packages (name, flags, version), or paths that begin so."""

    script: Script
    packages: tuple[tuple[str, int, str], ...] = ()
    prefixes: tuple[str, ...] = ()
    priority: int = _DEFAULT_PRIORITY

    def set_off_by(self, target: rpm.hdr) -> bool:
        """Whether a package is one that the trigger waits for."""
        provides = rpm.ds(target, rpm.RPMTAG_PROVIDENAME)
        wanted = [
            rpm.ds((name, flags & _SENSE, version), rpm.RPMTAG_TRIGGERNAME) for name, flags, version in self.packages
        ]
        return any(each.Compare(provide) for each in wanted for provide in provides)

    def among(self, files: Iterable[str]) -> Script | None:
        """The script with those of the files that it waits for, None for none of them."""
        found = tuple(sorted({path for path in files if path.startswith(self.prefixes)}))
        return replace(self.script, files=found) if found else None


@dataclass(frozen=True, slots=True)
class Base:
    """What of the base has a say, asked for only where it does.

    triggers: headers with a %triggerin on one of these names. file_triggers: headers with file triggers.
    providing: headers of the packages that provide a name. files: all that its packages own.
    """

    triggers: Callable[[Iterable[str]], list[rpm.hdr]] = lambda _: []
    file_triggers: Callable[[], list[rpm.hdr]] = list
    providing: Callable[[str], list[rpm.hdr]] = lambda _: []
    files: Callable[[], Iterable[str]] = lambda: ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to run. sysusers: paths of sysusers.d fragments. before: scripts that come before all others, %pre."""

    sysusers: tuple[str, ...] = ()
    before: tuple[Script, ...] = ()
    after: tuple[Script, ...] = ()

    @property
    def scripts(self) -> tuple[Script, ...]:
        """All of them, in the order in which they run."""
        return self.before + self.after

    def __bool__(self) -> bool:
        return bool(self.sysusers or self.before or self.after)


def in_order(headers: Iterable[rpm.hdr]) -> list[rpm.hdr]:
    """The headers as rpm would install their packages: what a package needs comes before it."""
    sorted_headers = sorted(headers, key=nevra_of)
    transaction = rpm.TransactionSet()
    transaction.setVSFlags(UNCHECKED)
    for index, header in enumerate(sorted_headers):
        transaction.addInstall(header, index, "i")
    transaction.order()
    return [sorted_headers[element.Key()] for element in transaction]


def carried(header: rpm.hdr) -> list[str]:
    """The names of the scripts and triggers of a package that may have to run, as in a spec."""
    plain = [script.name for script in (_plain(header, tag) for tag in _PLAIN) if script]
    return plain + [name for kind, name in _TRIGGERS.items() if triggers_of(header, kind)]


def plan_scripts(headers: Sequence[rpm.hdr], base: Base) -> Plan:
    """What has to run when these packages, in this order, are laid on the base."""
    before = [script for header in headers if (script := _plain(header, "PREIN"))]
    after: list[Script] = []
    file_triggers = base.file_triggers()
    for index, header in enumerate(headers):
        if script := _plain(header, "POSTIN"):
            after.append(script)
        after += _package_triggers(headers[: index + 1], header, base)
        after += _file_triggers("FILETRIGGER", [*file_triggers, *headers[:index]], _files([header]))
        after += _file_triggers("FILETRIGGER", [header], partial(_all, base, headers[: index + 1]))
    after += [script for header in headers if (script := _plain(header, "POSTTRANS"))]
    kind = "TRANSFILETRIGGER"
    # A trigger of the base hears of what is new, a new trigger of all that is there.
    of_base = _file_triggers(kind, file_triggers, _files(headers))
    after += of_base + _file_triggers(kind, headers, partial(_all, base, headers))
    fragments = sorted({path for path in _files(headers)() if path.startswith(_SYSUSERS) and path.endswith(".conf")})
    return Plan(tuple(fragments), tuple(before), tuple(after))


def triggers_of(header: rpm.hdr, kind: str) -> list[Trigger]:
    """The triggers of a package that an installation sets off. kind: TRIGGER, FILETRIGGER or TRANSFILETRIGGER."""

    def tag(what: str) -> list[Any]:
        value = header[getattr(rpm, f"RPMTAG_{kind}{what}")]
        return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]

    bodies, programs, flags = tag("SCRIPTS"), tag("SCRIPTPROG"), tag("SCRIPTFLAGS")
    conditions = list(zip(tag("INDEX"), tag("NAME"), tag("FLAGS"), tag("VERSION"), strict=True))
    priorities = tag("PRIORITIES") if kind != "TRIGGER" else []
    found = []
    for index in sorted({int(each[0]) for each in conditions if each[2] & rpm.RPMSENSE_TRIGGERIN}):
        names = [(name, sense, version) for at, name, sense, version in conditions if at == index]
        script = _script(
            header,
            _TRIGGERS[kind],
            (programs[index],) if index < len(programs) else _DEFAULT_PROGRAM,
            bodies[index] if index < len(bodies) else "",
            flags[index] if index < len(flags) else 0,
        )
        if kind == "TRIGGER":
            found.append(Trigger(replace(script, arguments=(1, 1)), packages=tuple(names)))
        else:
            priority = int(priorities[index]) if index < len(priorities) else _DEFAULT_PRIORITY
            found.append(Trigger(script, prefixes=tuple(name for name, _, _ in names), priority=priority))
    return found


def _package_triggers(so_far: Sequence[rpm.hdr], target: rpm.hdr, base: Base) -> list[Script]:
    """Those of others that the target sets off, then its own that what is installed before it sets off."""
    names = {provide.N() for provide in rpm.ds(target, rpm.RPMTAG_PROVIDENAME)}
    found = [
        trigger.script
        for owner in (*base.triggers(sorted(names)), *so_far)
        for trigger in triggers_of(owner, "TRIGGER")
        if trigger.set_off_by(target)
    ]
    for trigger in triggers_of(target, "TRIGGER"):
        others = [*so_far[:-1], *(header for name, _, _ in trigger.packages for header in base.providing(name))]
        found += [trigger.script for other in others if trigger.set_off_by(other)]
    return found


def _file_triggers(kind: str, owners: Iterable[rpm.hdr], files: Callable[[], Iterable[str]]) -> list[Script]:
    triggers = [trigger for owner in owners for trigger in triggers_of(owner, kind)]
    triggers.sort(key=lambda trigger: -trigger.priority)
    paths = list(files()) if triggers else []
    return [script for trigger in triggers if (script := trigger.among(paths))]


def _files(headers: Sequence[rpm.hdr]) -> Callable[[], Iterable[str]]:
    return lambda: (path for header in headers for path in header[rpm.RPMTAG_FILENAMES] or ())


def _all(base: Base, headers: Sequence[rpm.hdr]) -> Iterable[str]:
    return [*base.files(), *_files(headers)()]


def _plain(header: rpm.hdr, tag: str) -> Script | None:
    body = header[getattr(rpm, f"RPMTAG_{tag}")]
    program = header[getattr(rpm, f"RPMTAG_{tag}PROG")]
    if not body and not program:
        return None
    words = (program,) if isinstance(program, str) else tuple(program or _DEFAULT_PROGRAM)
    return _script(header, _NAMES[tag], words, body or "", header[getattr(rpm, f"RPMTAG_{tag}FLAGS")] or 0)


def _script(header: rpm.hdr, name: str, program: tuple[str, ...], body: str, flags: int) -> Script:
    query = bool(flags & _QFORMAT)
    return Script(
        package=nevra_of(header),
        name=name,
        program=program,
        body=body,
        expand=bool(flags & _EXPAND),
        query=query,
        header=bytes(header.unload()) if query else b"",
    )

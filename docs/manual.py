"""The manual page layer(8), written from the commands and the prose that they don't have.

Part of what `docs.catalogue` writes and checks. Format: man(7), in the subset that groff and mandoc render alike.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Iterator

import click

from cli.changing import flags
from cli.main import ALIASES, commands

_BEFORE = """\
.SH NAME
layer \\- package layering for image-based hosts, every change an event in a journal
.SH SYNOPSIS
.B layer
.RB [ \\-\\-sysroot
.IR DIR ]
.RB [ \\-\\-os
.IR STATEROOT ]
.RB [ \\-\\-color
.IR auto | always | never ]
.I VERB
.RI [ ARGUMENTS ]
.SH DESCRIPTION
The image of a host, its base commit, comes whole from an OSTree remote. The packages that the administrator asks for
are layered on it, as a second commit whose parent is the base. Every change is a transaction, and every transaction a
run of events in an append\\-only journal: the state of the host is what follows from the events.
.PP
What is requested and what is layered are two sets. Dependencies are layered without being requested. A request that
the base comes to provide is absorbed: it is left out of the origin, remembered by the journal, and layered again when
a later base drops it.
.PP
A change makes a new deployment and leaves the running one alone. On a booted host it is staged for the next boot.
"""
_POINTS = """\
.SH POINTS OF THE HISTORY
Transactions are numbered from 1 without a gap; refused and failed ones have their number as well.
.I N
is such a number,
.B last
the newest one,
.B last\\-1
the one before. A
.I TIME
is an ISO 8601 date or instant (local where it names no offset),
.BI @ SECONDS
since the epoch,
.BR now ,
.BR today ,
.BR yesterday ,
or as
.BR "2 hours ago" .
It stands for the state after the last transaction that had finished by then.
"""
_OUTPUT = """\
.SH OUTPUT
The result is on the standard output, progress and diagnostics are on the standard error. With
.B \\-\\-json
the result is one document, also where nothing changed or the verb failed; of a failure without a transaction it is an
object with the key
.BR error .
Keys may be added, and are not renamed. JSON Schemas are in the folder
.I docs/schemas
of the sources.
"""
_AFTER = """\
.SH EXIT STATUS
.TP
.B 0
Done, also where nothing was to be done.
.TP
.B 1
Failed or refused: the reason is on the standard error and, of a changing verb, in the journal.
.TP
.B 2
Usage. Nothing is recorded.
.TP
.B 3
A check of the journal or the host found a difference.
.TP
.B 75
Another transaction, of layer or of another tool, holds the lock of the sysroot. It is named, with its pid.
.TP
.B 77
Nothing changed, where
.BR \\-\\-unchanged\\-exit\\-77 ,
.B \\-\\-check
or
.B \\-\\-preview
was given; or another deployment than the booted one is next, where
.B \\-\\-pending\\-exit\\-77
was.
.SH ENVIRONMENT
.TP
.BR LAYER_SYSROOT ", " LAYER_OS
What
.B \\-\\-sysroot
and
.B \\-\\-os
say.
.TP
.B LAYER_SCRIPT_TIMEOUT
What
.B \\-\\-script\\-timeout
says.
.TP
.B NO_COLOR
Set to anything: no colours, unless
.B \\-\\-color always
is given.
.TP
.B LAYER_KEEP
How many transactions keep their commits through
.BR "layer cleanup \\-b" .
.TP
.B LAYER_DEBUG
Set to anything: say more, and where an internal error happened.
.SH FILES
.TP
.I /var/lib/layer/journal.db
The journal: one SQLite file, of no deployment, so that no rollback takes it back.
.TP
.I /var/cache/layer
Metadata of the package repositories, and downloads. A cache.
.TP
.I /ostree/repo/extensions/layer/pkgcache
The packages that were imported, as commits of a repository of their own. A cache.
.TP
.IR /etc/yum.repos.d ", " /etc/dnf/vars
The package repositories, as dnf reads them.
.SH EXAMPLES
.TP
.B layer pkg\\-add strace \\-m \\(dqticket 4711\\(dq
Layer a package, and say why.
.TP
.B layer upgrade \\-\\-check && layer upgrade \\-\\-reboot
Upgrade and reboot where there is an upgrade.
.TP
.B layer rollback \\-\\-to \\(aq2 hours ago\\(aq
Go back to the state that the host had then.
.TP
.B layer history \\-\\-package \\(aqssl*\\(aq \\-\\-since 2026\\-11\\-01
Who changed what of these packages, and when.
.TP
.B eval \\(dq$(_LAYER_COMPLETE=bash_source layer)\\(dq
Completion of verbs and options in bash; \\fBzsh_source\\fR and \\fBfish_source\\fR for the others.
.SH SEE ALSO
.BR ostree (1),
.BR rpm\\-ostree (1),
.BR dnf (8),
.BR bwrap (1)
"""


def page() -> str:
    """The page's source."""
    context = click.Context(commands, info_name="layer")
    common = _records(click.command("common")(flags(lambda: None)), context)
    title = '.TH LAYER 8 "" layer "System administration"'
    parts = [title, ".ad l", ".nh", _BEFORE.rstrip(), ".SH OPTIONS BEFORE THE VERB"]
    parts += _options(_records(commands, context))
    parts += [".SH OPTIONS OF ALL CHANGING VERBS", *_options(common), ".SH VERBS"]
    for name in commands.list_commands(context):
        parts += _verb(name, commands.get_command(context, name), context, common)
    parts += [_POINTS.rstrip(), _OUTPUT.rstrip(), _AFTER.rstrip()]
    return "\n".join(parts) + "\n"


def _verb(
    name: str, command: click.Command | None, parent: click.Context, common: list[tuple[str, str]]
) -> Iterator[str]:
    if command is None:
        return
    context = click.Context(command, info_name=name, parent=parent)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            yield from _verb(f"{name} {each}", command.get_command(context, each), context, common)
        return
    own = _records(command, context)
    shared = len(set(common) & set(own)) > len(common) // 2  # cleanup has another meaning for some short forms
    pieces = [each for each in command.collect_usage_pieces(context) if each != "[OPTIONS]"]
    yield f'.SS "{" ".join((_plain(name), *map(_plain, pieces)))}"'
    aliases = [alias for alias, meant in ALIASES.items() if meant == name]
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    if shared:
        paragraphs.append("Takes the options of all changing verbs.")
    if aliases and not any("Alias" in each for each in paragraphs):
        paragraphs.append(f"Aliases: {', '.join(aliases)}.")
    for number, paragraph in enumerate(paragraphs):
        yield from [".PP"] if number else []
        yield from _text(paragraph)
    yield from _options([record for record in own if not shared or record not in common])


def _records(command: click.Command, context: click.Context) -> list[tuple[str, str]]:
    """What a command's options are called, and their help; its --help left out."""
    found = (each.get_help_record(context) for each in command.params if isinstance(each, click.Option))
    return [record for record in found if record]


def _options(records: Iterable[tuple[str, str]]) -> Iterator[str]:
    for names, told in records:
        yield ".TP"
        yield f".B {_plain(names)}"
        yield from _text(told)


def _text(paragraph: str) -> Iterator[str]:
    """A paragraph as lines of the source, none of which looks like a request."""
    for line in textwrap.wrap(" ".join(paragraph.split()), 118, break_on_hyphens=False):
        yield f"\\&{_plain(line)}" if line.startswith((".", "'")) else _plain(line)


def _plain(text: str) -> str:
    """Text without a meaning to troff: a hyphen that can be typed, and no escapes."""
    return (
        text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace("●", "\\(bu")
    )

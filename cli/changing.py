"""What all changing verbs have in common: their flags, how they are run, and what is told of the outcome."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from cli.main import UNCHANGED, Globals, reader_is_gone
from cli.reading import journal_path, osname
from journal.store import Journal

if TYPE_CHECKING:
    from layering.host import Decide, Host
    from layering.result import Result
    from layering.transaction import Invocation

Command = Callable[..., Any]


def _limit_scripts(_ctx: click.Context, _parameter: click.Parameter, seconds: float | None) -> None:
    # Of a command, not of a layer, and the sandbox's alone: nobody on the way to it has to know. sudo(8) hands on no
    # variables, hence the flag.
    if seconds is not None:
        os.environ["LAYER_SCRIPT_TIMEOUT"] = str(seconds)


_FLAGS = (
    ("-n", "--dry-run", {"is_flag": True, "help": "Resolve and show what would be done; change nothing."}),
    ("", "--download-only", {"is_flag": True, "help": "Fetch what is needed, and stop before anything changes."}),
    ("-C", "--cacheonly", {"is_flag": True, "help": "Use what is on this host; no network."}),
    ("", "--idempotent", {"is_flag": True, "help": "Do nothing, and succeed, where it is so already."}),
    ("", "--allow-inactive", {"is_flag": True, "help": "Also request what the base provides already."}),
    ("", "--unchanged-exit-77", {"is_flag": True, "help": "Exit with 77 where nothing changed."}),
    (
        "",
        "--scripts",
        {
            "type": click.Choice(["run", "refuse", "skip"]),
            "default": "run",
            "show_default": True,
            "help": "What becomes of packages' scripts.",
        },
    ),
    (
        "",
        "--script-timeout",
        {
            "metavar": "SECONDS",
            "type": click.FloatRange(min=0, min_open=True),
            "expose_value": False,
            "callback": _limit_scripts,
            "help": "How long a script may take; also LAYER_SCRIPT_TIMEOUT.  [default: 600]",
        },
    ),
    ("-m", "--message", {"metavar": "TEXT", "help": "The reason, or a ticket: kept in the history."}),
    ("-r", "--reboot", {"is_flag": True, "help": "Reboot once the change is in place."}),
    ("-y", "--assumeyes", {"is_flag": True, "help": "Accepted for habit's sake; there are no questions."}),
    ("", "--json", {"is_flag": True, "help": "Print the transaction as JSON, as `layer show` does."}),
)
_RECORDED = (
    *("idempotent", "allow_inactive", "allow_downgrade", "cacheonly", "download_only", "reboot", "everything"),
    *("revision", "to"),
    *("pending", "rollback", "base", "repomd", "keep", "uninstall", "install"),
)


def flags(command: Command) -> Command:
    """The flags that every changing verb takes."""
    return flags_but()(command)


def flags_but(*taken: str) -> Callable[[Command], Command]:
    """Those flags, without the short forms that the verb has another meaning for."""

    def decorate(command: Command) -> Command:
        for short, long, given in reversed(_FLAGS):
            name = "as_json" if long == "--json" else long.removeprefix("--").replace("-", "_")
            forms = (long,) if not short or short in taken else (short, long)
            command = click.option(*forms, name, **given)(command)
        return command

    return decorate


def preview(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flag of verbs whose outcome one wants to see first: a dry run by the name that it has in rpm-ostree."""
    return click.option("--preview", is_flag=True, help="Show what would change; change nothing.")(command)


def newest_transaction(ctx: click.Context) -> int:
    """Number of the last transaction before this command, 0 where there is none: what `last` means to it."""
    path = journal_path(ctx)
    return Journal.open(path).transactions if path.exists() else 0


def open_host(ctx: click.Context) -> Host:
    """The host that the command line names, with progress shown on a terminal."""
    from cli.progress import for_terminal
    from layering import identity
    from layering.host import Host

    chosen: Globals = ctx.obj
    context = identity.context(sys.argv[1:])
    return Host(chosen.sysroot, osname(ctx), context, progress=for_terminal(), commit_point=_ignore_interrupts)


def _ignore_interrupts() -> None:
    """Ctrl-C comes too late, for the rest of this process: what happens is carried through, and told."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run(
    ctx: click.Context,
    verb: str,
    arguments: Sequence[str],
    decide: Decide,
    given: dict[str, Any],
    *,
    tell: Callable[[Result], None] | None = None,
) -> int:
    """Carry the verb through, tell its outcome, and give the exit code.

    tell: how to tell the outcome to people, where that is not as usual.
    """
    from journal.errors import LayerError
    from layering.host import Options
    from layering.transaction import Invocation

    host = open_host(ctx)
    recorded = {name.replace("_", "-"): _text(value) for name, value in given.items() if name in _RECORDED and value}
    scripts = given.get("scripts", "run")
    if scripts != "run":
        recorded["scripts"] = scripts
    dry_run, download_only = given["dry_run"] or given.get("preview", False), given.get("download_only", False)
    options = Options(dry_run, download_only, given.get("cacheonly", False), scripts)
    try:
        invocation = Invocation(verb, tuple(arguments), recorded, given["message"])
        with _result_alone_on_stdout():
            result = host.transact(invocation, decide, options)
    except LayerError as error:
        if given["as_json"] and error.transaction:
            _print_json_of(host, error.transaction)
        raise
    try:
        _tell(host, invocation, result, given, tell)
        sys.stdout.flush()
    except BrokenPipeError:
        reader_is_gone()
    except OSError as error:
        if result.transaction is None:
            raise
        number, outcome = result.transaction.transaction, result.transaction.outcome
        unsaid = LayerError(f"Transaction {number} is {outcome}, but stdout can't be written: {error.strerror}")
        unsaid.transaction = number
        raise unsaid from error
    finally:
        if result.deployed and given.get("reboot"):
            _reboot(ctx)
    return UNCHANGED if given["unchanged_exit_77"] and not result.changes else 0


def _tell(
    host: Host,
    invocation: Invocation,
    result: Result,
    given: dict[str, Any],
    tell: Callable[[Result], None] | None,
) -> None:
    if given["as_json"]:
        _print_json(host, invocation, result)
    elif tell:
        tell(result)
    else:
        from cli import outcome

        outcome.tell(result, preview=given.get("preview", False))


def _text(value: object) -> str:
    """An option's value as the journal has it; of one that may be repeated, all in a row."""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextlib.contextmanager
def _result_alone_on_stdout() -> Iterator[None]:
    """What libostree, and the boot loader's tools that it calls, print on stdout goes to stderr in the meantime."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _print_json(host: Host, invocation: Invocation, result: Result) -> None:
    if result.transaction:
        _print_json_of(host, result.transaction.transaction)
        return
    from cli import foreseen, rendering

    rendering.print_json(foreseen.document(host.context, invocation, result))


def _print_json_of(host: Host, number: int) -> None:
    from cli import rendering
    from cli.show import document

    journal = host.journal()
    if journal:
        rendering.print_json(document(journal, number))


def _reboot(ctx: click.Context) -> None:
    import subprocess

    from journal.errors import LayerError

    if str(ctx.obj.sysroot) != "/":
        click.echo("Not rebooting: this is not the running system's sysroot.", err=True)
        return
    if subprocess.run(["systemctl", "reboot"], check=False).returncode:
        raise LayerError("The change is in place, but `systemctl reboot` failed")

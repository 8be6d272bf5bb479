"""The entry point: the global options, the commands, and the one ladder from errors to exit codes."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cli.paths import GivenPath
from journal.credentials import without_credentials
from journal.errors import LayerError, SystemFailed
from layering.version import VERSION

COMMANDS = {
    "pkg-add": "cli.pkg_add",
    "pkg-delete": "cli.pkg_delete",
    "upgrade": "cli.upgrade",
    "rebase": "cli.rebase",
    "deploy": "cli.deploy",
    "rollback": "cli.rollback",
    "undo": "cli.undo",
    "redo": "cli.redo",
    "replay": "cli.replay",
    "status": "cli.status",
    "history": "cli.history",
    "show": "cli.show",
    "diff": "cli.diff",
    "blame": "cli.blame",
    "sync": "cli.sync",
    "cleanup": "cli.cleanup",
    "pin": "cli.pin",
    "unpin": "cli.unpin",
    "refresh-md": "cli.refresh_md",
    "search": "cli.search",
    "doctor": "cli.doctor",
    "audit": "cli.audit",
}
ALIASES = {
    "install": "pkg-add",
    "add": "pkg-add",
    "uninstall": "pkg-delete",
    "remove": "pkg-delete",
    "update": "upgrade",
}
UNCHANGED = 77
DIFFERENCE = 3


JSON = "cli.json"
"""In the context's `meta`: whether the verb is to print a JSON document, which it does also where it fails."""


class Commands(click.Group):
    """Loads a command's module when the command is called: reading verbs must not load what changing ones need.

    modules: name of each command to the module that has it as `command`. aliases: other names to those names.
    """

    def __init__(self, *, modules: Mapping[str, str], aliases: Mapping[str, str] | None = None, **given: Any) -> None:
        super().__init__(**given)
        self._modules = modules
        self._aliases = aliases or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = self._modules.get(self._aliases.get(cmd_name, cmd_name))
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        for each in command.params:
            if each.name == "as_json":
                each.callback = _note_json
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib  # which only a mistake needs

            if meant := difflib.get_close_matches(args[0], [*self._modules, *self._aliases], n=1):
                raise click.UsageError(f"{error.message} Did you mean {meant[0]!r}?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            others = [alias for alias, meant in self._aliases.items() if meant == name]
            rows.append((", ".join((name, *others)), command.get_short_help_str(100) if command else ""))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # before click, which makes it an exit with 1
            return reader_is_gone()
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except Exception as error:
            if ctx.parent is None and ctx.meta.get(JSON) and getattr(error, "transaction", None) is None:
                from cli import rendering
                from cli.documents import Error, Failed

                rendering.print_json(Failed(Error(*_reason(error))))
            raise


def _note_json(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
    ctx.meta[JSON] = value
    return value


@dataclass(frozen=True)
class Globals:
    """What is said before the verb. journal: a file to read, instead of the stateroot's."""

    sysroot: Path
    stateroot: str | None
    journal: Path | None = None


@click.group(
    cls=Commands,
    modules=COMMANDS,
    aliases=ALIASES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 `audit verify` or `doctor` found a difference,"
    " 75 another transaction runs, 77 unchanged or pending (where asked for).",
)
@click.option(
    "--sysroot",
    type=GivenPath(),
    envvar="LAYER_SYSROOT",
    default="/",
    show_default=True,
    help="The sysroot to work on.",
)
@click.option("--os", "stateroot", metavar="STATEROOT", envvar="LAYER_OS", help="The stateroot to work on.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Whether to use colours; auto does so on a terminal, unless NO_COLOR is set.",
)
@click.version_option(VERSION, prog_name="layer", message="%(prog)s %(version)s")
@click.pass_context
def commands(ctx: click.Context, sysroot: Path, stateroot: str | None, color: str) -> None:
    """Package layering for image-based hosts. Every change is an event in a journal."""
    ctx.color = {"always": True, "never": False}.get(color, False if os.environ.get("NO_COLOR") else None)
    ctx.obj = Globals(Path(os.path.abspath(sysroot)), stateroot)  # noqa: PTH100 - resolve() would follow links


def main() -> None:
    """Run, and leave with the exit code that fits.

    A tenth of what a short command takes would go into collecting garbage while modules load, and into taking the
    interpreter down: collect seldom, and leave at once when all is written and closed.
    """
    gc.set_threshold(100_000, 20, 20)
    _open_what_is_closed()
    code = run()
    sys.stderr.flush()
    os._exit(code)


def _open_what_is_closed() -> None:
    """Without this the journal could be opened as descriptor 1, and what is printed would go into it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - for as long as the process lives


def run() -> int:
    """Run the command line of this process.

    Returns the exit code. Whatever goes wrong is told in a sentence on stderr.
    """
    try:
        _refuse_other_encodings(sys.argv[1:])
        result = commands.main(prog_name="layer", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _tell("Cancelled", None)
        return 1
    except BrokenPipeError:
        return reader_is_gone()
    except Exception as error:
        if os.environ.get("LAYER_DEBUG") and not isinstance(error, LayerError):
            raise
        _tell(*_reason(error)[1:])
        return error.exit_code if isinstance(error, LayerError) else 1
    return result if isinstance(result, int) else 0


def _refuse_other_encodings(words: list[str]) -> None:
    """What is not UTF-8 can't be recorded: Python has surrogates in its place."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise click.UsageError(f"An argument is not in UTF-8: {word!a}") from error


def _reason(error: Exception) -> tuple[str, str, str | None]:
    """Kind, message and hint of what went wrong."""
    if isinstance(error, LayerError):
        return error.id, error.message, error.hint
    if isinstance(error.__cause__, KeyboardInterrupt):  # Python wraps what comes while a class is being made
        return "cancelled", "Cancelled", None
    if isinstance(error, OSError):
        return _reason(SystemFailed.by(error))
    message = f"internal error: {type(error).__name__}: {error}"
    return "internal-error", message, "LAYER_DEBUG=1 shows where. Please report it."


def reader_is_gone() -> int:
    """As `| head` goes: no error. What is left to print is dropped, or Python would complain when it flushes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _tell(message: str, hint: str | None) -> None:
    click.echo(click.style("error: ", fg="red", bold=True) + without_credentials(message), err=True)
    if hint:
        click.echo(click.style("hint: ", bold=True) + hint, err=True)

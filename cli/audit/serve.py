"""layer audit serve: the journal in a browser."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from cli.main import Globals
from cli.reading import journal_path, osname
from journal.errors import LayerError
from journal.store import Journal
from journal.stored import SINCE_VIEWS


class DatasetteMissing(LayerError):
    """The desk is Datasette, and that is not installed."""

    id = "datasette-missing"


class AddressUnusable(LayerError):
    """There is no such address on this machine, or its port is taken."""

    id = "address-unusable"


@click.command("serve", short_help="Serve the journal to a browser, read-only.")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "-p", "--port", type=click.IntRange(0, 65535), default=8001, show_default=True, help="0 for any free one."
)
@click.pass_context
def command(ctx: click.Context, host: str, port: int) -> int:
    """Serve the journal to a browser, read-only: Datasette, with ready questions. Ctrl-C ends it.

    Only this machine can reach it unless another address is said; whoever can, can read all of it. Each request is
    told on stderr. Of a journal of an early schema, which has no views yet, a copy is shown that has them.
    """
    if importlib.util.find_spec("datasette") is None:
        raise DatasetteMissing("Datasette is not installed", hint="Install layer with its extra: layer[serve].")
    chosen: Globals = ctx.obj
    path = journal_path(ctx)
    title = path.name if chosen.journal else osname(ctx)
    if not _is_loopback(host):
        click.echo(f"Note: {host} can be reached from elsewhere, and nothing asks who reads.", err=True)
    import uvicorn
    from uvicorn.config import LOGGING_CONFIG

    from cli.desk.app import application

    LOGGING_CONFIG["handlers"]["access"]["stream"] = "ext://sys.stderr"  # stdout is for results, and there are none
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # how a service is ended, in good order as well
    with _with_views(path) as shown:
        app = application(shown, f"layer: {title}").app()
        server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, timeout_graceful_shutdown=1))
        try:
            server.run()
        except KeyboardInterrupt:  # it has ended in good order by then
            pass
        except SystemExit as error:  # uvicorn's own, with a code that means something else here
            raise AddressUnusable(f"Nothing can be served at {host}, port {port}") from error
    return 0 if server.started else 1


@contextlib.contextmanager
def _with_views(path: Path) -> Iterator[Path]:
    """The journal itself; or a copy of one of an early schema, brought up to the present one."""
    with contextlib.closing(Journal.open(path)) as journal, TemporaryDirectory(prefix="layer-") as scratch:
        if journal.schema_version >= SINCE_VIEWS:
            yield path
            return
        copy = Path(scratch, path.name)
        journal.copy_to(copy)
        Journal.open_for_append(copy).close()
        click.echo("Note: this journal has an early schema; a copy of it as it is now is shown.", err=True)
        yield copy


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""layer audit serve: the journal in a browser."""

from __future__ import annotations

import contextlib
import importlib.util
from ipaddress import ip_address

import click

from cli.main import Globals
from cli.reading import journal_path
from journal.errors import LayerError
from journal.store import Journal
from layering import stateroot


class DatasetteMissing(LayerError):
    """The desk is Datasette, and that is not installed."""

    id = "datasette-missing"


@click.command("serve", short_help="Serve the journal to a browser, read-only.")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "-p", "--port", type=click.IntRange(0, 65535), default=8001, show_default=True, help="0 for any free one."
)
@click.pass_context
def command(ctx: click.Context, host: str, port: int) -> int:
    """Serve the journal to a browser, read-only: Datasette, with ready questions. Ctrl-C ends it.

    Only this machine can reach it unless another address is said; whoever can, can read all of it. Each request is
    told on stderr.
    """
    if importlib.util.find_spec("datasette") is None:
        raise DatasetteMissing("Datasette is not installed", hint="Install layer with its extra: layer[serve].")
    chosen: Globals = ctx.obj
    path = journal_path(ctx)
    title = path.name if chosen.journal else stateroot.choose(chosen.sysroot, chosen.stateroot)
    Journal.open(path).close()  # a missing, foreign or newer one is told before anything listens
    if not _is_loopback(host):
        click.echo(f"Note: {host} can be reached from elsewhere, and nothing asks who reads.", err=True)
    import uvicorn
    from uvicorn.config import LOGGING_CONFIG

    from cli.desk.app import application

    LOGGING_CONFIG["handlers"]["access"]["stream"] = "ext://sys.stderr"  # stdout is for results, and there are none
    app = application(path, f"layer: {title}").app()
    server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, timeout_graceful_shutdown=1))
    with contextlib.suppress(KeyboardInterrupt):  # it has ended in good order by then
        server.run()
    return 0 if server.started else 1


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

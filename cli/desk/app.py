"""Datasette, set up for one journal: read-only, with the questions, our first page and our plugin."""

from __future__ import annotations

from pathlib import Path

import rich
from datasette.app import Datasette
from datasette.database import Database
from datasette.plugins import pm

from cli.desk import plugin
from cli.desk.questions import QUESTIONS

_HERE = Path(__file__).parent
_SQL_TIME_LIMIT_MS = 20_000


def application(journal: Path, title: str) -> Datasette:
    """The application. journal: its file, opened anew with mode=ro for each connection. title: what pages are headed.

    The journal may grow meanwhile: it is not opened as immutable, so that what is shown is what is there.
    """
    if not pm.is_registered(plugin):
        pm.register(plugin)
    # Datasette prints each wrong query of a reader with all its local variables.
    rich.reconfigure(quiet=True)
    queries = {
        name: {"title": each.title, "description": each.description, "sql": each.sql}
        for name, each in QUESTIONS.items()
    }
    tables = {name: {"hidden": True} for name in ("nodes", "snapshots", "search_text", "_sqlite_migrations")}
    datasette = Datasette(
        files=[],
        metadata={
            "title": title,
            "databases": {plugin.DATABASE: {"queries": queries, "tables": tables}},
        },
        template_dir=str(_HERE / "templates"),
        static_mounts=[("desk", str(_HERE / "static"))],
        settings={"sql_time_limit_ms": _SQL_TIME_LIMIT_MS, "default_cache_ttl": 0, "allow_download": False},
        memory=False,
    )
    datasette.add_database(Database(datasette, path=str(journal), is_mutable=True), name=plugin.DATABASE)
    return datasette

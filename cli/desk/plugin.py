"""What layer adds to Datasette, through its plugin hooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from datasette import hookimpl

from cli.desk.picture import picture
from cli.desk.questions import QUESTIONS
from layering.nevra import compare_version

DATABASE = "journal"


@hookimpl
def prepare_connection(conn: Any) -> None:
    """`evr_compare(NEVRA, [EPOCH:]VERSION[-RELEASE])`: negative, zero or positive, by rpm's order."""
    conn.create_function("evr_compare", 2, compare_version, deterministic=True)


@hookimpl
def extra_template_vars(view_name: str, datasette: Any) -> Callable[[], Awaitable[dict[str, Any]]] | None:
    """What the first page shows."""
    if view_name != "index":
        return None

    async def variables() -> dict[str, Any]:
        async def ask(sql: str) -> Any:
            return (await datasette.get_database(DATABASE).execute(sql)).rows

        return {"desk": await picture(ask), "questions": QUESTIONS, "database_name": DATABASE}

    return variables

"""layer audit prove: proofs that a stranger checks without the journal."""

from __future__ import annotations

from pathlib import Path

import click

from cli import rendering
from cli.audit import given
from cli.documents import ProvedExtension, ProvedRecord
from cli.paths import GivenPath
from cli.reading import open_journal
from journal import heads
from journal.reader import Reader
from projections import points


@click.command("prove", short_help="Prove that a transaction is in the journal.")
@click.argument("transaction", metavar="[N|last|last-1]", required=False)
@click.option("--event", type=int, metavar="POSITION", help="Prove one event instead.")
@click.option("--from", "old", metavar="SIZE|FILE", help="Prove that the journal goes on from this size or checkpoint.")
@click.option(
    "--output",
    type=GivenPath(file_okay=False),
    metavar="DIR",
    help="Write each record and its proof there, as POSITION.record and POSITION.tlog-proof.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the records and their proofs as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    transaction: str | None,
    event: int | None,
    old: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Prove that the events of transaction N are in the journal, under a signed head.

    Prints one proof (C2SP tlog-proof) for each of its events. `layer audit verify --proof`, or any other software that
    knows the format, checks them offline, by the record and the log's verifier key alone.
    """
    if sum(each is not None for each in (transaction, event, old)) != 1:
        raise click.UsageError("Say a transaction, or --event, or --from.")
    journal = open_journal(ctx)
    if old is not None:
        size = int(old) if old.isdecimal() else given.checkpoint_of(old).size
        extension = heads.prove_from(journal, size)
        if as_json:
            rendering.print_json(ProvedExtension(size, extension.checkpoint.size, str(extension)))
        else:
            click.echo(str(extension), nl=False)
        return
    positions = [event] if event is not None else _positions(journal, transaction or "")
    proved = [(heads.prove(journal, position), next(journal.records(position - 1, position))) for position in positions]
    if output:
        output.mkdir(parents=True, exist_ok=True)
        for proof, (position, record) in proved:
            (output / f"{position}.record").write_text(record, encoding="utf-8")
            (output / f"{position}.tlog-proof").write_text(str(proof), encoding="utf-8")
    if as_json:
        rendering.print_json([ProvedRecord(position, record, str(proof)) for proof, (position, record) in proved])
        return
    for proof, (position, _) in proved:
        click.echo(str(output / f"{position}.tlog-proof") if output else str(proof), nl=bool(output))


def _positions(journal: Reader, transaction: str) -> list[int]:
    return [event.position for event in points.events_of(journal, points.named(journal, transaction))]

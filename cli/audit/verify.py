"""layer audit verify: check the journal, or a proof that was made of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import rendering
from cli.audit import given
from cli.documents import CheckedProof
from cli.main import DIFFERENCE
from cli.reading import journal_path
from journal.errors import NoteNotSigned
from journal.notes import VerifierKey
from journal.printable import printable
from journal.proofs import ConsistencyProof, InclusionProof, parse_proof

if TYPE_CHECKING:
    from layering.verification import Report


@click.command("verify", short_help="Check the journal against itself and signed heads.")
@given.key_option
@click.option("--checkpoint", "checkpoints", multiple=True, metavar="FILE", help="A checkpoint that was kept earlier.")
@click.option(
    "--deep", is_flag=True, help="Check indexes and search fully, also of more than 50,000 events; takes longer."
)
@click.option("--proof", metavar="FILE", help="Check this proof, without any journal; needs --key.")
@click.option("--record", metavar="FILE", help="The record that the proof is of, as it was stored.")
@given.witness_keys_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    key: VerifierKey | None,
    checkpoints: tuple[str, ...],
    deep: bool,
    proof: str | None,
    record: str | None,
    witness_keys: tuple[VerifierKey, ...],
    as_json: bool,
) -> int:
    """Check the journal: sequence, hashes, tree, signed heads, schema, and snapshots against a fresh fold.

    What is wrong is named, event by event. With --proof, check a proof of inclusion of a record (--record), or of
    consistency with an older checkpoint (--checkpoint), by the log's key alone; every --witness-key must have cosigned.

    Exit code 3 if anything is wrong.
    """
    if proof is not None:
        checked = _check_proof(proof, record, checkpoints, key, witness_keys)
        if as_json:
            rendering.print_json(checked)
        elif checked.position:
            click.echo(f"The record is event {checked.position} of the {checked.events} events of {checked.origin}.")
        else:
            click.echo(
                f"The {checked.events} events of {checked.origin} begin with the {checked.old} of the older checkpoint."
            )
        return 0
    if record is not None or witness_keys:
        raise click.UsageError("--record and --witness-key go with --proof.")
    from layering.verification import verify

    kept = [(name, given.text_of(name)) for name in checkpoints]
    report = verify(journal_path(ctx), key, kept, deep=deep)
    if as_json:
        rendering.print_json(report)
    else:
        _tell(report)
    return DIFFERENCE if report.findings else 0


def _tell(report: Report) -> None:
    for finding in report.findings:
        where = f" (transaction {finding.transaction})" if finding.transaction else ""
        click.echo(f"{click.style(finding.kind, fg='red')}: {printable(finding.message)}{where}")
    counts = ((report.events, "event"), (report.checkpoints, "checkpoint"), (report.snapshots, "snapshot"))
    checked = ", ".join(rendering.count(*each) for each in counts)
    if report.findings:
        click.echo(f"{rendering.count(len(report.findings), 'finding')} in {report.path}: {checked}.", err=True)
    else:
        click.echo(f"All is well: {checked}. Root hash {report.root_hash}.")


def _check_proof(
    file: str,
    record: str | None,
    checkpoints: tuple[str, ...],
    key: VerifierKey | None,
    witness_keys: tuple[VerifierKey, ...],
) -> CheckedProof:
    if key is None:
        raise click.UsageError("--proof needs --key: the verifier key of the log, had from elsewhere.")
    position: int | None
    old: int | None
    proof: InclusionProof | ConsistencyProof = given.parsed(file, parse_proof)
    checkpoint = proof.checkpoint
    if isinstance(proof, InclusionProof):
        if not record or checkpoints:
            raise click.UsageError("A proof of inclusion needs --record, and nothing else.")
        proof.check(given.bytes_of(record), key)
        position, old = proof.index + 1, None
    else:
        if record or len(checkpoints) != 1:
            raise click.UsageError("A proof of consistency needs one --checkpoint, the older one, and nothing else.")
        proof.check(given.checkpoint_of(checkpoints[0]), key)
        position, old = None, proof.size
    for witness in witness_keys:
        if not checkpoint.note.signed_by(witness):
            raise NoteNotSigned(f"The witness {witness.name} did not cosign the checkpoint")
    return CheckedProof(checkpoint.origin, checkpoint.size, position, old)

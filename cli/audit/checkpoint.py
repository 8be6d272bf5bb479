"""layer audit checkpoint: sign the head, have it cosigned, or hold the journal against one kept earlier."""

from __future__ import annotations

from collections.abc import Sequence

import click

from cli import rendering
from cli.audit import given
from cli.documents import SignedHead
from cli.reading import open_journal
from journal import heads
from journal.checkpoints import Checkpoint
from journal.errors import JournalNotWritable, LayerError
from journal.notes import VerifierKey
from journal.store import Journal


@click.command("checkpoint", short_help="Sign the head of the journal and print it.")
@click.option("--witness", "witnesses", multiple=True, metavar="URL", help="Have this witness cosign it.")
@given.witness_keys_option
@click.option("--check", metavar="FILE", help="Check that the journal goes on from this checkpoint; `-` for stdin.")
@given.key_option
@click.option("--print-key", is_flag=True, help="Print the log's verifier key, for those who check its proofs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    witnesses: tuple[str, ...],
    witness_keys: tuple[VerifierKey, ...],
    check: str | None,
    key: VerifierKey | None,
    print_key: bool,
    as_json: bool,
) -> int:
    """Sign the head of the journal and print it: keep it elsewhere, and no event before it can be altered unnoticed.

    The key is made on first use. Whoever may not write the journal is given the head that was signed last. With --check
    nothing is signed; exit code 3 if the journal does not go on from the checkpoint.
    """
    if bool(witnesses) != bool(witness_keys):
        raise click.UsageError(
            "--witness and --witness-key go together: an answer that can't be checked is worth nothing."
        )
    code = 0
    checkpoint = kept = None
    journal = open_journal(ctx)  # never make one
    if check is not None:
        kept = given.checkpoint_of(check)
        key = key or heads.verifier_of(journal)
        heads.check_kept(journal, kept, key)
        told = f"The journal goes on from the checkpoint: {kept.size} events then, {journal.position} now.\n"
    elif print_key:
        told = f"{heads.verifier_of(journal)}\n"
    else:
        checkpoint, code = _signed(journal, witnesses, witness_keys)
        told = str(checkpoint)
    if as_json:
        key = key if key and kept else heads.verifier_of(journal)  # --key goes with --check
        size = checkpoint.size if checkpoint else journal.position
        root = journal.root_hash_at(size).hex()
        note = str(checkpoint) if checkpoint else None
        old = kept.size if kept else None
        rendering.print_json(SignedHead(key.name, size, root, str(key), note, old))
    else:
        click.echo(told, nl=False)
    return code


def _signed(journal: Journal, witnesses: Sequence[str], witness_keys: Sequence[VerifierKey]) -> tuple[Checkpoint, int]:
    """The signed head, cosigned where that is asked for, and the exit code that the witnesses lead to."""
    try:
        writable = Journal.open_for_append(journal.path)
        checkpoint = heads.sign_head(writable)
    except JournalNotWritable:
        signed = heads.current_head(journal)
        if signed is None or witnesses:
            raise
        return signed, 0
    code = 0
    if witnesses:
        from journal import witness

        for url in witnesses:
            try:
                checkpoint = witness.cosigned(writable, url, checkpoint, witness_keys)
            except LayerError as error:
                click.echo(click.style("error: ", fg="red", bold=True) + error.message, err=True)
                code = max(code, error.exit_code)
        heads.keep(writable, checkpoint)
    return checkpoint, code

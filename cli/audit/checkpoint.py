"""layer audit checkpoint: sign the head, have it cosigned, or hold the journal against one kept earlier."""

from __future__ import annotations

import click

from cli.audit import given
from cli.reading import journal_path, open_journal
from journal import heads
from journal.errors import JournalNotWritable, LayerError
from journal.notes import VerifierKey
from journal.store import Journal


@click.command("checkpoint", short_help="Sign the head of the journal and print it.")
@click.option("--witness", "witnesses", multiple=True, metavar="URL", help="Have this witness cosign it.")
@given.witness_keys_option
@click.option("--check", metavar="FILE", help="Check that the journal goes on from this checkpoint; `-` for stdin.")
@given.key_option
@click.option("--print-key", is_flag=True, help="Print the log's verifier key, for those who check its proofs.")
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
) -> int:
    """Sign the head of the journal and print it: keep it elsewhere, and no event before it can be altered unnoticed.

    The key is made on first use. Whoever may not write the journal is given the head that was signed last. With --check
    nothing is signed; exit code 3 if the journal does not go on from the checkpoint.
    """
    if check is not None:
        journal = open_journal(ctx)
        kept = given.checkpoint_of(check)
        heads.check_kept(journal, kept, key or heads.verifier_of(journal))
        click.echo(f"The journal goes on from the checkpoint: {kept.size} events then, {journal.position} now.")
        return 0
    if bool(witnesses) != bool(witness_keys):
        raise click.UsageError(
            "--witness and --witness-key go together: an answer that can't be checked is worth nothing."
        )
    if print_key:
        click.echo(str(heads.verifier_of(open_journal(ctx))))
        return 0
    open_journal(ctx).close()  # never make one
    try:
        journal = Journal.open_for_append(journal_path(ctx))
        checkpoint = heads.sign_head(journal)
    except JournalNotWritable:
        signed = heads.current_head(open_journal(ctx))
        if signed is None or witnesses:
            raise
        click.echo(str(signed), nl=False)
        return 0
    code = 0
    if witnesses:
        from journal import witness

        for url in witnesses:
            try:
                checkpoint = witness.cosigned(journal, url, checkpoint, witness_keys)
            except LayerError as error:
                click.echo(click.style("error: ", fg="red", bold=True) + error.message, err=True)
                code = max(code, error.exit_code)
        heads.keep(journal, checkpoint)
    click.echo(str(checkpoint), nl=False)
    return code

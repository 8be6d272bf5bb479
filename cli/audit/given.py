"""What the commands of the audit desk are given: keys, checkpoints and proofs, in files or on the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from journal.checkpoints import Checkpoint, parse_checkpoint
from journal.errors import NoteMalformed
from journal.notes import VerifierKey, parse_verifier_key

T = TypeVar("T")

key_option = click.option(
    "--key",
    metavar="VKEY|FILE",
    callback=lambda _ctx, _param, value: None if value is None else verifier_key(value),
    help="The log's verifier key, or a file that has it, instead of the one beside the journal.",
)
witness_keys_option = click.option(
    "--witness-key",
    "witness_keys",
    multiple=True,
    metavar="VKEY|FILE",
    callback=lambda _ctx, _param, values: tuple(verifier_key(value) for value in values),
    help="Verifier key of a witness; may be given several times.",
)


def verifier_key(text: str) -> VerifierKey:
    """The key that is given as such, or in a file.

    Raises:
        click.BadParameter: it is empty.
    """
    if not text:
        raise click.BadParameter("it is empty.")
    return parse_verifier_key(text_of(text) if "+" not in text else text)


def checkpoint_of(file: str) -> Checkpoint:
    """The checkpoint in a file, or on stdin for `-`.

    Raises:
        NoteMalformed: the file can't be read, or holds no checkpoint.
    """
    return parsed(file, parse_checkpoint)


def parsed(file: str, parse: Callable[[str], T]) -> T:
    """What a file holds, parsed; what is wrong with it is told with its name."""
    text = text_of(file)
    try:
        return parse(text)
    except NoteMalformed as error:
        raise NoteMalformed(f"{file}: {error.message}", hint=error.hint) from error


def text_of(file: str) -> str:
    """The text of a file, or of stdin for `-`.

    Raises:
        NoteMalformed: it can't be read, or is not text.
    """
    try:
        return bytes_of(file).decode()
    except UnicodeDecodeError as error:
        raise NoteMalformed(f"{file} is not text in UTF-8") from error


def bytes_of(file: str) -> bytes:
    """The content of a file, or of stdin for `-`.

    Raises:
        NoteMalformed: it can't be read.
    """
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise NoteMalformed(f"{file} can't be read: {error.strerror}") from error

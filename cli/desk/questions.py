"""The ready questions: SQL over the stable views of docs/sql.md, what they are called, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """A query with a name for the address, a title, and what it tells. Parameters are written `:name` in it."""

    title: str
    description: str
    sql: str


_WHO = "coalesce(invoked_by, login_user, user)"

QUESTIONS: dict[str, Question] = {
    "timeline": Question(
        "Timeline",
        "Every transaction, the last first.",
        f"""SELECT transaction_number, started_at, verb, arguments, outcome, {_WHO} AS who, message, error_message
FROM history ORDER BY transaction_number DESC""",
    ),
    "transaction": Question(
        "One transaction",
        "All events of a transaction, as they were recorded and hashed.",
        """SELECT position, type, recorded_at, record FROM events
WHERE transaction_number = CAST(:number AS INTEGER) ORDER BY position""",
    ),
    "who_installed_what": Question(
        "Who installed what",
        "Each package that was layered, replaced or removed, by whom, and whence. Part of a name, or nothing.",
        f"""SELECT recorded_at, {_WHO} AS who, change, nevra, previous, repository, signed_by, sha256,
    transaction_number
FROM packages WHERE part = 'layer' AND change <> 'observed' AND name LIKE '%' || :name || '%'
ORDER BY position DESC, nevra""",
    ),
    "failures": Question(
        "Failures",
        "What failed, was refused or was interrupted, and why.",
        """SELECT recorded_at, transaction_number, outcome, verb, kind, message,
    coalesce(login_user, user) AS who, command_line
FROM failures ORDER BY position DESC""",
    ),
    "packages_at_a_time": Question(
        "Packages at a time",
        "What was installed at an instant, by the base and by layers. RFC 3339, e.g. 2026-11-26T12:00:00Z.",
        """SELECT part, nevra, since, transaction_number FROM presence
WHERE since <= :time AND (until IS NULL OR until > :time) ORDER BY part DESC, nevra""",
    ),
    "exposure": Question(
        "Exposure",
        "Since when, and until when, a package was there in a version below this one, compared as rpm does.",
        """SELECT nevra, part, since, coalesce(until, 'still there') AS until, transaction_number FROM presence
WHERE name = :name AND evr_compare(nevra, :below) < 0 ORDER BY since""",
    ),
    "requests": Question(
        "Requests",
        "How the requested set came to be what it is.",
        f"""SELECT recorded_at, {_WHO} AS who, change, request, sha256, transaction_number
FROM requested ORDER BY position DESC""",
    ),
    "search": Question(
        "Search",
        'Command lines, messages and package names: words, "phrases", OR, prefix*.',
        f"""SELECT h.transaction_number, h.started_at, h.verb, h.outcome, {_WHO} AS who, h.message, h.command_line
FROM history h WHERE h.transaction_number IN (SELECT transaction_number FROM search WHERE search MATCH :words)
ORDER BY h.transaction_number DESC""",
    ),
}

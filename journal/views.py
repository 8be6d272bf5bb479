"""What auditors query: views over the records, and full-text search. Stable: columns are added, none is renamed.

They are plain SQL for SQLite 3.37 and need nothing of layer's: `sqlite3`, `sqlite-utils` and Datasette read them alike.
The views store nothing: every column is read out of the records, so none can say something else than what was hashed.
The search keeps its text and its index. Described in docs/sql.md, column by column.
"""

from __future__ import annotations

from journal.reader import IS_OUTCOME

_HISTORY = """
CREATE VIEW history AS
SELECT
    s.transaction_number,
    s.transaction_uuid,
    json_extract(s.record, '$.payload.verb') AS verb,
    json_extract(s.record, '$.payload.arguments') AS arguments,
    coalesce(substr(o.type, length('transaction-') + 1), 'running') AS outcome,
    coalesce(json_extract(o.record, '$.payload.recovered'), 0) AS recovered,
    s.recorded_at AS started_at,
    o.recorded_at AS finished_at,
    json_extract(s.record, '$.actor.uid') AS uid,
    json_extract(s.record, '$.actor.user') AS user,
    json_extract(s.record, '$.actor.loginuid') AS loginuid,
    json_extract(s.record, '$.actor.login_user') AS login_user,
    json_extract(s.record, '$.actor.invoked_by') AS invoked_by,
    json_extract(s.record, '$.actor.session') AS session,
    json_extract(s.record, '$.actor.tty') AS tty,
    json_extract(s.record, '$.actor.unit') AS unit,
    json_extract(s.record, '$.host.machine_id') AS machine_id,
    json_extract(s.record, '$.host.boot_id') AS boot_id,
    json_extract(s.record, '$.command_line') AS command_line,
    json_extract(s.record, '$.payload.message') AS message,
    CASE WHEN o.type IN ('transaction-failed', 'transaction-refused')
        THEN json_extract(o.record, '$.payload.kind') END AS error_kind,
    CASE WHEN o.type IN ('transaction-failed', 'transaction-refused')
        THEN json_extract(o.record, '$.payload.message') END AS error_message,
    -- The state that it left: what it found, unless it was committed and says something else.
    coalesce(
        (SELECT json_extract(e.record, '$.payload.refspec') FROM events e
            WHERE o.type = 'transaction-committed' AND e.transaction_number = s.transaction_number
            AND +e.type IN ('base-changed', 'deployment-observed') ORDER BY e.position DESC LIMIT 1),
        json_extract(s.record, '$.payload.before.refspec')) AS refspec,
    coalesce(
        (SELECT coalesce(json_extract(e.record, '$.payload.base_commit'), json_extract(e.record, '$.payload.commit'))
            FROM events e
            WHERE o.type = 'transaction-committed' AND e.transaction_number = s.transaction_number
            AND +e.type IN ('base-changed', 'deployment-observed') ORDER BY e.position DESC LIMIT 1),
        json_extract(s.record, '$.payload.before.base_commit')) AS base_commit,
    nullif(coalesce(
        (SELECT coalesce(nullif(json_extract(e.record, '$.payload.commit'),
                json_extract(e.record, '$.payload.base_commit')), '') FROM events e
            WHERE o.type = 'transaction-committed' AND e.transaction_number = s.transaction_number
            AND +e.type IN ('layer-committed', 'deployment-observed') ORDER BY e.position DESC LIMIT 1),
        json_extract(s.record, '$.payload.before.layered_commit')), '') AS layered_commit
FROM events s
LEFT JOIN events o ON o.transaction_number = s.transaction_number AND +o.type IN ('transaction-committed',
    'transaction-unchanged', 'transaction-failed', 'transaction-refused', 'transaction-interrupted')
WHERE s.type = 'transaction-started'
"""

# What was undone by a failure later in its transaction never took effect, and is in no view.
_EFFECTIVE = """
FROM events e, json_each(e.record, '$.payload.{field}') p, events c
WHERE e.type = '{type}' AND c.transaction_number = e.transaction_number AND +c.type = 'transaction-committed'
"""
_WHO = (
    "json_extract(e.record, '$.actor.user') AS user, json_extract(e.record, '$.actor.login_user') AS login_user,"
    " json_extract(e.record, '$.actor.invoked_by') AS invoked_by"
)
_WHEN = "e.transaction_number, e.position, e.recorded_at"
_FACTS = ("nevra", "sha256", "repository", "signed_by")


def _packages(type_: str, field: str, part: str, change: str, *, within: str = "", previous: str = "NULL") -> str:
    """Rows of `packages` out of one field of a type of event. within: where in a list's element the package is."""
    facts = [f"json_extract(p.value, '${within}.{fact}')" for fact in _FACTS]
    if part == "base":
        facts = ["p.value", *["NULL"] * (len(_FACTS) - 1)]
    named = ", ".join(f"{value} AS {fact}" for value, fact in zip(facts, _FACTS, strict=True))
    return (
        f"SELECT {_WHEN}, '{part}' AS part, '{change}' AS change, {named}, {previous} AS previous, {_WHO},"
        f" c.position AS effective_position {_EFFECTIVE.format(type=type_, field=field)}"
    )


_OLD = "json_extract(p.value, '$.old.nevra')"
_CHANGES = "UNION ALL ".join(
    [
        _packages("deployment-observed", "packages", "layer", "observed"),
        _packages("deployment-observed", "base_packages", "base", "observed"),
        _packages("layer-committed", "added", "layer", "added"),
        _packages("layer-committed", "removed", "layer", "removed"),
        _packages("layer-committed", "upgraded", "layer", "upgraded", within=".new", previous=_OLD),
        _packages("layer-committed", "downgraded", "layer", "downgraded", within=".new", previous=_OLD),
        _packages("base-changed", "packages_added", "base", "added"),
        _packages("base-changed", "packages_removed", "base", "removed"),
    ]
)


def _name(nevra: str) -> str:
    """A package's name: without the last two of the parts that `-` separates, version and release."""
    others = f"replace({nevra}, '-', '')"
    return f"rtrim(rtrim(rtrim(rtrim({nevra}, {others}), '-'), {others}), '-')"


_PACKAGES = f"""
CREATE VIEW packages AS
SELECT transaction_number, position, recorded_at, part, change, {_name("nevra")} AS name, nevra, previous, sha256,
    repository, signed_by, user, login_user, invoked_by
FROM ({_CHANGES})
"""

# Each package with the stretch of the history that it was there for. What another tool deployed is counted anew: what
# was there before ends there, and what is there from then on begins.
_PRESENCE = f"""
CREATE VIEW presence AS
SELECT part, {_name("nevra")} AS name, nevra,
    since.transaction_number, since.recorded_at AS since,
    until.transaction_number AS until_transaction_number, until.recorded_at AS until
FROM (SELECT part, nevra, present, at, min(
        coalesce(lead(at) OVER (PARTITION BY part, nevra ORDER BY at, present), 9223372036854775807),
        coalesce((SELECT min(c.position) FROM events o, events c
            WHERE o.type = 'deployment-observed' AND o.position > at
            AND c.transaction_number = o.transaction_number AND +c.type = 'transaction-committed'),
            9223372036854775807)) AS gone
    FROM (
        SELECT part, nevra, change <> 'removed' AS present, effective_position AS at FROM ({_CHANGES})
        UNION ALL
        SELECT part, previous, 0, effective_position FROM ({_CHANGES}) WHERE previous IS NOT NULL
    ))
JOIN events since ON since.position = at
LEFT JOIN events until ON until.position = gone
WHERE present AND gone > at
"""

_REQUESTED = "CREATE VIEW requested AS\n" + "UNION ALL ".join(
    f"SELECT {_WHEN}, '{change}' AS change, json_extract(p.value, '$.spec') AS request,"
    f" json_extract(p.value, '$.sha256') AS sha256, {_WHO} {_EFFECTIVE.format(type=type_, field=field)}"
    for type_, field, change in (
        ("deployment-observed", "requested", "observed"),
        ("deployment-observed", "absorbed", "absorbed"),
        ("requests-changed", "added", "added"),
        ("requests-changed", "removed", "removed"),
        ("requests-changed", "absorbed", "absorbed"),
        ("requests-changed", "reinstated", "reinstated"),
    )
)

_ACTORS = """
CREATE VIEW actors AS
SELECT uid, user, loginuid, login_user, invoked_by,
    count(*) AS transactions,
    sum(outcome = 'committed') AS committed,
    sum(outcome IN ('failed', 'refused', 'interrupted')) AS failures,
    min(started_at) AS first_at,
    max(started_at) AS last_at
FROM (SELECT
    json_extract(s.record, '$.actor.uid') AS uid,
    json_extract(s.record, '$.actor.user') AS user,
    json_extract(s.record, '$.actor.loginuid') AS loginuid,
    json_extract(s.record, '$.actor.login_user') AS login_user,
    json_extract(s.record, '$.actor.invoked_by') AS invoked_by,
    s.recorded_at AS started_at,
    (SELECT substr(o.type, length('transaction-') + 1) FROM events o
        WHERE o.transaction_number = s.transaction_number ORDER BY o.position DESC LIMIT 1) AS outcome
    FROM events s WHERE s.type = 'transaction-started')
GROUP BY uid, user, loginuid, login_user, invoked_by
"""

_FAILURES = """
CREATE VIEW failures AS
SELECT
    f.transaction_number,
    f.position,
    f.recorded_at,
    substr(f.type, length('transaction-') + 1) AS outcome,
    (SELECT json_extract(s.record, '$.payload.verb') FROM events s
        WHERE s.transaction_number = f.transaction_number AND +s.type = 'transaction-started') AS verb,
    json_extract(f.record, '$.payload.kind') AS kind,
    json_extract(f.record, '$.payload.message') AS message,
    json_extract(f.record, '$.actor.user') AS user,
    json_extract(f.record, '$.actor.login_user') AS login_user,
    json_extract(f.record, '$.command_line') AS command_line
FROM events f
WHERE f.type IN ('transaction-failed', 'transaction-refused', 'transaction-interrupted')
"""

_SEARCHED = "'transaction-started', 'transaction-unchanged', 'transaction-failed', 'transaction-refused'," + (
    " 'deployment-observed', 'base-changed', 'requests-changed', 'layer-committed'"
)
_SEARCH_TEXT = f"""
CREATE VIEW search_text AS
SELECT
    e.position,
    e.transaction_number,
    CASE e.type WHEN 'transaction-started' THEN json_extract(e.record, '$.command_line') END AS command_line,
    json_extract(e.record, '$.payload.message') AS message,
    (SELECT group_concat(t.value, ' ') FROM json_tree(e.record, '$.payload') t WHERE t.type = 'text' AND (
        t.key IN ('nevra', 'spec')
        -- How a path is quoted depends on the version of SQLite.
        OR t.path LIKE '%base_packages%' OR t.path LIKE '%packages_added%' OR t.path LIKE '%packages_removed%'
    )) AS packages
FROM events e
WHERE +e.type IN ({_SEARCHED}) AND EXISTS (SELECT 1 FROM events o
    WHERE o.transaction_number = e.transaction_number AND +o.{IS_OUTCOME})
"""

# With the text in it: FTS5 reads no view over JSON for text that lies elsewhere. That it is what the records say is
# for `audit verify` to compare with search_text.
SEARCH_TABLE = """
CREATE VIRTUAL TABLE {name} USING fts5 (
    command_line, message, packages, transaction_number UNINDEXED, columnsize = 0
)
"""

SEARCH_FILL = """
INSERT INTO search (rowid, command_line, message, packages, transaction_number)
SELECT position, command_line, message, packages, transaction_number FROM search_text"""
"""Takes events into the search: all there are, or those of a condition put after it."""

# The views look for events of a type; the outcomes alone have an index from the start.
_TYPES = "CREATE INDEX events_type ON events (type, position)"

NAMES = ("history", "packages", "presence", "requested", "actors", "failures")
"""What auditors may rely on, and `search`, which has its own query language (FTS5)."""

VIEWS = (_TYPES, _HISTORY, _PACKAGES, _PRESENCE, _REQUESTED, _ACTORS, _FAILURES)
"""The statements that make the views."""

SEARCH = (_SEARCH_TEXT, SEARCH_TABLE.format(name="search"), SEARCH_FILL)
"""Those that make the full-text search, over what is there already too."""

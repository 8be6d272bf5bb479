"""What auditors query: views over the records, and full-text search. Stable: columns are added, none is renamed.

They are plain SQL for SQLite 3.37 and need nothing of layer's: `sqlite3`, `sqlite-utils` and Datasette read them alike.
The views store nothing: every column is read out of the records, so none can say something else than what was hashed.
The search keeps its text and its index. Described in docs/sql.md, column by column.
"""

from __future__ import annotations

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
FROM events e, json_each(e.record, '$.payload.{field}') p
WHERE e.type = '{type}' AND EXISTS (SELECT 1 FROM events c
    WHERE c.transaction_number = e.transaction_number AND +c.type = 'transaction-committed')
"""


def _changes(type_: str, field: str, part: str, change: str, *, previous: str = "NULL", package: str = "") -> str:
    """Rows of `packages` out of one field of a type of event. package: where in a list's element the package is."""
    if part == "base":
        facts = "p.value AS nevra, NULL AS sha256, NULL AS repository, NULL AS signed_by"
    else:
        facts = ", ".join(f"json_extract(p.value, '${package}.{key}') AS {key}" for key in _PACKAGE)
    return (
        "SELECT e.transaction_number, e.position, e.recorded_at,"
        f" '{part}' AS part, '{change}' AS change, {facts}, {previous} AS previous,"
        " json_extract(e.record, '$.actor.user') AS user, json_extract(e.record, '$.actor.login_user') AS login_user"
        + _EFFECTIVE.format(type=type_, field=field)
    )


_PACKAGE = ("nevra", "sha256", "repository", "signed_by")
_OLD = "json_extract(p.value, '$.old.nevra')"
_PACKAGES = "CREATE VIEW packages AS\n" + "UNION ALL ".join(
    [
        _changes("deployment-observed", "packages", "layer", "observed"),
        _changes("deployment-observed", "base_packages", "base", "observed"),
        _changes("layer-committed", "added", "layer", "added"),
        _changes("layer-committed", "removed", "layer", "removed"),
        _changes("layer-committed", "upgraded", "layer", "upgraded", previous=_OLD, package=".new"),
        _changes("layer-committed", "downgraded", "layer", "downgraded", previous=_OLD, package=".new"),
        _changes("base-changed", "packages_added", "base", "added"),
        _changes("base-changed", "packages_removed", "base", "removed"),
    ]
)

_REQUESTED = "CREATE VIEW requested AS\n" + "UNION ALL ".join(
    "SELECT e.transaction_number, e.position, e.recorded_at,"
    f" '{change}' AS change, json_extract(p.value, '$.spec') AS request, json_extract(p.value, '$.sha256') AS sha256,"
    " json_extract(e.record, '$.actor.user') AS user, json_extract(e.record, '$.actor.login_user') AS login_user"
    + _EFFECTIVE.format(type=type_, field=field)
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
        OR t.path IN ('$.payload.base_packages', '$.payload.packages_added', '$.payload.packages_removed')
    )) AS packages
FROM events e
WHERE e.type IN ({_SEARCHED})
"""

# With the text in it: FTS5 reads no view over JSON for text that lies elsewhere. That it is what the records say is
# for `audit verify` to compare with search_text.
_SEARCH = """
CREATE VIRTUAL TABLE search USING fts5 (command_line, message, packages, transaction_number UNINDEXED)
"""

_SEARCH_FILL = """
INSERT INTO search (rowid, command_line, message, packages, transaction_number)
SELECT position, command_line, message, packages, transaction_number FROM search_text"""

_SEARCH_APPENDED = f"""
CREATE TRIGGER events_searched AFTER INSERT ON events WHEN NEW.type IN ({_SEARCHED})
BEGIN {_SEARCH_FILL} WHERE position = NEW.position;
END
"""

VIEWS = (_HISTORY, _PACKAGES, _REQUESTED, _ACTORS, _FAILURES)
"""The statements that make the views."""

SEARCH = (_SEARCH_TEXT, _SEARCH, _SEARCH_FILL, _SEARCH_APPENDED)
"""Those that make the full-text search, over what is there already too."""

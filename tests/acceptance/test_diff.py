"""Diff and blame on a real host: what changed between any two points, and whose doing what is layered is."""

from __future__ import annotations

import pytest

from tests.acceptance.bases import BRANCH
from tests.acceptance.checks import between, same_deployments
from tests.acceptance.conftest import CopyHost, Shared
from tests.acceptance.host import Host
from tests.acceptance.repositories import BAR, FOO, FOO_LIBS
from tests.acceptance.rpms import build_rpm
from tests.acceptance.test_surroundings import on_terminal

NEWER = "foo-2.0-1.noarch"


@pytest.fixture(scope="module")
def original(shared: Shared) -> Host:
    directory, base, repository, host = shared
    host.ok("pkg-add", "foo", "baz-capability")
    host.ok("pkg-add", "bar")
    repository.build("foo", "2.0", files={"/usr/bin/foo": "foo 2\n"})
    repository.publish()
    tool = build_rpm(directory / "rpms", "base-tool", "0.9", files={"/usr/bin/base-tool": "older\n"})
    extra = build_rpm(directory / "rpms", "extra", files={"/usr/share/extra": "extra\n"})
    base.without_packages("base-tool").with_packages([tool, extra]).commit(BRANCH, "2")
    host.ok("upgrade")
    host.run("pkg-add", "foo", check=1)
    return host


@pytest.fixture
def lived(original: Host, copy_host: CopyHost) -> Host:
    """1 adopt, 2 add foo and baz, 3 add bar, 4 upgrade of base and foo, 5 refused."""
    return copy_host(original)


def test_a_diff_has_requests_and_packages_of_base_and_layer(lived: Host) -> None:
    first, *_, last = lived.history()
    assert lived.json("diff", "1", "now") == {
        "from": 1,
        "to": 4,
        "refspec": ["test:os/stable", "test:os/stable"],
        "base_commit": [first["base_commit"], last["base_commit"]],
        "requested": {"added": ["bar", "baz-capability", "foo"], "removed": []},
        "packages": {
            "added": [BAR, "baz-1.0-1.noarch", "extra-1.0-1.noarch", NEWER, FOO_LIBS],
            "removed": [],
            "upgraded": [],
            "downgraded": [["base-tool-1.0-1.noarch", "base-tool-0.9-1.noarch"]],
        },
    }


def test_points_are_named_in_any_way(lived: Host) -> None:
    entries, (newest, previous) = lived.history(), lived.deployments()
    expected = lived.json("diff", "3", "4")
    assert expected["packages"]["upgraded"] == [[FOO, NEWER]]
    names = [f"{lived.stateroot}-{previous}", "deployment:1", between(entries[2], entries[3]), "last-2", "3"]
    for name in names:
        assert lived.json("diff", name, "deployment:0") == expected
    assert lived.json("diff", "3") == expected
    assert lived.json("diff", f"{lived.stateroot}-{newest}", "3")["packages"]["downgraded"] == [[NEWER, FOO]]
    assert lived.json("diff", "3", "last")["to"] == 5


def test_people_read_it_in_lines(lived: Host) -> None:
    said = lived.ok("diff", "3", "4").stdout
    assert f"Upgraded:\n  {FOO} -> {NEWER}\n" in said
    assert "Downgraded:\n  base-tool-1.0-1.noarch -> base-tool-0.9-1.noarch\n" in said
    assert "Added:\n  extra-1.0-1.noarch\n" in said
    assert lived.ok("diff", "4", "5").stdout == "No difference.\n"


def test_a_deployment_that_the_journal_does_not_know_is_read_itself(lived: Host) -> None:
    lived.admin("deploy", f"--os={lived.stateroot}", lived.last()["base_commit"])
    found = lived.json("diff", "4", "deployment:0")
    assert found["to"] == f"{lived.stateroot}-{lived.deployments()[0]}"
    assert found["packages"]["removed"] == [BAR, "baz-1.0-1.noarch", NEWER, FOO_LIBS]
    assert found["requested"]["removed"] == ["bar", "baz-capability", "foo"]
    assert lived.json("diff", "4", str(found["to"])) == found


def test_blame_names_who_brought_what_and_why(lived: Host) -> None:
    found = {each["package"]: each for each in lived.json("blame")}
    assert list(found) == sorted(found)
    told = {name: (each["transaction"], each["requested"], each["required_by"]) for name, each in found.items()}
    assert told == {
        BAR: (3, True, []),
        "baz-1.0-1.noarch": (2, True, []),
        NEWER: (4, True, []),
        FOO_LIBS: (3, False, [BAR]),
    }
    entries = {each["transaction"]: each for each in lived.history()}
    for each in found.values():
        assert each["since"] == entries[each["transaction"]]["finished_at"]
        assert each["user"] == "root"


def test_blame_is_of_any_point_and_of_the_packages_named(lived: Host) -> None:
    assert [each["package"] for each in lived.json("blame", "--as-of", "2")] == ["baz-1.0-1.noarch", FOO]
    assert [each["package"] for each in lived.json("blame", "foo*")] == [NEWER, FOO_LIBS]
    said = lived.ok("blame", "foo-libs", "bar").stdout
    assert "needed by bar" in said
    assert "requested" in said
    assert lived.ok("blame", "--as-of", "1").stderr == "No packages are layered.\n"


@pytest.mark.parametrize(
    ("command", "reason", "status"),
    [
        (("diff", "99"), "No transaction 99", 1),
        (("diff", "1", "2001-01-01"), "The history begins after 2001-01-01", 1),
        (("diff", "deployment:7"), "No deployment deployment:7", 1),
        (("diff", f"testos-{'0' * 64}.0"), "No deployment testos-", 1),
        (("diff", "whenever"), "neither a transaction nor a time", 2),
        (("diff",), "Missing argument", 2),
        (("blame", "no-such", "foo", "nor-this"), "Packages not layered: no-such, nor-this", 1),
        (("blame", "--as-of", "99"), "No transaction 99", 1),
        (("blame", "--as-of", "2001-01-01"), "The history begins after 2001-01-01", 1),
        (("blame", "--as-of", ""), "neither a transaction nor a time", 2),
        (("status", "--as-of", ""), "neither a transaction nor a time", 2),
        (("rollback", ""), "'' is no transaction", 2),
        (("rollback", "--to", ""), "'' is no time\nhint: Say 20", 2),
        (("rollback", "--to", "@99999999999999999999"), "is no time", 2),
        (("blame", ""), "it is empty", 2),
        (("history", "--package", ""), "it is empty", 2),
        (("history", "--user", " "), "it is empty", 2),
        (("--sysroot", "", "status"), "it is empty", 2),
        (("replay", ""), "it is empty", 2),
        (("audit", "--journal", "", "verify"), "it is empty", 2),
        (("audit", "export", "--output", ""), "it is empty", 2),
    ],
)
def test_what_is_not_there_is_a_clear_error_and_nothing_is_written(
    original: Host, command: tuple[str, ...], reason: str, status: int
) -> None:
    journal = original.journal.read_bytes()
    with same_deployments(original):
        result = original.run(*command, check=status)
    assert reason in result.stderr
    assert "Traceback" not in result.stderr
    assert original.journal.read_bytes() == journal


def test_without_a_history_there_is_nothing_to_compare(host: Host) -> None:
    for command in (("diff", "1"), ("blame",)):
        assert "nothing was recorded on this host yet" in host.run(*command, check=1).stderr
    assert not host.journal.exists()


def test_blame_fits_a_narrow_terminal(lived: Host) -> None:
    """Down to what a table takes besides names and reasons, which are cut; in a pipe they are whole."""
    columns = max(map(len, lived.ok("blame").stdout.splitlines())) - 2
    told = on_terminal(lived, "blame", columns=columns, NO_COLOR="1").splitlines()
    assert len(told) == 1 + len(lived.json("blame"))
    assert max(map(len, told)) <= columns
    assert FOO_LIBS in lived.ok("blame").stdout

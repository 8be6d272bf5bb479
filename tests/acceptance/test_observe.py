"""What other tools do to the host is noticed, and recorded before layer builds on it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.checks import refused, same_deployments, settled
from tests.acceptance.host import REMOTE, Host


def deploy_by_hand(host: Host, base: BaseTree, version: str = "2") -> str:
    """Make, pull and deploy the next version of the base with ostree alone; returns its commit."""
    commit = base.commit(BRANCH, version)
    host.pull(BRANCH)
    host.admin("deploy", f"--os={host.stateroot}", f"test:{BRANCH}")
    return commit


def verbs(host: Host) -> list[str]:
    return [entry["verb"] for entry in host.history()]


def test_sync_adopts_a_host_that_has_no_journal(host: Host) -> None:
    bare = host.commit_of()
    with same_deployments(host):
        host.ok("sync")
    (adopt,) = host.history()
    assert (adopt["transaction"], adopt["verb"], adopt["outcome"]) == (1, "adopt", "committed")
    assert adopt["base_commit"] == bare


def test_sync_on_a_host_that_is_in_step_records_nothing(host: Host) -> None:
    host.ok("pkg-add", "foo")
    before = host.history()
    host.ok("sync")
    host.ok("sync")
    assert host.history() == before


def test_sync_takes_into_the_search_what_crashes_kept_out_of_it(host: Host) -> None:
    host.ok("pkg-add", "foo")
    host.ok("pkg-delete", "foo")
    with closing(sqlite3.connect(host.journal)) as connection:
        connection.execute("DELETE FROM search WHERE transaction_number > 1")
        connection.commit()
    assert host.run("audit", "verify", check=3).stdout.startswith("search:")
    host.ok("sync")
    host.ok("audit", "verify")


def test_sync_records_a_deployment_of_another_tool(host: Host, base: BaseTree) -> None:
    settled(host)
    foreign = deploy_by_hand(host, base)
    with same_deployments(host):
        host.ok("sync")
    observed = host.last()
    assert (observed["transaction"], observed["verb"], observed["outcome"]) == (2, "observe", "committed")
    assert (observed["refspec"], observed["base_commit"]) == ("test:os/stable", foreign)
    assert host.current()["base_commit"] == foreign


def test_a_foreign_deployment_is_recorded_before_the_next_transaction_builds_on_it(host: Host, base: BaseTree) -> None:
    settled(host)
    foreign = deploy_by_hand(host, base)
    host.ok("pkg-add", "foo")
    assert verbs(host) == ["adopt", "observe", "pkg-add"]
    assert host.current()["base_commit"] == foreign
    assert host.parent_of(host.commit_of()) == foreign


def test_it_is_recorded_once(host: Host, base: BaseTree) -> None:
    settled(host)
    deploy_by_hand(host, base)
    host.ok("pkg-add", "foo")
    host.ok("sync")
    host.ok("pkg-add", "baz")
    assert verbs(host) == ["adopt", "observe", "pkg-add", "pkg-add"]


def test_also_an_attempt_that_is_refused_records_it_first(host: Host, base: BaseTree) -> None:
    settled(host)
    deploy_by_hand(host, base)
    host.run("pkg-add", "base-tool", check=1)
    assert verbs(host) == ["adopt", "observe", "pkg-add"]
    assert host.last()["outcome"] == "refused"


def test_a_deployment_of_another_tool_after_layering_is_recorded(host: Host, base: BaseTree) -> None:
    host.ok("pkg-add", "foo")
    foreign = deploy_by_hand(host, base)
    host.ok("sync")
    observed = host.last()
    assert (observed["verb"], observed["base_commit"], observed["requested"]) == ("observe", foreign, [])
    host.ok("pkg-add", "baz")
    assert host.current()["requested"] == ["baz"]
    assert host.current()["base_commit"] == foreign


def test_a_layered_state_is_gone_back_to_past_what_another_tool_did(host: Host, base: BaseTree) -> None:
    host.ok("pkg-add", "foo")
    layered = host.commit_of()
    deploy_by_hand(host, base)
    host.ok("rollback", "2")
    assert host.commit_of() == layered
    assert verbs(host) == ["adopt", "pkg-add", "observe", "rollback"]


def test_what_a_restored_journal_had_not_seen_is_gone_back_from_with_no_package_taken_for_another(host: Host) -> None:
    host.ok("pkg-add", "foo")
    older = host.journal.read_bytes()
    host.ok("pkg-add", "baz")
    host.journal.write_bytes(older)
    host.ok("rollback", "2")
    last = host.last()
    assert (last["added"], last["removed"], last["upgraded"]) == ([], ["baz-1.0-1.noarch"], [])


def test_a_foreign_rollback_is_recorded(host: Host) -> None:
    bare = host.commit_of()
    host.ok("pkg-add", "foo")
    host.admin("undeploy", "0")
    assert host.commit_of() == bare
    host.ok("sync")
    assert verbs(host) == ["adopt", "pkg-add", "observe"]
    assert (host.last()["base_commit"], host.last()["requested"]) == (bare, [])


def test_the_requests_of_an_adopted_origin_are_taken_over(host: Host) -> None:
    """As rpm-ostree leaves a host: packages requested in the origin, layered or not."""
    path = host.deployment()
    origin = path.with_name(f"{path.name}.origin")
    origin.write_text("[origin]\nbaserefspec=test:os/stable\n\n[packages]\nrequested=foo;\n")
    host.ok("pkg-add", "baz")
    assert host.history()[0]["requested"] == ["foo"]
    assert host.current()["requested"] == ["baz", "foo"]
    assert {"baz", "foo"} <= set(host.rpm_names())


@pytest.mark.parametrize("reading", [["status"], ["history"]])
def test_reading_does_not_record_what_another_tool_did(host: Host, base: BaseTree, reading: list[str]) -> None:
    settled(host)
    deploy_by_hand(host, base)
    host.ok(*reading)
    assert verbs(host) == ["adopt"]


def test_status_shows_a_foreign_deployment_without_a_transaction(host: Host, base: BaseTree) -> None:
    settled(host)
    foreign = deploy_by_hand(host, base)
    assert host.current()["commit"] == foreign
    assert host.current()["transaction"] is None


def test_a_host_that_follows_a_container_image_keeps_it_and_can_be_layered_upon(host: Host) -> None:
    """Regression: an empty refspec was written, and what layer had made itself was taken for another tool's."""
    image = "container-image-reference=ostree-unverified-registry:registry.example/os:1"
    path = host.deployment()
    path.with_name(f"{path.name}.origin").write_text(f"[origin]\n{image}\n")
    assert "(no refspec)" in host.ok("status").stdout
    host.ok("pkg-add", "foo")
    assert host.origin().startswith(f"[origin]\n{image}\n\n[packages]\nrequested=foo;\n")
    host.ok("pkg-delete", "foo")
    assert [entry["verb"] for entry in host.history()] == ["adopt", "pkg-add", "pkg-delete"]
    for verb in (["upgrade"], ["deploy", "1"]):
        told = refused(host, *verb)
        assert "registry.example/os:1, which layer can't pull" in told.stderr
    host.ok("rebase", f"{REMOTE}:{BRANCH}")
    assert "container-image" not in host.origin()
    host.ok("rollback", "1")
    assert image in host.origin()
    assert host.current()["refspec"] is None

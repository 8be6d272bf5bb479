"""The origin file of the deployment after each verb, and the transaction that it names."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.checks import origin_lines
from tests.acceptance.host import Host
from tests.acceptance.repositories import Repository
from tests.acceptance.rpms import build_rpm, sha256


def bare(host: Host, refspec: str = "test:os/stable") -> list[str]:
    return ["[origin]", f"refspec={refspec}", *transaction(host)]


def layered(host: Host, requested: str, refspec: str = "test:os/stable") -> list[str]:
    return ["[origin]", f"baserefspec={refspec}", "[packages]", f"requested={requested}", *transaction(host)]


def transaction(host: Host) -> list[str]:
    """The section that ties the deployment to the newest transaction of the journal."""
    return ["[layer]", f"transaction={host.last()['uuid']}"]


def test_a_host_that_layer_never_touched_keeps_the_origin_of_ostree(host: Host) -> None:
    host.ok("status")
    host.ok("history")
    assert origin_lines(host) == ["[origin]", "refspec=test:os/stable"]


def test_pkg_add_and_pkg_delete_turn_the_refspec_into_a_base_and_back(host: Host) -> None:
    host.ok("pkg-add", "foo")
    assert origin_lines(host) == layered(host, "foo;")
    host.ok("pkg-add", "baz")
    assert origin_lines(host) == layered(host, "baz;foo;")
    host.ok("pkg-delete", "foo")
    assert origin_lines(host) == layered(host, "baz;")
    host.ok("pkg-delete", "baz")
    assert origin_lines(host) == bare(host)


def test_the_deployment_before_keeps_its_origin(host: Host) -> None:
    host.ok("pkg-add", "foo")
    first = host.origin()
    host.ok("pkg-add", "baz")
    assert host.origin(1) == first


def test_upgrade_writes_what_remains_requested(host: Host, base: BaseTree, repository: Repository) -> None:
    host.ok("pkg-add", "foo", "baz")
    base.with_packages([repository.directory / "foo-1.0-1.noarch.rpm"]).commit(BRANCH, "2")
    host.ok("upgrade")
    assert origin_lines(host) == layered(host, "baz;")
    base.commit(BRANCH, "3")
    host.ok("upgrade")
    assert origin_lines(host) == layered(host, "baz;foo;")


def test_an_upgrade_without_requests_follows_the_refspec(host: Host, base: BaseTree) -> None:
    base.commit(BRANCH, "2")
    host.ok("upgrade")
    assert origin_lines(host) == bare(host)


def test_rebase_writes_the_new_refspec(host: Host, base: BaseTree) -> None:
    base.commit("os/next", "1")
    host.ok("rebase", "test:os/next")
    assert origin_lines(host) == bare(host, "test:os/next")
    host.ok("pkg-add", "foo")
    assert origin_lines(host) == layered(host, "foo;", "test:os/next")
    host.ok("rebase", "test:os/stable")
    assert origin_lines(host) == layered(host, "foo;")


def test_deploy_writes_the_commit_that_it_pins_and_upgrade_takes_it_out(host: Host, base: BaseTree) -> None:
    first = host.commit_of()
    base.with_files({"/usr/share/mark": "2\n"}).commit(BRANCH, "2")
    host.ok("upgrade")
    host.ok("deploy", "1")
    pinned = ["[origin]", "refspec=test:os/stable", f"override-commit={first}", *transaction(host)]
    assert origin_lines(host) == pinned
    host.ok("upgrade")
    assert origin_lines(host) == bare(host)


def test_rebase_to_a_local_branch_writes_its_name(host: Host) -> None:
    host.ok("pkg-add", "foo")
    host.make_branch("local/os", host.current()["base_commit"])
    host.ok("rebase", "local/os")
    assert origin_lines(host) == layered(host, "foo;", "local/os")


def test_rollback_writes_the_state_gone_back_to_and_its_own_transaction(host: Host) -> None:
    host.ok("pkg-add", "foo")
    host.ok("pkg-add", "baz")
    host.ok("rollback")
    assert origin_lines(host) == layered(host, "foo;")


def test_a_local_package_is_written_with_its_checksum(host: Host, tmp_path: Path) -> None:
    package = build_rpm(tmp_path, "local", epoch=3, files={"/usr/bin/local": "#!/bin/sh\n"})
    host.ok("pkg-add", package)
    assert origin_lines(host) == [
        "[origin]",
        "baserefspec=test:os/stable",
        "[packages]",
        f"requested-local={sha256(package)}:local-3:1.0-1.noarch;",
        *transaction(host),
    ]


def test_status_names_the_transaction_that_made_the_deployment(host: Host) -> None:
    host.ok("pkg-add", "foo")
    assert host.current()["transaction"] == host.last()["transaction"]
    assert transaction(host)[1] in origin_lines(host)

"""States whose parts are gone from the host: had again by checksum, or listed one by one, and then nothing changes."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from layering import layer_key, time_travel
from layering.host import Host as EngineHost
from layering.host import Options
from layering.identity import context
from layering.layer_key import Engine
from layering.restore import NotReproduced
from layering.transaction import Invocation
from tests.acceptance.bases import BRANCH, BaseTree, ostree
from tests.acceptance.checks import fails, unchanged
from tests.acceptance.host import ENVIRONMENT, REMOTE, Host
from tests.acceptance.repositories import FOO, NOWHERE, Repository
from tests.acceptance.rpms import sha256


def forget(host: Host) -> None:
    """Leave nothing on the host but its first deployment: no cache, no ref of the past, no object of it."""
    host.ok("cleanup", "--rollback")
    for ref in host.refs():
        if ref.startswith(("layer/", f"{REMOTE}:")):
            ostree("refs", "--delete", ref, repo=host.repo)
    shutil.rmtree(host.repo / "extensions/layer", ignore_errors=True)
    ostree("prune", "--refs-only", "--depth=0", repo=host.repo)


def remade(repository: Repository, name: str) -> tuple[str, str]:
    """Build the package anew under the same NEVRA; the checksums of the old and the new one."""
    path = next(each for each in repository.packages() if each.name.rsplit("-", 2)[0] == name)
    old = sha256(path)
    repository.build(name, files={f"/usr/bin/{name}": "another build\n"})
    return old, sha256(path)


def publish_with_sha512(repository: Repository) -> None:
    command = ["createrepo_c", "--quiet", "--no-database", "--checksum=sha512", str(repository.directory)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def upgraded(host: Host, base: BaseTree) -> Host:
    """1 adopt, 2 add foo, 3 upgrade to version 2, 4 delete foo; nothing of before is left."""
    host.ok("pkg-add", "foo")
    base.with_files({"/usr/share/version": "2\n"}).commit(BRANCH, "2")
    host.ok("upgrade")
    host.ok("pkg-delete", "foo")
    forget(host)
    return host


def recorded(host: Host, number: int) -> str:
    entry = host.history()[number - 1]
    commit: str = entry["layered_commit"] or entry["base_commit"]
    return commit


def test_base_and_packages_are_had_again_by_checksum(upgraded: Host) -> None:
    for number in (2, 1, 3):
        forget(upgraded)
        upgraded.ok("rollback", str(number))
        assert upgraded.commit_of() == recorded(upgraded, number)


def test_all_that_is_gone_is_listed_also_in_a_preview(upgraded: Host, base: BaseTree, repository: Repository) -> None:
    first = upgraded.history()[0]["base_commit"]
    checksum = sha256(repository.directory / f"{FOO}.rpm")
    ostree("prune", f"--delete-commit={first}", repo=base.repo)
    repository.remove("foo")
    repository.publish()
    result = fails(upgraded, "rollback", "2")
    lines = result.stderr.splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == [
        f"  - base commit {first}",
        f"  - package {FOO} (sha256 {checksum})",
    ]
    journal = upgraded.journal.read_bytes()
    with unchanged(upgraded):
        preview = upgraded.run("rollback", "2", "--preview", check=1)
    assert preview.stderr == result.stderr
    assert upgraded.journal.read_bytes() == journal


def test_a_remote_that_keeps_this_very_commit_alone_is_enough(upgraded: Host, base: BaseTree) -> None:
    first = upgraded.history()[0]["base_commit"]
    ostree("refs", f"--create=kept/{first}", first, repo=base.repo)
    ostree("refs", "--delete", BRANCH, repo=base.repo)
    upgraded.ok("rollback", "2")
    assert upgraded.commit_of() == recorded(upgraded, 2)


def test_a_package_made_anew_under_its_nevra_is_another_one(upgraded: Host, repository: Repository) -> None:
    old, new = remade(repository, "foo")
    repository.publish()
    result = fails(upgraded, "rollback", "2")
    assert f"package {FOO} (sha256 {old})" in result.stderr
    assert new not in result.stderr


def test_metadata_with_other_checksums_does(upgraded: Host, repository: Repository) -> None:
    publish_with_sha512(repository)
    upgraded.ok("rollback", "2")
    assert upgraded.commit_of() == recorded(upgraded, 2)


def test_where_metadata_cannot_tell_builds_apart_their_files_do(
    upgraded: Host, repository: Repository, tmp_path: Path
) -> None:
    kept = repository.copy_to(tmp_path / "kept")
    publish_with_sha512(kept)
    old, new = remade(repository, "foo")
    publish_with_sha512(repository)
    result = fails(upgraded, "rollback", "2")
    assert f"expected sha256 {old}, found {new}" in result.stderr
    upgraded.set_repo(kept.repo_file("z-kept"), name="kept")
    upgraded.ok("rollback", "2")
    assert upgraded.commit_of() == recorded(upgraded, 2)


def test_offline_what_is_not_here_is_listed_without_asking_for_it(upgraded: Host) -> None:
    result = fails(upgraded, "rollback", "--cacheonly", "2")
    assert "base commit" in result.stderr
    assert "no network was to be used" in result.stderr


def test_an_unreachable_repository_is_named_with_each_package(upgraded: Host, repository: Repository) -> None:
    upgraded.set_repo(repository.repo_file(url=NOWHERE))
    result = fails(upgraded, "rollback", "2")
    assert f"package {FOO}" in result.stderr
    assert "nothing-listens-here" in result.stderr


def rollback_by(host: Host, engine: Engine, patch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Roll back to transaction 2 with another engine than the one that built it; what is noted."""
    for name, value in ENVIRONMENT.items():
        patch.setenv(name, value)
    patch.setattr(layer_key, "this_engine", lambda: engine)
    decide = time_travel.rollback("2", datetime.now(UTC), None)
    engine_host = EngineHost(host.sysroot, host.stateroot, context(["test"]))
    return engine_host.transact(Invocation("rollback", ("2",)), decide, Options()).notes


def test_another_engine_builds_the_same_but_for_the_rpmdb_and_that_is_said(
    upgraded: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = recorded(upgraded, 2)
    engine = layer_key.this_engine()
    other = Engine(engine.format, engine.librpm, "9.9.9")
    (note,) = rollback_by(upgraded, other, monkeypatch)
    assert upgraded.commit_of() != then
    assert f"built again as {upgraded.commit_of()}, not as {then}, by another engine" in note
    assert upgraded.current()["layered"] == [FOO]
    assert upgraded.read("/usr/bin/foo") == "#!/bin/sh\necho foo\n"
    (layer,) = (
        each["payload"] for each in upgraded.json("show", "last")["events"] if each["type"] == "layer-committed"
    )
    assert json.loads(layer["engine"])["sqlite"] == "9.9.9"


@pytest.fixture
def unsteady(host: Host, repository: Repository) -> Host:
    """A host whose transaction 2 layered something that comes out different each time; nothing of it is left."""
    script = "local f = io.open('/usr/share/made', 'w') f:write(tostring({})) f:close()"
    repository.build("unsteady", files={"/usr/share/unsteady": "x\n"}, scripts={"%post -p <lua>": script})
    repository.publish()
    host.ok("pkg-add", "unsteady")
    host.ok("pkg-delete", "unsteady")
    forget(host)
    return host


def test_what_does_not_come_out_as_it_was_is_not_deployed(unsteady: Host) -> None:
    result = fails(unsteady, "rollback", "2")
    assert f"not as {recorded(unsteady, 2)}" in result.stderr
    assert "engine" not in result.stderr


def test_what_another_engine_makes_another_tree_of_is_not_deployed(
    unsteady: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = layer_key.this_engine()
    other = Engine(engine.format + 1, engine.librpm, engine.sqlite)
    with unchanged(unsteady), pytest.raises(NotReproduced) as caught:
        rollback_by(unsteady, other, monkeypatch)
    assert "engine has changed" in (caught.value.hint or "")

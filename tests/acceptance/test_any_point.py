"""Any point of a long history comes back to its recorded checksum, though nothing of it is left on the host.

Sixty random transactions, from a seed, on a real sysroot; then cache, refs and objects go. The verbs run in this
process: sixty commands would take longer to start than to work.
"""

from __future__ import annotations

import random
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from journal.errors import LayerError
from journal.store import Journal
from layering import operations, time_travel
from layering.host import Decide, Options
from layering.host import Host as EngineHost
from layering.identity import context
from layering.restore import Unavailable
from layering.transaction import Invocation
from projections import points
from projections.host import HostState
from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.host import ENVIRONMENT, REMOTE, Host
from tests.acceptance.programs import BUSYBOX
from tests.acceptance.repositories import Repository, standard_repository
from tests.acceptance.rpms import File, build_rpm

TRANSACTIONS = 60
SEED = 4
DEVEL = "os/devel"
NAMES = ("foo", "bar", "baz", "left", "twin-a", "scripted")


@dataclass
class Past:
    """A host with a long history, and what its remote and its repository were meanwhile.

    then: the state after each transaction.
    """

    host: Host
    base: BaseTree
    repository: Repository
    then: dict[int, HostState] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return self.host.commit_of()

    def engine(self) -> EngineHost:
        return EngineHost(self.host.sysroot, self.host.stateroot, context(["test"]))

    def transact(self, verb: str, arguments: tuple[str, ...], decide: Decide) -> None:
        self.engine().transact(Invocation(verb, arguments), decide, Options())

    def rollback(self, number: int) -> None:
        self.transact("rollback", (str(number),), time_travel.rollback(str(number), datetime.now(UTC), None))

    def forget(self) -> None:
        """Take away all that the host has but its first deployment: cache, metadata, refs, and what they held."""
        sysroot = self.engine().sysroot
        sysroot.drop({each.id for each in sysroot.deployments[1:]})
        sysroot.let_go(sysroot.refs())
        for ref in self.host.refs():
            if ref.startswith(f"{REMOTE}:"):
                sysroot.repo.set_ref_immediate(REMOTE, ref.partition(":")[2], None, None)
        shutil.rmtree(self.host.repo / "extensions/layer", ignore_errors=True)
        shutil.rmtree(self.host.sysroot / "ostree/deploy" / self.host.stateroot / "var/cache/layer", ignore_errors=True)
        sysroot.prune()
        left = {path.parent.name + path.stem for path in self.host.repo.glob("objects/??/*.commit")}
        assert left == {self.head}


@dataclass
class Chance:
    """Random steps: verb, arguments, and what to do. New packages and bases are published on the way."""

    past: Past
    random: random.Random
    local: Path
    packages: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 1))
    bases: dict[str, int] = field(default_factory=lambda: {BRANCH: 1, DEVEL: 1})

    def step(self, state: HostState, transactions: int) -> tuple[str, tuple[str, ...], Decide]:
        chance, name = self.random, self.random.choice(NAMES)
        branch = (state.refspec or "").partition(":")[2]
        wanted = chance.choice([each.spec for each in state.wanted] or [name])
        point = str(chance.randint(1, transactions))
        match chance.choices(range(9), (7, 4, 2, 1, 5, 2, 2, 2, 2))[0]:
            case 0:
                return "pkg-add", (name,), operations.pkg_add([name], idempotent=False, allow_inactive=True)
            case 1:
                decide = operations.pkg_delete([wanted], everything=False, idempotent=False)
                return "pkg-delete", (wanted,), decide
            case 2:
                swap = operations.pkg_add([name], idempotent=True, allow_inactive=True, uninstall=[wanted])
                return "pkg-add", (name,), swap
            case 3:
                file = str(self.local)
                return "pkg-add", (file,), operations.pkg_add([file], idempotent=False, allow_inactive=True)
            case 4:
                self._publish(name, branch)
                return "upgrade", (), operations.upgrade()
            case 5:
                other = f"{REMOTE}:{DEVEL if branch == BRANCH else BRANCH}"
                return "rebase", (other,), operations.rebase(other, None)
            case 6:
                version = str(chance.randint(1, self.bases[branch]))
                return "deploy", (version,), operations.deploy(version)
            case 7:
                return "rollback", (point,), time_travel.rollback(point, datetime.now(UTC), None)
            case _:
                return "undo", (point,), time_travel.undo(point, None)

    def _publish(self, name: str, branch: str) -> None:
        if self.random.random() < 0.4:
            self.packages[name] += 1
            build(self.past.repository, name, self.packages[name])
            self.past.repository.publish()
        if self.random.random() < 0.6:
            self.bases[branch] += 1
            commit_base(self.past, branch, self.bases[branch])


def build(repository: Repository, name: str, version: int) -> None:
    scripts = {"%post": "echo made by $0 > /usr/share/made\nrm -f /usr/share/base-tool/data"}
    repository.build(
        name,
        f"{version}.0",
        requires=["foo-libs"] if name == "bar" else (),
        files={f"/usr/share/{name}": f"{name} {version}\n"},
        scripts=scripts if name == "scripted" else {},
    )


def commit_base(past: Past, branch: str, number: int) -> str:
    """The next version of a branch; every third one of os/devel has what otherwise would be layered."""
    tree = past.base.with_files({"/usr/share/version": f"{branch} {number % 3}\n"})
    if branch == DEVEL and number % 3 == 0:
        tree = tree.with_packages([past.repository.directory / "baz-1.0-1.noarch.rpm"])
    return tree.commit(branch, str(number))


@pytest.fixture(scope="module")
def past() -> Iterator[Past]:
    """Where memory is a disk, a sync costs nothing: there are hundreds, and none of them is what is tested here."""
    memory = Path("/dev/shm")  # noqa: S108 - as in layering/host.py
    with tempfile.TemporaryDirectory(prefix="any-point-", dir=memory if memory.is_dir() else None) as directory:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in ENVIRONMENT.items():
                patch.setenv(name, value)
            past = lived_through(Path(directory))
            yield past
        past.host.remove()


def lived_through(directory: Path) -> Past:
    """Sixty transactions, whatever comes of each."""
    shell = {"/usr/bin/bash": File(BUSYBOX.read_bytes(), mode=0o755), "/usr/bin/sh": File(symlink="bash")}
    shell |= {f"/usr/bin/{name}": File(symlink="bash") for name in ("echo", "rm")}
    bash = build_rpm(directory / "rpms", "bash", "5.2.26", "4", arch="x86_64", files=shell, provides=["/bin/sh"])
    base = BaseTree(directory / "remote").without_packages("bash").with_packages([bash])
    repository = standard_repository(directory / "packages")
    build(repository, "scripted", 1)
    repository.publish()
    past = Past(Host(directory / "sysroot"), base, repository)
    commit_base(past, BRANCH, 1)
    commit_base(past, DEVEL, 1)
    Host.install(past.host.sysroot, base.repo)
    past.host.set_repo(repository.repo_file())
    past.engine().sync()
    local = build_rpm(directory / "rpms", "by-hand", files={"/usr/share/by-hand": "by hand\n"})
    chance, journal = Chance(past, random.Random(SEED), local), Journal.open(past.host.journal)
    while journal.transactions < TRANSACTIONS:
        try:
            past.transact(*chance.step(points.at(journal).host or HostState(), journal.transactions))
        except LayerError as error:
            assert error.transaction, error
    states = ((number, points.at(journal, journal.end_of(number)).host) for number in range(1, TRANSACTIONS + 1))
    past.then = {number: state for number, state in states if state}
    return past


def is_local(state: HostState) -> bool:
    return any(package.repository == "@local" for package in state.packages)


def test_each_of_sixty_states_comes_back_to_its_checksum_with_nothing_of_it_left(past: Past) -> None:
    by_commit: dict[str, list[int]] = {}
    for number, state in past.then.items():
        by_commit.setdefault(state.commit or "", []).append(number)
    rebuilt = 0
    for commit, numbers in by_commit.items():
        past.forget()
        wanted = past.then[numbers[0]]
        if is_local(wanted) and commit != past.head:
            before = past.head
            with pytest.raises(Unavailable) as caught:
                past.rollback(numbers[0])
            (lost,) = caught.value.message.splitlines()[1:]
            assert re.fullmatch(r"  - local package by-hand-1.0-1.noarch \(sha256 [0-9a-f]{64}\)", lost)
            assert past.head == before
            continue
        rebuilt += commit != past.head
        for number in numbers:  # the first is built again, the others find it
            past.rollback(number)
            now = points.at(Journal.open(past.host.journal)).host
            assert now
            assert past.head == past.then[number].commit == now.commit, f"transaction {number}"
            assert (now.wanted, now.absorbed, now.base) == (
                past.then[number].wanted,
                past.then[number].absorbed,
                past.then[number].base,
            )
    assert rebuilt >= 20
    past.host.fsck()


def test_what_a_repository_has_dropped_is_listed_and_nothing_changes(past: Past) -> None:
    states = {state.commit: number for number, state in past.then.items() if not is_local(state)}
    most = Counter(package for number in states.values() for package in past.then[number].packages).most_common(1)
    (dropped, times) = most[0]
    assert times > 5
    (past.repository.directory / f"{dropped.nevra}.rpm").unlink()
    past.repository.publish()
    past.rollback(1)
    past.forget()
    before = past.host.snapshot_tree()
    for number in states.values():
        if dropped in past.then[number].packages:
            with pytest.raises(Unavailable) as caught:
                past.rollback(number)
            listed = caught.value.message.splitlines()[1:]
            assert listed == [f"  - package {dropped.nevra} (sha256 {dropped.sha256})"]
    assert past.host.snapshot_tree() == before

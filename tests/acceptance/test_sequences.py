"""Any sequence of transactions: the journal, the origin on the disk, and what is deployed tell the same story."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from journal.store import Journal
from projections import origin, points
from projections.host import Projection, fold
from tests.acceptance.bases import BRANCH, BaseTree
from tests.acceptance.host import Host
from tests.acceptance.repositories import Repository, standard_repository

DEVEL = "os/devel"
NAMES = ("foo", "bar", "baz")
NEEDED = {"foo": {"foo"}, "bar": {"bar", "foo-libs"}, "baz": {"baz"}}
BASE = {"base-tool", "bash", "fedora-release", "filesystem"}

steps = st.one_of(
    st.tuples(st.just("pkg-add"), st.sampled_from(NAMES)),
    st.tuples(st.just("pkg-delete"), st.sampled_from(NAMES)),
    st.tuples(st.just("upgrade"), st.sets(st.sampled_from(NAMES), max_size=2).map(frozenset)),
    st.tuples(st.just("rebase"), st.sampled_from((BRANCH, DEVEL))),
    st.tuples(st.just("rollback"), st.integers(1, 8)),
    st.tuples(st.just("rollback"), st.none()),
)


class Base(NamedTuple):
    """One commit of a base: its number on the branch, and which of the names it provides."""

    number: int
    names: frozenset[str]


class State(NamedTuple):
    """What the rules lead to: the wanted names, and the base."""

    wanted: frozenset[str] = frozenset()
    branch: str = BRANCH
    base: Base = Base(1, frozenset())

    @property
    def requested(self) -> frozenset[str]:
        return self.wanted - self.base.names

    @property
    def absorbed(self) -> frozenset[str]:
        return self.wanted & self.base.names

    @property
    def visible(self) -> State:
        """What of a state a deployment shows: absorbed requests are in no origin."""
        return self._replace(wanted=self.requested)


@dataclass
class Model:
    """The rules, in sets: the state, what each branch's newest base is, and what was deployed, newest first."""

    state: State = field(default_factory=State)
    newest: dict[str, Base] = field(
        default_factory=lambda: {BRANCH: Base(1, frozenset()), DEVEL: Base(1, frozenset({"baz"}))}
    )
    then: dict[int, State] = field(default_factory=lambda: {1: State()})
    deployed: list[State] = field(default_factory=lambda: [State()])

    def publish(self, names: frozenset[str]) -> None:
        """A new base on the branch that the host follows."""
        branch = self.state.branch
        self.newest[branch] = Base(self.newest[branch].number + 1, names)

    def step(self, verb: str, argument: object) -> str:
        """Take a step; gives the outcome that it must have."""
        target = self._target(verb, argument)
        outcome = "refused" if target is None else "unchanged" if target == self.state else "committed"
        if target is not None:
            if target.visible != self.state.visible:
                self.deployed.insert(0, target)
            self.state = self.deployed[0] = target
        self.then[len(self.then) + 1] = self.state
        return outcome

    def _target(self, verb: str, argument: object) -> State | None:
        state, names = self.state, frozenset({str(argument)})
        match verb:
            case "pkg-add":
                known = names & (state.wanted | state.base.names)
                return None if known else state._replace(wanted=state.wanted | names)
            case "pkg-delete":
                return state._replace(wanted=state.wanted - names) if names & state.wanted else None
            case "upgrade":
                return state._replace(base=self.newest[state.branch])
            case "rebase":
                branch = str(argument)
                return None if branch == state.branch else state._replace(branch=branch, base=self.newest[branch])
            case _:
                if argument is None:
                    return self.deployed[1] if len(self.deployed) > 1 else None
                return self.then.get(int(str(argument)))


@dataclass(frozen=True)
class Ground:
    base: BaseTree
    repository: Repository
    host: Host


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    directory = tmp_path_factory.mktemp("sequences")
    base, repository = BaseTree(directory / "remote"), standard_repository(directory / "packages")
    commit_base(base, repository, BRANCH, frozenset())
    commit_base(base, repository, DEVEL, frozenset({"baz"}))
    host = Host.install(directory / "sysroot", base.repo)
    host.set_repo(repository.repo_file())
    yield Ground(base, repository, host)
    host.remove()


def commit_base(base: BaseTree, repository: Repository, branch: str, names: frozenset[str]) -> None:
    wanted = set().union(*(NEEDED[name] for name in names))
    rpms = [path for path in repository.packages() if path.name.rsplit("-", 2)[0] in wanted]
    base.with_packages(rpms).commit(branch, f"{branch} with {' '.join(sorted(names)) or 'nothing'}")


copies = count()


@settings(
    max_examples=4,
    phases=[Phase.explicit, Phase.generate],  # a failing plan is short enough to be read as it is
    suppress_health_check=list(HealthCheck),
)
@given(plan=st.lists(steps, min_size=5, max_size=8))
def test_journal_origin_and_deployment_agree_after_every_step(
    ground: Ground, tmp_path: Path, plan: list[tuple[str, object]]
) -> None:
    number = next(copies)
    host = ground.host.copy_to(tmp_path / f"sysroot{number}")
    remote = BaseTree(tmp_path / f"remote{number}")
    model = Model()
    for branch, newest in model.newest.items():
        commit_base(remote, ground.repository, branch, newest.names)
    config = host.repo / "config"
    config.write_text(config.read_text().replace(ground.base.repo.as_uri(), remote.repo.as_uri()))
    try:
        host.ok("sync")
        for verb, argument in plan:
            if verb == "upgrade" and isinstance(argument, frozenset):
                model.publish(argument)
                commit_base(remote, ground.repository, model.state.branch, argument)
            words = {"rebase": [f"test:{argument}"], "upgrade": []}.get(verb, [] if argument is None else [argument])
            result = host.run(verb, *map(str, words))
            expected = model.step(verb, argument)
            assert (host.last()["verb"], host.last()["outcome"]) == (verb, expected), result
            assert result.exit == (1 if expected == "refused" else 0)
            check(host, model)
        host.fsck()
    finally:
        host.remove()


def check(host: Host, model: Model) -> None:
    journal = Journal.open(host.journal)
    projection = points.at(journal)
    state = projection.host
    assert state is not None
    # The model, the projection and the status are one.
    current = host.current()
    assert set(current["requested"]) == model.state.requested
    assert set(current["absorbed"]) == model.state.absorbed
    assert current["refspec"] == f"test:{model.state.branch}"
    # The origin on the disk is the projected one, the deployed commit the projected one, and it holds what it should.
    assert host.origin() == origin.render(state, state.deployed_by or "") or state.deployed_by is None
    assert host.commit_of() == state.commit == current["commit"]
    needed = [NEEDED[name] for name in model.state.wanted | model.state.base.names]
    assert set(host.rpm_names()) == BASE.union(*needed)
    if state.layered_commit:
        assert host.parent_of(state.layered_commit) == state.base_commit
    # Every way through the events leads to the same state, at every transaction of the past.
    events = list(journal.events())
    assert fold(events) == projection
    half = len(events) // 2
    snapshot = msgspec.json.decode(msgspec.json.encode(fold(events[:half])), type=Projection)
    assert fold(events[half:], snapshot) == projection
    for number, expected in model.then.items():
        past = points.at(journal, journal.end_of(number)).host
        assert past is not None
        assert {each.spec for each in past.requested} == expected.requested
        assert {each.spec for each in past.absorbed} == expected.absorbed
        assert past.refspec == f"test:{expected.branch}"
    journal.close()

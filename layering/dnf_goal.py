"""One question to the solver, and its answer: with the base's packages locked, what is to be laid on them?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import dnf.goal
import dnf.sack
import hawkey

_NOISE = "conflicting requests"


class Unsolvable(Exception):
    """There is no answer. problems: why, as libsolv says it, one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Question:
    """What the answer must hold.

    any_of: of each of these at least one. locked: all of these. wished: of each of these one, if it can be.
    not_weakly: none of these on a recommendation alone.
    """

    any_of: Sequence[Sequence[hawkey.Package]]
    locked: Sequence[hawkey.Package] = ()
    wished: Sequence[Sequence[hawkey.Package]] = ()
    not_weakly: Sequence[hawkey.Package] = ()


@dataclass(frozen=True)
class Answer:
    """What changes beyond the base, and of the base: nothing, unless that was allowed.

    removed: the base's packages that go. replaced: the base's package and the one that takes its place.
    """

    added: Sequence[hawkey.Package]
    removed: Sequence[hawkey.Package] = ()
    replaced: Sequence[tuple[hawkey.Package, hawkey.Package]] = field(default=())


def solve(sack: dnf.sack.Sack, question: Question, base: Sequence[hawkey.Package]) -> Answer:
    """The answer that leaves these packages of the base as they are; with an empty `base`, one that need not.

    Raises:
        Unsolvable: there is none.
    """
    goal = dnf.goal.Goal(sack)
    goal.protect_running_kernel = False
    for package in (*base, *question.locked):
        # A job to install what is installed forbids its removal and replacement alike.
        goal.install(package)
    for choice in question.any_of:
        goal.install(select=_selector(sack, choice))
    for choice in question.wished:
        goal.install(select=_selector(sack, choice), optional=True)
    if question.not_weakly:
        goal.add_exclude_from_weak(sack.query().filter(pkg=list(question.not_weakly)))
    if not goal.run(allow_uninstall=not base):
        raise Unsolvable(_problems(goal))
    upgrades = [*goal.list_upgrades(), *goal.list_downgrades()]
    replaced = [(old, new) for new in upgrades for old in goal.obsoleted_by_package(new)[:1]]
    installs = goal.list_installs()
    for new in installs:
        replaced += [(old, new) for old in goal.obsoleted_by_package(new) if old.reponame == hawkey.SYSTEM_REPO_NAME]
    return Answer(added=sorted((*installs, *upgrades)), removed=sorted(goal.list_erasures()), replaced=sorted(replaced))


@contextmanager
def hidden(sack: dnf.sack.Sack, packages: Iterable[hawkey.Package]) -> Iterator[None]:
    """Meanwhile these packages are no candidates. What .repo files exclude stays excluded."""
    unseen = list(packages)
    if not unseen:
        yield
        return
    before = sack.get_excludes()
    sack.add_excludes(sack.query(flags=hawkey.IGNORE_EXCLUDES).filter(pkg=unseen))
    try:
        yield
    finally:
        sack.set_excludes(before)


def _selector(sack: dnf.sack.Sack, packages: Sequence[hawkey.Package]) -> hawkey.Selector:
    return hawkey.Selector(sack).set(pkg=list(packages))


def _problems(goal: dnf.goal.Goal) -> list[str]:
    """Why there is no answer, without repetitions and without what only says that this is so."""
    said = dict.fromkeys(rule for problem in goal.problem_rules() for rule in problem)
    return [rule for rule in said if rule != _NOISE] or list(said)

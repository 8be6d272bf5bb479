"""`cleanup`: what is no longer needed goes, and what the history needs stays. See docs/adr/0020."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from journal.events import CacheDropped, CommitsDropped, DeploymentsDropped, Payload
from journal.store import Journal
from journal.values import Package
from layering import stateroot, sync
from layering.errors import SysrootError
from layering.found_layer import read_layer
from layering.host import Decide
from layering.local_rpms import KEPT, is_held
from layering.sysroot import Deployment
from layering.upkeep import Upkeep
from layering.work import Work
from projections import retention
from projections.host import HostState

_OURS = ("base/", "key/", "commit/", KEPT)
_DOWNLOADS = "packages"


class What(msgspec.Struct, frozen=True):
    """What to clean up, as the flags of the same names say. keep: how many transactions keep their commits."""

    pending: bool = False
    rollback: bool = False
    base: bool = False
    metadata: bool = False
    keep: int = retention.LAST


class _Needed(msgspec.Struct):
    """What has to stay: refs of layer's own, name to commit, and packages."""

    refs: dict[str, str] = {}
    packages: set[Package] = set()

    def add(self, state: HostState) -> None:
        self.refs |= retention.refs_of(state)
        self.packages |= retention.packages_of(state)

    def beyond(self, refs: Iterable[str]) -> list[str]:
        """Those refs of layer's own, below `layer/`, that nothing needs."""
        ours = (name for name in refs if name.startswith(_OURS))
        return sorted(name for name in ours if name not in self.refs and not is_held(name, self.packages))


def cleanup(what: What) -> Decide:
    """Drop deployments, commits, packages and metadata that nothing needs. What is booted or pinned always stays."""

    def decide(work: Work) -> Upkeep:
        intent = _deployments(work, what)
        gone = {each for event in intent if isinstance(event, DeploymentsDropped) for each in event.deployments}
        foreseen: list[Payload] = []
        if what.base:
            needed = _needed(work, what.keep, gone)
            refs = needed.beyond(work.sysroot.refs())
            packages = work.cache.beyond(needed.packages)
            if refs or packages:
                foreseen.append(CommitsDropped(tuple(refs), packages=tuple(packages)))
        foreseen += [found for name, places in _caches(work, what).items() if (found := _measure(name, places))]
        only_deployments = not (what.base or what.metadata)
        return Upkeep(
            intent=intent,
            carry_out=_steps(work, what, gone),
            foreseen=tuple(foreseen),
            message="Deployments unchanged." if only_deployments else "Nothing to clean up.",
        )

    return decide


def _steps(work: Work, what: What, gone: set[str]) -> Callable[[], tuple[Payload, ...]]:
    def carry_out() -> tuple[Payload, ...]:
        if gone:
            work.progress.step("Dropping deployments")
            work.sysroot.drop(gone)
        dropped: list[Payload] = []
        if what.base and (commits := _drop_commits(work, what.keep)):
            dropped.append(commits)
        for name, places in _caches(work, what).items():
            if measured := _measure(name, places):
                for place in places:
                    _empty(place)
                dropped.append(measured)
        return tuple(dropped)

    return carry_out


def _deployments(work: Work, what: What) -> tuple[Payload, ...]:
    """What goes off the list. Where another deployment is the first then, that is what the host is from there on."""
    deployments = work.sysroot.deployments
    # Where nothing is booted, what would be booted next takes its place: it is neither pending nor a rollback.
    booted = next((index for index, each in enumerate(deployments) if each.booted), 0)
    going = [
        each
        for index, each in enumerate(deployments)
        if not each.pinned and ((what.pending and index < booted) or (what.rollback and index > booted))
    ]
    if not going:
        return ()
    head = next(each for each in deployments if each not in going)
    dropped = DeploymentsDropped(tuple(each.id for each in going))
    return (dropped, *_new_head(work, deployments[0], head))


def _new_head(work: Work, before: Deployment, head: Deployment) -> Iterator[Payload]:
    if head.id != before.id:
        yield sync.describe(work.sysroot, head, work.journal, work.state)


def _drop_commits(work: Work, keep: int) -> CommitsDropped | None:
    """Refs first, then objects: what is cut off in between is garbage that the next cleanup finds."""
    work.progress.step("Looking for what the history needs")
    needed = _needed(work, keep, set())
    sysroot = work.sysroot
    sysroot.hold({name: commit for name, commit in needed.refs.items() if sysroot.has_commit(commit)})
    refs = needed.beyond(sysroot.refs())
    sysroot.let_go(refs)
    work.progress.step("Pruning the repository")
    pruned = sysroot.prune()
    work.progress.step("Pruning the package cache")
    packages = work.cache.beyond(needed.packages)
    objects, size = work.cache.retain(needed.packages)
    event = CommitsDropped(
        refs=tuple(refs),
        commits=pruned.commits,
        packages=tuple(packages),
        objects=pruned.objects + objects,
        bytes=pruned.bytes + size,
    )
    return event if event != CommitsDropped() else None


def _needed(work: Work, keep: int, gone: set[str]) -> _Needed:
    """What the histories of all stateroots and all deployments need: refs and package cache are common to them.

    gone: ids of deployments that are about to be dropped.
    """
    needed = _Needed()
    for path in sorted((work.sysroot.path / "ostree/deploy").iterdir()):
        journal = stateroot.journal_path(work.sysroot.path, path.name)
        if journal.exists():
            for state in retention.kept_states(Journal.open(journal), keep):
                needed.add(state)
    dropped = {each.commit for each in work.sysroot.deployments if each.id in gone}
    staying = {each.commit for each in work.sysroot.deployments if each.id not in gone}
    for commit in work.sysroot.deployed_commits - (dropped - staying):
        layer = read_layer(work.sysroot.repo, commit)
        if layer is None:
            needed.add(HostState(base_commit=commit))
        else:
            needed.add(
                HostState(
                    base_commit=layer.base_commit,
                    layered_commit=commit,
                    layer_key=layer.layer_key,
                    packages=layer.packages or (),
                )
            )
    return needed


def _caches(work: Work, what: What) -> dict[str, list[Path]]:
    """What goes of the metadata cache: the name of what it holds, and where that is."""
    found: dict[str, list[Path]] = {}
    if work.metadata_cache.is_dir():
        for path in sorted(work.metadata_cache.iterdir()):
            is_downloads = path.name == _DOWNLOADS
            if what.base if is_downloads else what.metadata:
                found.setdefault("downloads" if is_downloads else "metadata", []).append(path)
    return found


def _measure(cache: str, places: Iterable[Path]) -> CacheDropped | None:
    paths = (path for place in places for path in (place, *place.rglob("*")))
    sizes = [each.stat().st_size for each in paths if each.is_file()]
    return CacheDropped(cache, len(sizes), sum(sizes)) if sizes else None


def _empty(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise SysrootError(f"{path} can't be removed: {error.strerror or error}") from error

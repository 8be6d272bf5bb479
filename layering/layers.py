"""From a decision to a layered commit. Only objects are added; nothing that runs is touched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import msgspec

from journal.values import Package
from layering import layer_key, layered_commit, plan
from layering.content import content_of
from layering.decision import Decision
from layering.fetching import fetch
from layering.labels import Labels
from layering.logs import log
from layering.objects import CacheBroken
from layering.policy import read_policy
from layering.relabel import Relabelling
from layering.work import Work
from projections.host import HostState

SCRIPT_MODES = ("run", "refuse", "skip")
"""What can become of packages' scripts; the first is the default."""


def commit(work: Work, decision: Decision) -> Decision:
    """The decision with its layered commit, found in the repository or composed; its local RPMs are held then.

    Raises:
        PolicyBroken: the tree has an SELinux policy that can't be used. Told even where nothing is to be labelled:
            libostree crashes when it deploys a tree whose configuration names no policy.
    """
    target = decision.target
    if target.commit and target.commit != work.state.commit:
        work.policy(target.commit)
    if target.packages and not target.layered_commit:
        decision = _layered(work, decision)
    # Not before: what could not be layered leaves nothing that would have to be cleaned up.
    work.local.hold((*target.requested, *target.absorbed))
    return decision


def _layered(work: Work, decision: Decision) -> Decision:
    target = decision.target
    composed = _found(work, target)
    if composed is None:
        target, composed = _compose(work, decision)
    content = content_of(work.repo, composed.commit)
    target = msgspec.structs.replace(target, layered_commit=composed.commit, layer_key=composed.key, content=content)
    log.debug("layered", commit=composed.commit, key=composed.key, reused=composed.reused)
    engine = msgspec.json.encode(layer_key.this_engine()).decode()
    layer: dict[str, object] = {
        "reused": composed.reused,
        "notes": composed.notes,
        "engine": engine,
        "policy": composed.policy,
    }
    return replace(decision, target=target, layer=layer, notes=(*decision.notes, *composed.notes))


def _compose(work: Work, decision: Decision) -> tuple[HostState, layered_commit.Composed]:
    damaged: set[str] = set()
    _require_sandbox(work, decision.target.packages)
    deployed = {each.commit: each.path for each in work.sysroot.deployments if each.pristine}
    while True:
        cached = fetch(work, decision)
        packages = plan.as_recorded((each.package for each in cached), work.state.packages)
        target = msgspec.structs.replace(decision.target, packages=packages)
        inputs = _inputs(work, target)
        try:
            labels = Labels(read_policy(work.repo, target.base_commit or "", cached))
            relabelling = Relabelling(work.cache, cached)
            work.progress.step("Composing the layered commit")
            composed = layered_commit.compose(
                work.repo, inputs, cached, work.scratch, deployed=deployed, labels=labels, relabel=relabelling
            )
        except CacheBroken as broken:
            # What was damaged is gone from the cache now: have it again, each package once.
            if broken.package.nevra in damaged:
                raise
            damaged.add(broken.package.nevra)
            log.warning("package cache damaged", package=broken.package.nevra)
        else:
            # What was relabelled is the cache's affair: the commit's own notes are those of its inputs alone.
            return target, msgspec.structs.replace(composed, notes=(*composed.notes, *relabelling.notes))


def _require_sandbox(work: Work, packages: Iterable[Package]) -> None:
    """Where scripts may have to run and can't, say so before anything is downloaded."""
    if work.scripts != "run":
        return
    from layering.scripted import scratch_for
    from layering.scripts import carried

    found = [work.cache.find(each) for each in packages]
    if any(cached is None or carried(cached.header) for cached in found):
        scratch_for(work.repo, work.scratch)


def _found(work: Work, target: HostState) -> layered_commit.Composed | None:
    if any(each.sha256 is None for each in target.packages):
        return None
    return layered_commit.find_layer(work.repo, layer_key.layer_key(_inputs(work, target)))


def _inputs(work: Work, target: HostState) -> layer_key.LayerInputs:
    options = {} if work.scripts == "run" else {layer_key.SCRIPTS: work.scripts}
    policy = work.policy(target.base_commit or "")
    return layer_key.layer_inputs(
        target.base_commit or "", target.packages, policy.checksum if policy else None, options
    )


def scripts_of(work: Work, target: HostState) -> str | None:
    """What became of scripts in a layer, by its key; None where no choice leads to it: another engine made it."""
    for scripts in SCRIPT_MODES:
        key = layer_key.layer_key(_inputs(replace(work, scripts=scripts), target))
        if key == target.layer_key:
            return scripts
    return None

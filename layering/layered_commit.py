"""The layered commit: base + packages, a function of its inputs and of nothing else.

The same layer key gives the same commit checksum on any machine at any time; a key that is in the repository already
is never built again. Each layered commit is held by the ref `layer/key/KEY`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import gi
import msgspec

gi.require_version("OSTree", "1.0")
from gi.repository import GLib, OSTree  # noqa: E402

from layering.base_facts import BaseFacts, base_facts  # noqa: E402
from layering.base_labels import relabel_base  # noqa: E402
from layering.base_scripts import base_of  # noqa: E402
from layering.cached_package import CachedPackage  # noqa: E402
from layering.commit_tree import coming, text_in  # noqa: E402
from layering.errors import BaseError, LayeringError, ScriptsRefused  # noqa: E402
from layering.graft import graft  # noqa: E402
from layering.labels import UNLABELLED, Labels  # noqa: E402
from layering.layer_key import SCRIPTS, LayerInputs, canonical_inputs, layer_key  # noqa: E402
from layering.layer_metadata import layer_metadata  # noqa: E402
from layering.policy import read_policy  # noqa: E402
from layering.policy_modules import REBUILD, goes_into_store, module_of, modules_first, not_taken_up  # noqa: E402
from layering.relabel import Relabel  # noqa: E402
from layering.rpmdb import (  # noqa: E402
    checkout_rpmdb,
    database_files,
    install,
    owner_of,
    package_list,
    rpmdb_directory,
)
from layering.rpmdb_objects import rpmdb_objects  # noqa: E402
from layering.scripted import Ground, graft_and_run  # noqa: E402
from layering.scripts import Plan, in_order, plan_scripts  # noqa: E402

KEY_PREFIX = "layer/key"


class Composed(msgspec.Struct, frozen=True):
    """A layered commit in the repository.

    notes: what was left out of it. reused: it was there already. policy: checksum of the SELinux policy that its files
    are labelled with, None for none.
    """

    commit: str
    key: str
    notes: tuple[str, ...] = ()
    reused: bool = False
    policy: str | None = None


def find_layer(repo: OSTree.Repo, key: str) -> Composed | None:
    """The layered commit with this key, where the repository has it whole."""
    try:
        _, commit = repo.resolve_rev(f"{KEY_PREFIX}/{key}", True)
        if commit is None:
            return None
        _, variant, state = repo.load_commit(commit)
        repo.read_commit(commit)  # its root is there
    except GLib.Error:
        return None
    metadata = variant.get_child_value(0)
    if state != OSTree.RepoCommitState.NORMAL or text_in(metadata, "layer.key") != key:
        return None
    notes = metadata.lookup_value("layer.notes", GLib.VariantType("as"))
    policy = text_in(metadata, "layer.policy")
    return Composed(commit, key, tuple(notes.unpack() if notes else ()), reused=True, policy=policy)


def compose(
    repo: OSTree.Repo,
    inputs: LayerInputs,
    packages: Sequence[CachedPackage],
    scratch: Path,
    *,
    deployed: Mapping[str, Path] | None = None,
    labels: Labels = UNLABELLED,
    relabel: Relabel | None = None,
) -> Composed:
    """Find the layered commit of these inputs, or write it; until it is whole only objects were added.

    Args:
        packages: those that `inputs` names, from the cache.
        scratch: a directory to work in; what is made there is gone afterwards.
        deployed: directories of deployments, by their commit: where the base is on disk already.
        labels: those of the base with the packages' files on it. What the tree comes to be labelled with can be
            others yet: the packages' scripts may change the policy.
        relabel: gives the packages with other labels than they have; without it, they have to have the right ones.

    Raises:
        ScriptFailed: a script of a package failed. ScriptsUnavailable: there are some, and they can't be run here.
        ScriptsRefused: there are some, and the inputs' options refuse them.
        FileConflict, ImportRefused: the packages can't be laid on this base.
        CacheBroken: a cached package is damaged and was dropped: import it again and repeat.
        BaseError: the base is not in the repository, or has no rpmdb.
        LayeringError: librpm or the repository failed.
    """
    key = layer_key(inputs)
    if found := find_layer(repo, key):
        return found
    if sorted((package.nevra, package.package.sha256) for package in packages) != sorted(inputs.packages):
        raise LayeringError("the packages to lay are not those that the layer key is made from")

    def labelled(labels: Labels) -> Sequence[CachedPackage]:
        found = packages if relabel is None else relabel(labels)
        if any(package.policy != labels.checksum for package in found):
            raise LayeringError("the packages to lay are not labelled with the policy of their tree")
        return found

    facts = base_facts(repo, inputs.base)
    if repo.load_commit(inputs.base)[2] != OSTree.RepoCommitState.NORMAL:
        raise BaseError(f"base commit {inputs.base} is only in part in the repository")
    repo.prepare_transaction()
    try:
        with tempfile.TemporaryDirectory(dir=scratch, prefix="layer-") as directory:
            ground = Ground(Path(directory), deployed or {})
            composed = _write(
                repo,
                inputs=inputs,
                key=key,
                facts=facts,
                packages=packages,
                ground=ground,
                labels=labels,
                relabel=labelled,
            )
        with coming(repo, composed.commit):
            repo.commit_transaction()
    except (GLib.Error, OSError) as error:
        repo.abort_transaction()
        reason = error.message if isinstance(error, GLib.Error) else error
        raise LayeringError(f"the layered commit could not be written: {reason}") from error
    except BaseException:
        repo.abort_transaction()
        raise
    return composed


def _write(
    repo: OSTree.Repo,
    *,
    inputs: LayerInputs,
    key: str,
    facts: BaseFacts,
    packages: Sequence[CachedPackage],
    ground: Ground,
    labels: Labels,
    relabel: Relabel,
) -> Composed:
    scratch = ground.scratch
    untouched = scratch / "base"

    def base_owner(path: str) -> tuple[str, int] | None:
        if not untouched.exists():
            checkout_rpmdb(repo, inputs.base, untouched)
        return owner_of(untouched, path)

    timestamp = max([facts.timestamp, *(package.build_time for package in packages)])
    root = scratch / "root"
    checkout_rpmdb(repo, inputs.base, root)
    # Where there is no policy, modules are files like others.
    modules = [each.header for each in packages if module_of(each.header)] if labels.policy else []
    plan = _plan(root, packages, inputs.options, bool(modules))
    if not (plan and modules):
        packages = relabel(labels)  # else what scripts make of the policy has to be seen first
    install(root, [package.prefix for package in packages], timestamp)
    directory = rpmdb_directory(repo, inputs.base)
    with rpmdb_objects(repo, inputs.base, directory, database_files(root), labels) as database:
        if plan:
            repo.abort_transaction()  # the scripts run outside of any
            grafted, final = graft_and_run(
                repo,
                inputs.base,
                packages,
                base_owner,
                plan=plan,
                ground=ground,
                rpmdb=directory,
                timestamp=timestamp,
                labels=labels,
                relabel=relabel,
            )
        else:
            grafted, final = graft(repo, inputs.base, packages, base_owner, labels), labels
        notes = [*grafted.notes, *(not_taken_up(modules) if final.checksum == labels.checksum else ())]
        if final.checksum != (inputs.policy or "") and (
            count := relabel_base(repo, grafted.tree, Labels(read_policy(repo, inputs.base)), final)
        ):
            notes.append(f"files and directories of the base that the layer's policy gives another label: {count}")
        database.put(grafted.tree, final)
    canonical = canonical_inputs(inputs)
    metadata = layer_metadata(
        repo,
        inputs.base,
        canonical,
        key=key,
        packages=packages,
        notes=notes,
        installed=lambda: package_list(root),
        policy=final.checksum,
    )
    _, tree = repo.write_mtree(grafted.tree)
    _, commit = repo.write_commit_with_time(inputs.base, "Layered commit", "", metadata, tree, timestamp)
    repo.transaction_set_ref(None, f"{KEY_PREFIX}/{key}", commit)
    return Composed(commit, key, tuple(notes), policy=final.checksum or None)


def _plan(root: Path, packages: Sequence[CachedPackage], options: Mapping[str, str], modules: bool) -> Plan:
    """What is to run, the base's triggers among it. root: of the base's rpmdb. modules: packages bring policy modules.

    Building the policy from what packages have put into the module store is no script of theirs: it can be neither
    refused nor skipped.
    """
    headers = in_order(package.header for package in packages)
    rebuild = (REBUILD,) if modules and any(map(goes_into_store, headers)) else ()
    mode = options.get(SCRIPTS)
    if mode == "skip":
        return Plan(after=rebuild)
    plan = plan_scripts(modules_first(headers) if modules else headers, base_of(root))
    if mode == "refuse" and plan.scripts:
        raise ScriptsRefused(f"Scripts would have to run: {'; '.join(map(str, plan.scripts))}")
    return replace(plan, after=(*rebuild, *plan.after))

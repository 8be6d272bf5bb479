"""The layered commit: base + packages, a function of its inputs and of nothing else.

The same layer key gives the same commit checksum on any machine at any time; a key that is in the repository already
is never built again. Each layered commit is held by the ref `layer/key/KEY`.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import gi
import msgspec
import rpm

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

from journal.events import Package  # noqa: E402
from layering.base_scripts import base_of  # noqa: E402
from layering.cached_package import CachedPackage  # noqa: E402
from layering.commit_tree import read_text  # noqa: E402
from layering.errors import BaseError, LayeringError, ScriptsRefused  # noqa: E402
from layering.graft import BaseOwner, Grafted, graft  # noqa: E402
from layering.labels import UNLABELLED, Labels, with_label  # noqa: E402
from layering.layer_metadata import layer_metadata  # noqa: E402
from layering.rpmdb import (  # noqa: E402
    checkout_rpmdb,
    coloured_owner_of,
    database_files,
    install,
    package_list,
    rpmdb_directory,
)
from layering.scripted import Ground, graft_and_run  # noqa: E402
from layering.scripts import Plan, in_order, plan_scripts  # noqa: E402
from layering.trees import join, lookup  # noqa: E402

FORMAT = 3
"""Of our layers: what else than librpm and SQLite decides on their bytes. Counted up when that changes."""

KEY_PREFIX = "layer/key"

SCRIPTS = "scripts"
"""The option that says what becomes of scripts: run (the default, not written down), refuse or skip."""


class Engine(msgspec.Struct, frozen=True):
    """What makes layers: our format, librpm's and SQLite's versions."""

    format: int
    librpm: str
    sqlite: str


class LayerInputs(msgspec.Struct, frozen=True):
    """Everything that a layered commit is a function of.

    base: commit checksum. packages: NEVRA and SHA-256 of the RPM. policy: checksum of the base's SELinux policy, None
    for none; what packages make of it follows from them.
    """

    base: str
    packages: tuple[tuple[str, str], ...]
    engine: Engine
    policy: str | None = None
    options: dict[str, str] = {}


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


class BaseFacts(msgspec.Struct, frozen=True):
    """What a base commit says of itself. timestamp: seconds since the epoch. os_release: see os-release(5)."""

    commit: str
    version: str | None
    timestamp: int
    os_release: dict[str, str]


def layer_inputs(
    base: str, packages: Iterable[Package], policy: str | None = None, options: dict[str, str] | None = None
) -> LayerInputs:
    """The inputs of a layer of these packages, made by this engine. Every package's checksum has to be known."""
    pairs = sorted((package.nevra, package.sha256 or "") for package in packages)
    return LayerInputs(base, tuple(pairs), this_engine(), policy, dict(options or {}))


def canonical_inputs(inputs: LayerInputs) -> str:
    """The inputs as JSON: keys and packages sorted, no spaces."""
    plain = msgspec.to_builtins(inputs)
    plain["packages"] = sorted(plain["packages"])
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def layer_key(inputs: LayerInputs) -> str:
    """The SHA-256, hex, of the inputs as canonical JSON. Pure."""
    return hashlib.sha256(canonical_inputs(inputs).encode()).hexdigest()


@functools.cache
def this_engine() -> Engine:
    """The engine of this process; SQLite's version is that of the library that librpm is linked with."""
    try:
        library = ctypes.CDLL("libsqlite3.so.0")
        library.sqlite3_libversion.restype = ctypes.c_char_p
        sqlite = library.sqlite3_libversion().decode()
    except OSError:
        sqlite = "none"
    return Engine(FORMAT, rpm.__version__, sqlite)


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
    if state != OSTree.RepoCommitState.NORMAL or _text(metadata, "layer.key") != key:
        return None
    notes = metadata.lookup_value("layer.notes", GLib.VariantType("as"))
    policy = _text(metadata, "layer.policy")
    return Composed(commit, key, tuple(notes.unpack() if notes else ()), reused=True, policy=policy)


def base_facts(repo: OSTree.Repo, commit: str) -> BaseFacts:
    """What the commit says of itself.

    Raises:
        BaseError: it is not in the repository.
    """
    try:
        _, variant, _ = repo.load_commit(commit)
        release = _os_release(repo, commit)
    except GLib.Error as error:
        raise BaseError(f"base commit {commit} is not in the repository: {error.message}") from error
    version = _text(variant.get_child_value(0), "version")
    return BaseFacts(commit, version, int(OSTree.commit_get_timestamp(variant)), release)


def compose(
    repo: OSTree.Repo,
    inputs: LayerInputs,
    packages: Sequence[CachedPackage],
    scratch: Path,
    *,
    deployed: Mapping[str, Path] | None = None,
    labels: Labels = UNLABELLED,
) -> Composed:
    """Find the layered commit of these inputs, or write it; until it is whole only objects were added.

    Args:
        packages: those that `inputs` names, from the cache.
        scratch: a directory to work in; what is made there is gone afterwards.
        deployed: directories of deployments, by their commit: where the base is on disk already.
        labels: those of the tree that comes out; the packages have to be labelled with them.

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
    if any(package.policy != labels.checksum for package in packages):
        raise LayeringError("the packages to lay are not labelled with the policy of their tree")
    facts = base_facts(repo, inputs.base)
    if repo.load_commit(inputs.base)[2] != OSTree.RepoCommitState.NORMAL:
        raise BaseError(f"base commit {inputs.base} is only in part in the repository")
    repo.prepare_transaction()
    try:
        with tempfile.TemporaryDirectory(dir=scratch, prefix="layer-") as directory:
            ground = Ground(Path(directory), deployed or {})
            composed = _write(
                repo, inputs=inputs, key=key, facts=facts, packages=packages, ground=ground, labels=labels
            )
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
) -> Composed:
    scratch = ground.scratch
    untouched = scratch / "base"

    def base_owner(path: str) -> tuple[str, int] | None:
        if not untouched.exists():
            checkout_rpmdb(repo, inputs.base, untouched)
        return coloured_owner_of(untouched, path)

    timestamp = max([facts.timestamp, *(package.build_time for package in packages)])
    root = scratch / "root"
    checkout_rpmdb(repo, inputs.base, root)
    plan = _plan(root, packages, inputs.options)
    grafted = _graft(
        repo, inputs.base, packages, base_owner, plan=plan, ground=ground, timestamp=timestamp, labels=labels
    )
    install(root, [package.prefix for package in packages], timestamp)
    _replace_rpmdb(repo, grafted.tree, rpmdb_directory(repo, inputs.base), database_files(root), labels)
    canonical = canonical_inputs(inputs)
    metadata = layer_metadata(
        repo,
        inputs.base,
        canonical,
        key=key,
        packages=packages,
        notes=grafted.notes,
        installed=lambda: package_list(root),
        policy=labels.checksum,
    )
    _, tree = repo.write_mtree(grafted.tree)
    _, commit = repo.write_commit_with_time(inputs.base, "Layered commit", "", metadata, tree, timestamp)
    repo.transaction_set_ref(None, f"{KEY_PREFIX}/{key}", commit)
    return Composed(commit, key, grafted.notes, policy=labels.checksum or None)


def _plan(root: Path, packages: Sequence[CachedPackage], options: Mapping[str, str]) -> Plan:
    """Which scripts are to run, the base's triggers among them. root: of the base's rpmdb."""
    mode = options.get(SCRIPTS)
    if mode == "skip":
        return Plan()
    plan = plan_scripts(in_order(package.header for package in packages), base_of(root))
    if mode == "refuse" and plan.scripts:
        raise ScriptsRefused(f"Scripts would have to run: {'; '.join(map(str, plan.scripts))}")
    return plan


def _graft(
    repo: OSTree.Repo,
    base: str,
    packages: Sequence[CachedPackage],
    base_owner: BaseOwner,
    *,
    plan: Plan,
    ground: Ground,
    timestamp: int,
    labels: Labels,
) -> Grafted:
    if not plan:
        return graft(repo, base, packages, base_owner, labels)
    # The scripts run outside of any transaction.
    repo.abort_transaction()
    rpmdb = rpmdb_directory(repo, base)
    return graft_and_run(
        repo, base, packages, base_owner, plan=plan, ground=ground, rpmdb=rpmdb, timestamp=timestamp, labels=labels
    )


def _replace_rpmdb(
    repo: OSTree.Repo, tree: OSTree.MutableTree, directory: str, files: Iterable[Path], labels: Labels
) -> None:
    """Put the database's files where the base has them, with the mode, owner and attributes they have there.

    Their labels are the policy's own, where there is a policy.
    """
    for name in directory.split("/"):
        tree = lookup(tree, name)
    for path in files:
        uid, gid, mode, attributes = 0, 0, 0o100644, None
        there = lookup(tree, path.name)
        if isinstance(there, str):
            _, _, info, attributes = repo.load_file(there)
            uid, gid, mode = (info.get_attribute_uint32(f"unix::{key}") for key in ("uid", "gid", "mode"))
        if labels.policy:
            attributes = with_label(attributes, labels.label(join(directory, path.name), mode))
        tree.replace_file(path.name, _write_file(repo, path, uid=uid, gid=gid, mode=mode, attributes=attributes))


def _write_file(
    repo: OSTree.Repo, path: Path, *, uid: int, gid: int, mode: int, attributes: GLib.Variant | None
) -> str:
    """A file of our own into the repository. The database is by far the largest file of a layer, and GLib's SHA-256
    takes several times as long as OpenSSL's: the object's checksum is computed here, and libostree told."""
    info = Gio.FileInfo()
    info.set_file_type(Gio.FileType.REGULAR)
    size = path.stat().st_size
    info.set_size(size)
    for key, value in (("uid", uid), ("gid", gid), ("mode", mode)):
        info.set_attribute_uint32(f"unix::{key}", value)

    def content() -> tuple[Gio.InputStream, int]:
        opened = Gio.File.new_for_path(str(path)).read()
        _, stream, length = OSTree.raw_file_to_content_stream(opened, info, attributes or GLib.Variant("a(ayay)", []))
        return stream, length

    stream, length = content()
    digest = hashlib.sha256(stream.read_bytes(length - size).get_data())
    stream.close()
    with path.open("rb") as file:
        hashlib.file_digest(file, lambda: digest)
    repo.write_content_trusted(digest.hexdigest(), *content())
    return digest.hexdigest()


def _text(metadata: GLib.Variant, key: str) -> str | None:
    value = metadata.lookup_value(key, GLib.VariantType("s"))
    return None if value is None else str(value.get_string())


def _os_release(repo: OSTree.Repo, commit: str) -> dict[str, str]:
    places = ("usr/lib/os-release", "usr/etc/os-release", "etc/os-release")
    texts = (read_text(repo, commit, place) for place in places)
    return parse_os_release(next((text for text in texts if text is not None), ""))


def parse_os_release(text: str) -> dict[str, str]:
    """Assignments as in os-release(5): NAME=value, shell quotes taken off."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            quoted = len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]
            found[name] = value[1:-1].replace('\\"', '"').replace("\\$", "$") if quoted else value
    return found

"""Base commits: what a refspec leads to, and the commit brought into the repository."""

from __future__ import annotations

import re
from pathlib import Path

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import Gio, GLib, OSTree  # noqa: E402

from layering.base_facts import commit_version  # noqa: E402
from layering.commit_tree import is_whole  # noqa: E402
from layering.errors import BaseError, Refused  # noqa: E402
from layering.progress import Progress  # noqa: E402
from layering.rpmdb import PLACES  # noqa: E402

_RPMDB = tuple(f"/{place}" for place in PLACES)
_CHECKSUM = re.compile(r"[0-9a-f]{64}")
_ABBREVIATED = re.compile("[0-9a-f]{7,63}")


class RefspecEqual(Refused):
    """A rebase to what the host follows already."""

    id = "refspec-equal"


class NoRefspec(Refused):
    """The host follows no refspec that could lead to another base."""

    id = "no-refspec"


class Older(BaseError):
    """An upgrade would lead to a base older than the present one."""

    id = "base-older"


def split(refspec: str) -> tuple[str | None, str]:
    """Remote (None for a local branch) and branch of a refspec.

    Raises:
        BaseError: it is none.
    """
    try:
        _, remote, branch = OSTree.parse_refspec(refspec)
    except GLib.Error as error:
        raise BaseError(f"{refspec!r} is not a refspec: {error.message}") from error
    return remote, branch


def complete(repo: OSTree.Repo, refspec: str, current: str | None) -> str:
    """The refspec to rebase to, as `rpm-ostree rebase` reads it.

    `BRANCH` alone is a local branch of that name where there is one, else a branch of the present remote; `REMOTE:`
    is the present branch of another remote. A checksum alone is that very commit, see `is_commit`.
    """
    remote, branch = split(current) if current else (None, "")
    if refspec.endswith(":"):
        return f"{refspec}{branch}"
    if ":" in refspec or remote is None or resolve(repo, refspec):
        return refspec.removeprefix(":")
    return f"{remote}:{refspec}"


def is_commit(refspec: str) -> bool:
    """Whether the refspec names one commit, by its checksum, instead of a branch: it never moves."""
    return _CHECKSUM.fullmatch(split(refspec)[1]) is not None


def resolve(repo: OSTree.Repo, refspec: str) -> str | None:
    """The commit that the repository's own ref points to, None where it has no such ref.

    A branch without a remote is a local one: libostree's plain `resolve_rev` would take any remote's instead.
    """
    name = split(refspec)[1] if is_commit(refspec) else refspec
    try:
        _, commit = repo.resolve_rev_ext(name, True, OSTree.RepoResolveRevExtFlags.NONE)
    except GLib.Error:
        return None
    return str(commit) if commit else None


def newest(repo: OSTree.Repo, refspec: str, progress: Progress) -> str:
    """The newest commit of the refspec, pulled whole.

    Raises:
        BaseError: no such remote or branch, or the pull failed.
    """
    remote, branch = split(refspec)
    if remote:
        progress.step(f"Pulling {refspec}")
        _pull(repo, remote, branch, what=refspec)
    commit = resolve(repo, refspec)
    if not commit:
        raise BaseError(f"Refspec {refspec} not found: the repository has no such branch")
    return commit


def peek(repo: OSTree.Repo, refspec: str, revision: str | None, scratch: Path) -> tuple[OSTree.Repo, str]:
    """What `newest` or `at_revision` would lead to, with its rpmdb and no more, and where it is to be read.

    From a remote it comes into a scratch repository: nothing is written to the sysroot's.
    """
    remote, branch = split(refspec)
    if not remote:
        return repo, at_hand(repo, refspec, revision)
    preview = _scratch_repository(repo, remote, scratch)
    if revision is not None:
        _pull(preview, remote, branch, what=refspec, depth=-1, flags=OSTree.RepoPullFlags.COMMIT_ONLY)
        branch = _find(preview, refspec, revision)
    if revision is None or not is_whole(repo, branch):
        _pull(preview, remote, branch, what=refspec, subdirs=_RPMDB)
    commit = branch if revision is not None else resolve(preview, refspec)
    if commit is None:
        raise BaseError(f"Refspec {refspec} not found")
    return (repo, commit) if is_whole(repo, commit) else (preview, commit)


def at_hand(repo: OSTree.Repo, refspec: str, revision: str | None) -> str:
    """What the refspec, or the revision on it, is in this repository; nothing is pulled.

    Raises:
        BaseError: it is not there.
    """
    commit = resolve(repo, refspec) if revision is None else _find(repo, refspec, revision)
    if commit is None or not is_whole(repo, commit):
        raise BaseError(f"Refspec {refspec} not found: the repository has no such branch")
    return commit


def at_revision(repo: OSTree.Repo, refspec: str, revision: str, progress: Progress) -> str:
    """The commit of that version or checksum on the branch of the refspec, pulled whole.

    Raises:
        BaseError: the branch has no such version or commit.
    """
    remote, branch = split(refspec)
    if remote:
        progress.step(f"Looking for {revision} in {refspec}")
        _pull(repo, remote, branch, what=refspec, depth=-1, flags=OSTree.RepoPullFlags.COMMIT_ONLY)
    commit = _find(repo, refspec, revision)
    ensure(repo, refspec, commit, progress)
    return commit


def _find(repo: OSTree.Repo, refspec: str, revision: str) -> str:
    """The commit of a version or checksum among the commits of the branch that are known here."""
    kind, _, value = revision.rpartition("=")
    if kind not in ("", "version", "revision"):
        raise BaseError(f"{revision!r} is neither version=VERSION nor revision=CHECKSUM")
    by_checksum = kind != "version" and _CHECKSUM.fullmatch(value) is not None
    commit = resolve(repo, refspec)
    while commit:
        try:
            _, variant, _ = repo.load_commit(commit)
        except GLib.Error:
            break
        if (commit if by_checksum else commit_version(variant)) == value:
            return commit
        commit = OSTree.commit_get_parent(variant)
    hint = "A checksum is said in full, as `layer status -v` shows it." if _ABBREVIATED.fullmatch(value) else None
    raise BaseError(f"{'Commit' if by_checksum else 'Version'} {value} not found in {refspec}", hint=hint)


def ensure(repo: OSTree.Repo, refspec: str, commit: str, progress: Progress) -> None:
    """Have this very commit whole, pulled by its checksum where it is not.

    Raises:
        BaseError: it is neither here nor at the remote.
    """
    if is_whole(repo, commit):
        return
    remote, _ = split(refspec)
    if not remote:
        raise _gone(refspec, commit)
    progress.step(f"Pulling {commit[:12]} from {remote}")
    _pull(repo, remote, commit, what=f"commit {commit} of {refspec}")


def peek_commit(repo: OSTree.Repo, refspec: str, commit: str, scratch: Path, *, offline: bool) -> OSTree.Repo:
    """Where this very commit's rpmdb is to be read: here, or out of its remote in a scratch repository, as in `peek`.

    Raises:
        BaseError: it is neither here nor, unless `offline`, at the remote.
    """
    if is_whole(repo, commit):
        return repo
    remote, _ = split(refspec)
    if not remote:
        raise _gone(refspec, commit)
    if offline:
        raise BaseError("It is not in the repository, and no network was to be used")
    preview = _scratch_repository(repo, remote, scratch)
    _pull(preview, remote, commit, what=f"commit {commit} of {refspec}", subdirs=_RPMDB)
    return preview


def _gone(refspec: str, commit: str) -> BaseError:
    return BaseError(f"Base commit {commit} is gone from the repository, and {refspec} is a local branch")


def _pull(
    repo: OSTree.Repo,
    remote: str,
    ref: str,
    *,
    what: str,
    depth: int = 0,
    flags: int = OSTree.RepoPullFlags.NONE,
    subdirs: tuple[str, ...] = (),
) -> None:
    options = {
        "refs": GLib.Variant("as", [ref]),
        "depth": GLib.Variant("i", depth),
        "flags": GLib.Variant("i", int(flags)),
    }
    if subdirs:
        options["subdirs"] = GLib.Variant("as", subdirs)
    try:
        repo.pull_with_options(remote, GLib.Variant("a{sv}", options), None, None)
    except GLib.Error as error:
        raise BaseError(f"Refspec {what} can't be had: {error.message}") from error


def _scratch_repository(repo: OSTree.Repo, remote: str, scratch: Path) -> OSTree.Repo:
    """A repository that knows this one remote, with its settings and keys."""
    preview = OSTree.Repo.new(Gio.File.new_for_path(str(scratch / "preview")))
    preview.create(OSTree.RepoMode.BARE_USER_ONLY, None)
    ours, theirs, group = repo.copy_config(), preview.copy_config(), f'remote "{remote}"'
    try:
        _, url = repo.remote_get_url(remote)
        theirs.set_string(group, "url", url)
        for key in ours.get_keys(group)[0] if ours.has_group(group) else ():
            theirs.set_value(group, key, ours.get_value(group, key))
    except GLib.Error as error:
        raise BaseError(f"Remote {remote!r} is not known: {error.message}") from error
    theirs.set_string("core", "parent", repo.get_path().get_path())
    preview.write_config(theirs)
    keyring = Path(repo.get_path().get_path()) / f"{remote}.trustedkeys.gpg"
    if keyring.exists():
        (scratch / "preview" / keyring.name).write_bytes(keyring.read_bytes())
    preview.reload_config(None)
    return preview

"""A tree with its packages' scripts run: from the graft to what they changed, objects only.

The users come first, then %pre of all packages, both with the packages' files there but for those of users to be: they
are root's and have no special bits. Then the packages are laid again for their owners, and the other scripts run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import gi

gi.require_version("OSTree", "1.0")
from gi.repository import OSTree  # noqa: E402

from layering.accounts import Accounts, parse_accounts  # noqa: E402
from layering.cached_package import CachedPackage  # noqa: E402
from layering.commit_tree import find_path  # noqa: E402
from layering.graft import BaseOwner, Grafted, graft  # noqa: E402
from layering.image_accounts import merged, parted  # noqa: E402
from layering.labels import Labels  # noqa: E402
from layering.labels_after import labels_after  # noqa: E402
from layering.logs import log  # noqa: E402
from layering.lowers import base_checkout, clear_away, lay_out_changes, temporary, work_directory  # noqa: E402
from layering.overlay import find_scratch, mounted  # noqa: E402
from layering.relabel import Relabel  # noqa: E402
from layering.sandbox import Sandbox, ScriptFailed, time_limit  # noqa: E402
from layering.scratch_var import ScratchVar  # noqa: E402
from layering.scripts import Plan, Script  # noqa: E402
from layering.upper import absorb  # noqa: E402

_ACCOUNTS = ("passwd", "group")
_LEFTOVERS = (".pwd.lock", "passwd-", "group-", "shadow-", "gshadow-", "subuid-", "subgid-")
# Without these an image does not boot, or is none. Scripts may remove other files of the base.
_ESSENTIAL = (
    "usr/bin",
    "usr/lib",
    "usr/lib/os-release",
    "usr/lib/modules/*/vmlinuz",
    "usr/lib/modules/*/initramfs.img",
)


@dataclass(frozen=True)
class Ground:
    """Where scripts run. deployed: commits of bases that are deployed, and where. scratch: to work in, if need be."""

    scratch: Path
    deployed: Mapping[str, Path] = field(default_factory=dict)


def scratch_for(repo: OSTree.Repo, scratch: Path) -> Path:
    """Where overlays can be made: in the sysroot, else in `scratch`.

    Raises:
        ScriptsUnavailable: nowhere.
    """
    directory = work_directory(repo)
    clear_away(directory)
    return find_scratch([directory, scratch], directory)


def graft_and_run(
    repo: OSTree.Repo,
    base: str,
    packages: Sequence[CachedPackage],
    base_owner: BaseOwner,
    *,
    plan: Plan,
    ground: Ground,
    rpmdb: str,
    timestamp: int,
    labels: Labels,
    relabel: Relabel,
) -> tuple[Grafted, Labels]:
    """Lay the packages onto the base and run their scripts; ends inside a transaction that it opened.

    Returns the labels as well that the tree has, by the SELinux policy that the scripts left.

    Args:
        rpmdb: where the tree keeps it: what scripts do to it is dropped.
        timestamp: what the scripts may take for now, seconds since the epoch.
        labels: of the tree before the scripts run. relabel: the packages with those that come out.

    Raises:
        ScriptFailed: one of them failed. ScriptsUnavailable: they can't be run here. And what `graft` raises.
    """
    with temporary(scratch_for(repo, ground.scratch)) as work:
        stage = _Stage(work, _lower(repo, base, ground), rpmdb, timestamp, time_limit())
        laid = work / "first"
        makes_users = bool(plan.sysusers or plan.before)
        accounts: Accounts | None = None
        grafted = _lay(
            repo, base, laid, lambda: graft(repo, base, packages, base_owner, labels, provisional=makes_users)
        )
        if makes_users:
            with stage.set(laid) as tree:
                tree.make_users(plan.sysusers)
                tree.run(plan.before)
            accounts = tree.accounts
            if any(package.attributes.owners for package in packages):
                laid = work / "second"
                grafted = _lay(
                    repo, base, laid, lambda: graft(repo, base, packages, base_owner, labels, accounts=accounts)
                )
        if plan.after:
            with stage.set(laid) as tree:
                tree.run(plan.after)
        repo.prepare_transaction()
        upper = work / "upper"
        notes = absorb(repo, grafted.tree, upper, rpmdb, labels)
        final = labels_after(repo, grafted.tree, upper, labels)
        if any(package.policy != final.checksum for package in packages) or final.checksum != labels.checksum:
            grafted = graft(repo, base, relabel(final), base_owner, final, accounts=accounts)
            notes = absorb(repo, grafted.tree, upper, rpmdb, final)
    return Grafted(grafted.tree, (*grafted.notes, *stage.notes, *stage.var.notes, *notes)), final


def _lay(repo: OSTree.Repo, base: str, target: Path, lay: Callable[[], Grafted]) -> Grafted:
    """Write a grafted tree's objects, and lay out on disk what it has and the base has not."""
    # Nothing refers to it yet: the sync of the transaction that writes the commit, of the whole file system, is enough.
    unsynced = repo.get_disable_fsync()
    repo.set_disable_fsync(True)
    try:
        repo.prepare_transaction()
        grafted = lay()
        _, root = repo.write_mtree(grafted.tree)
        repo.commit_transaction()  # only what is in the repository for good can be linked to
    finally:
        repo.set_disable_fsync(unsynced)
    lay_out_changes(repo, base, root, target)
    return grafted


def _lower(repo: OSTree.Repo, base: str, ground: Ground) -> Path:
    """The base on disk: as it is deployed, else a checkout that is kept."""
    deployed = ground.deployed.get(base)
    # Where a commit has no /usr/etc, a deployment of it is laid out in another way.
    if deployed is not None and find_path(repo, base, "usr/etc") is not None:
        return deployed
    return base_checkout(repo, base)


@dataclass
class _Stage:
    """What all trees of one layer have in common. notes: what the administrator should know."""

    work: Path
    lower: Path
    rpmdb: str
    timestamp: int
    timeout: float
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.var = ScratchVar(self.work / "var")

    @contextmanager
    def set(self, packages: Path) -> Iterator[_Tree]:
        """The tree with these packages and all that was written to it so far; its users in one file while it is."""
        with mounted(self.work, [packages, self.lower]) as overlay:
            etc = "usr/etc" if (overlay.root / "usr/etc").is_dir() else "etc"
            sandbox = Sandbox(overlay, self.work, etc, self.var.path, self.timestamp, self.timeout)
            tree = _Tree(sandbox, self.rpmdb, self.var, self.notes)
            self.var.prepare(overlay.root, packages, tree.read_accounts())
            before = {name: tree.merge_accounts(name) for name in _ACCOUNTS}
            yield tree
            for name, texts in before.items():
                tree.part_accounts(name, texts)
            tree.clear_away()
            tree.accounts = tree.read_accounts()
            self.var.conclude(overlay.root, tree.accounts)


class _Tree:
    """A mounted tree. var: what its scripts have for /var. accounts: the users and groups that it was left with."""

    def __init__(self, sandbox: Sandbox, rpmdb: str, var: ScratchVar, notes: list[str]) -> None:
        self.sandbox = sandbox
        self.var = var
        self.root = sandbox.overlay.root
        self.etc = self.root / sandbox.etc
        self.notes = notes
        self.accounts = Accounts()
        self.essential = [path for each in (*_ESSENTIAL, rpmdb) for path in sorted(self.root.glob(each))]
        self.leftovers = [name for name in _LEFTOVERS if not os.path.lexists(self.etc / name)]

    def make_users(self, fragments: Sequence[str]) -> None:
        """Apply sysusers.d(5) fragments by the tree's own systemd-sysusers.

        Raises:
            ScriptFailed: it failed.
        """
        if not fragments:
            return
        if not (self.root / "usr/bin/systemd-sysusers").exists():
            self.notes.append(f"{', '.join(fragments)}: not applied, the base has no systemd-sysusers")
            return
        outcome = self.sandbox.call("/usr/bin/systemd-sysusers", *fragments)
        if outcome.status != 0:
            raise ScriptFailed(f"systemd-sysusers could not apply {', '.join(fragments)}: {outcome.output}")

    def run(self, scripts: Sequence[Script]) -> None:
        """Run scripts, one after the other.

        Raises:
            ScriptFailed: one failed, or removed what no image can be without.
        """
        for script in scripts:
            output = self.sandbox.run(script)
            log.debug("script", script=str(script), output=output)
            self.var.attribute(str(script))
            gone = [str(path.relative_to(self.root)) for path in self.essential if not os.path.lexists(path)]
            if gone:
                named = ", ".join(f"/{path}" for path in gone[:3])
                raise ScriptFailed(f"{script} removed {named}: without that it is no image to boot")

    def read_accounts(self) -> Accounts:
        """The users and groups that the tree knows."""
        return Accounts(*(parse_accounts(self.texts(name)) for name in _ACCOUNTS))

    def texts(self, name: str) -> tuple[str, str]:
        """passwd or group: /usr/lib's, then /etc's."""
        return _text(self.root / "usr/lib" / name) or "", _text(self.etc / name) or ""

    def merge_accounts(self, name: str) -> tuple[str, str] | None:
        """Put all users (or groups) into /etc, and return (/etc's, /usr/lib's) as they were.

        None where the image has /etc's alone.
        """
        etc, lib = _text(self.etc / name), _text(self.root / "usr/lib" / name)
        if lib is None:
            return None
        _write(self.etc / name, merged(etc or "", lib))
        return etc or "", lib

    def part_accounts(self, name: str, before: tuple[str, str] | None) -> None:
        """Put them where they belong again."""
        if before is None:
            return
        etc, lib = parted(_text(self.etc / name) or "", *before)
        _write(self.etc / name, etc)
        _write(self.root / "usr/lib" / name, lib)

    def clear_away(self) -> None:
        """Remove what the programs that make users leave behind."""
        for name in self.leftovers:
            (self.etc / name).unlink(missing_ok=True)


def _text(path: Path) -> str | None:
    # As bytes that stand for themselves: what is there may be in any encoding. A link could lead out of the tree.
    if path.is_symlink() or not path.is_file():
        return None
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _write(path: Path, text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    if path.is_symlink() or (path.is_file() and path.read_bytes() == data):
        return
    path.write_bytes(data)

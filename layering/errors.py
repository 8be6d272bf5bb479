"""layering's branch of the error tree (its root is `journal.errors.LayerError`).

LayeringError            exit 1, recorded as *failed*
├── Refused              a rule said no before any work; recorded as *refused*
│   ├── PackagesNotFound, AlreadyRequested, NotRequested, ProvidedByBase, …
│   └── SysrootLocked    exit 75
├── Cancelled            interrupted by who called it
├── SysrootError         not a sysroot, not writable, no deployment
├── BaseError            refspec or revision not found, pull failed
├── RepositoryError      unreachable, download, checksum, signature
├── ResolveError         dependencies cannot be met, or only by touching the base
├── ImportRefused        an RPM that can't be layered (paths, device nodes, scripts, broken payload)
└── FileConflict         two owners, different content
"""

from __future__ import annotations

from journal.errors import LayerError


class LayeringError(LayerError):
    """A step of layering went wrong."""

    id = "layering-error"


class Refused(LayeringError):
    """A rule said no before any work was done."""

    id = "refused"


class PackagesNotFound(Refused):
    """No repository, no base and no cache has a package that satisfies the request."""

    id = "packages-not-found"


class AlreadyRequested(Refused):
    """The administrator asked for it before."""

    id = "already-requested"


class NotRequested(Refused):
    """It was never asked for, so it can't be taken back."""

    id = "not-requested"


class ProvidedByBase(Refused):
    """The base has it already."""

    id = "provided-by-base"


class SysrootLocked(Refused):
    """Another transaction, of layer or of any other tool that uses libostree's lock, is running."""

    id = "sysroot-locked"
    exit_code = 75


class Cancelled(LayeringError):
    """Whoever called it interrupted it before it had happened."""

    id = "cancelled"


class SysrootError(LayeringError):
    """The sysroot is not one, is not writable, or has no deployment of the stateroot."""

    id = "sysroot-error"


class BaseError(LayeringError):
    """The refspec or revision is not to be had."""

    id = "base-error"


class RepositoryError(LayeringError):
    """A package repository, or a package from it, is not to be had as promised."""

    id = "repository-error"


class ChecksumMismatch(RepositoryError):
    """The RPM is not the one that the repository's metadata, or the journal, names."""

    id = "checksum-mismatch"


class SignatureError(RepositoryError):
    """The RPM is unsigned, or signed by a key that its repository does not name."""

    id = "signature-error"


class ResolveError(LayeringError):
    """The dependencies cannot be met."""

    id = "resolve-error"


class BaseWouldChange(ResolveError):
    """They can only be met by removing or replacing packages of the base."""

    id = "base-would-change"


class ImportRefused(LayeringError):
    """The RPM holds something that can't be layered."""

    id = "import-refused"


class ScriptsRefused(ImportRefused):
    """The RPM carries scripts or triggers that would have to run."""

    id = "scripts-refused"


class FileConflict(LayeringError):
    """Two owners want different content at the same path."""

    id = "file-conflict"

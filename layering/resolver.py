"""Package resolution: what goes in, what comes out, and the protocol that dnf (or later libdnf5) is behind.

Nothing here knows dnf: planning, the transaction and their tests import this module alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from journal.values import Package, Request
from layering.plan import Policy
from layering.progress import Progress

LOCAL = "@local"
"""`Package.repository` of an RPM that came as a file."""


@dataclass(frozen=True, slots=True)
class Universe:
    """All that a resolution may look at; nothing else of the host is read, nothing but `cache_dir` is written.

    root: scratch directory that holds a private copy of the base's rpmdb at usr/share/rpm.
    repos_dir, vars_dir: etc/yum.repos.d and etc/dnf/vars of the merge deployment.
    etc_root: the merge deployment's directory; keys and certificates that .repo files name below /etc and /usr are
        read there.
    cache_dir: metadata and downloads. releasever, basearch: of the target tree, as dnf.conf(5) has them.
    cacheonly: use what is cached, however old, and never the network.
    """

    root: Path
    repos_dir: Path
    vars_dir: Path
    etc_root: Path
    cache_dir: Path
    releasever: str
    basearch: str
    cacheonly: bool = False


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked for.

    requests: all of them, old and new, whether or not the base has them. One with a sha256 is a local RPM, whose
        header is among `cached`.
    kept: the packages that are layered already, as recorded.
    cached: RPM files of kept packages and local RPMs, of which no more than lead, signature and header is read.
    policy: `keep` leaves every kept package where it is and adds what requests still lack; `offline` has the base and
        the kept packages alone, and drops what no request needs; `prefer` moves a kept package only where it does not
        fit, and drops likewise; `upgrade` takes the newest that there is.
    """

    requests: tuple[Request, ...]
    kept: tuple[Package, ...] = ()
    cached: Mapping[Package, Path] = field(default_factory=dict)
    policy: Policy = "keep"


@dataclass(frozen=True, slots=True)
class Resolution:
    """The outcome.

    packages: the layered set, sorted by NEVRA; never a package of the base. One that is cached is the very `Package`
        that the demand has it by. Its sha256 is None where the repository's metadata has a checksum of another kind: it
        is known when the package is downloaded.
    provided_by_base: requests that the base meets by itself, spec to the NEVRA of the base's package.
    required_by: NEVRA of a layered package to the NEVRAs of those that it is there for, sorted; only where there are.
    notes: what the administrator should hear of, one sentence each.
    """

    packages: tuple[Package, ...] = ()
    provided_by_base: Mapping[str, str] = field(default_factory=dict)
    required_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Located:
    """Packages looked for by NEVRA and checksum. found: as asked for, and with the repository that has them now."""

    found: tuple[Package, ...] = ()
    missing: tuple[Package, ...] = ()


@dataclass(frozen=True, slots=True)
class RepositoryFacts:
    """What the metadata of an enabled repository says. generated: seconds since the epoch. packages: how many."""

    id: str
    generated: int
    packages: int


@dataclass(frozen=True, slots=True)
class Match:
    """A package whose name or summary has what was searched for; of each name and architecture the newest.

    matched: `name`, `summary` or `name and summary`.
    """

    name: str
    nevra: str
    summary: str
    repository: str
    matched: str


class Resolver(Protocol):
    """Resolves and downloads packages in one universe. To be closed when done with."""

    def provided_by_base(self, specs: Iterable[str]) -> dict[str, str]:
        """Those specs that the base meets, to the NEVRA of its package: by name, NEVRA, capability or path."""

    def resolve(self, demand: Demand) -> Resolution:
        """The layered set that meets the demand. No repository is loaded where none is needed.

        Raises:
            PackagesNotFound: all requests that nothing provides.
            BaseWouldChange: only possible by removing or replacing packages of the base.
            ResolveError: not possible at all.
            RepositoryError: a repository's metadata is not to be had.
        """

    def locate(self, packages: Sequence[Package]) -> Located:
        """Look for these very packages in the repositories, for building an old layer anew.

        Raises:
            RepositoryError: a repository's metadata is not to be had.
        """

    def download(self, packages: Sequence[Package], progress: Progress) -> dict[Package, Path]:
        """Have the RPM files of resolved or located packages, checksums and signatures verified.

        Returns:
            Each package, now with its sha256 and, where its repository asks for signatures, signed_by; and its file:
            within cache_dir, or where a `file://` repository has it.

        Raises:
            ChecksumMismatch: not the file that repository or journal name. SignatureError: unsigned, or not by a key
            of the repository. RepositoryError: not to be had.
        """

    def refresh(self) -> tuple[RepositoryFacts, ...]:
        """Fetch the metadata of all repositories, however young what is cached is.

        Raises:
            RepositoryError: a repository's metadata is not to be had.
        """

    def search(self, text: str) -> tuple[Match, ...]:
        """The packages of the repositories with the text in their name or summary, in whatever case; names first.

        Raises:
            RepositoryError: a repository's metadata is not to be had.
        """

    @property
    def notes(self) -> tuple[str, ...]:
        """What the administrator should hear of the repositories, one sentence each."""

    def close(self) -> None:
        """Let go of all that is open."""

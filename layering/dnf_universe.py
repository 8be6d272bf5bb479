"""dnf set up on a `Universe`: the base's packages, and on demand the cached ones and those of the repositories.

Nothing of the host takes part: no dnf.conf, no plugins, no cache or log outside `cache_dir`. Repository options are
those of dnf.conf(5) and are left to dnf, but for paths below /etc and /usr, which are read in the merge deployment.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path, PurePosixPath

import dnf
import dnf.callback
import dnf.conf
import dnf.const
import dnf.exceptions
import dnf.lock
import dnf.package
import dnf.repo
import dnf.rpm
import dnf.sack
import dnf.util
import hawkey
import libdnf.module

from journal.credentials import without_credentials
from journal.errors import as_root
from journal.printable import printable
from layering import dnf_voice
from layering.errors import RepositoryError
from layering.librpm import DBPATH, captured_log, macros
from layering.progress import Progress
from layering.resolver import RepositoryFacts, Universe

_RETRIES = 3  # of dnf's ten: what three attempts do not bring, seven more do not either
_LINKS = 40  # as many links in one path as Linux follows, path_resolution(7)


class DnfUniverse:
    """One `dnf.Base`. `sack` has the base's packages from the start.

    filelists: whether all paths of the repositories' packages are to be loaded, not only those in bin and etc.
    notes: what the administrator should hear of. loaded: whether the repositories are.
    """

    def __init__(self, universe: Universe, progress: Progress, *, filelists: bool = False) -> None:
        self.universe = universe
        self.filelists = filelists
        self.notes: list[str] = []
        self.loaded = False
        self._progress = progress
        self._cached: dict[Path, hawkey.Package] = {}
        dnf_voice.silence()
        try:
            universe.cache_dir.mkdir(parents=True, exist_ok=True)
            # Otherwise dnf takes its log that can't be opened for a broken rpmdb.
            (universe.cache_dir / dnf.const.LOG_HAWKEY).open("a").close()
        except OSError as error:
            raise RepositoryError(
                f"The metadata cache {universe.cache_dir} can't be written: {error.strerror or error}",
                hint=as_root(),
            ) from error
        self.base = dnf.Base(_configuration(universe))
        logging.captureWarnings(False)  # which dnf has just turned on
        self.sack = self._with_base()
        self.installed: list[hawkey.Package] = self.sack.query().installed().run()

    def add_cached(self, path: Path) -> hawkey.Package:
        """The package whose header is in this file, as a candidate of the repository `@commandline`."""
        if path not in self._cached:
            try:
                with captured_log():
                    self._cached[path] = self.sack.add_cmdline_package(str(path))
            except OSError as error:
                raise RepositoryError(f"The cached package {path} can't be read: {error}") from error
        return self._cached[path]

    def load_repositories(self) -> None:
        """Add the packages of all enabled repositories to the sack, once, fetching what metadata is out of date.

        Raises:
            RepositoryError: one that is not `skip_if_unavailable` can't be had.
        """
        if self.loaded:
            return
        self._read_configuration()
        lock = dnf.lock.build_metadata_lock(self.base.conf.cachedir, self.base.conf.exit_on_lock)
        with lock:
            for repo in list(self.base.repos.iter_enabled()):
                self._load(repo)
        self.sack._moduleContainer = libdnf.module.ModulePackageContainer(
            False, str(self.universe.etc_root), self.base.conf.arch, self.base.conf.persistdir
        )
        with dnf_voice.stderr() as said:
            self.base._setup_excludes_includes()
        self.notes += map(without_credentials, said)
        self.loaded = True

    def refresh(self) -> None:
        """Fetch the metadata of all enabled repositories, however young what is cached is."""
        self._read_configuration()
        for repo in list(self.base.repos.iter_enabled()):
            repo._repo.expire()
        self.load_repositories()

    def repositories(self) -> tuple[RepositoryFacts, ...]:
        """The enabled repositories, sorted by their ids."""
        query = self.sack.query(flags=hawkey.IGNORE_EXCLUDES).available()
        return tuple(
            RepositoryFacts(repo.id, int(repo._repo.getMaxTimestamp()), len(query.filter(reponame=repo.id)))
            for repo in sorted(self.base.repos.iter_enabled(), key=lambda repo: str(repo.id))
        )

    @property
    def shortcomings(self) -> str | None:
        """Why a package may be missing from the repositories, None where nothing is wrong with them."""
        none = () if any(self.base.repos.iter_enabled()) else ("No package repositories are enabled.",)
        return "\n".join(map(printable, (*self.notes, *none))) or None

    def close(self) -> None:
        """Let go of files and locks."""
        self._cached.clear()
        self.installed.clear()
        self.base.close()

    def _with_base(self) -> dnf.sack.Sack:
        """What `dnf.Base.fill_sack` does, short of the repositories."""
        conf = self.base.conf
        # libsolv notes in its cache which paths it has looked for: not having found one in less must not count in more.
        cache = self.universe.cache_dir / ("solv-filelists" if self.filelists else "solv")
        cache.mkdir(exist_ok=True)
        with macros({"_dbpath": f"/{DBPATH}"}), captured_log():
            try:
                sack = dnf.sack.Sack(
                    pkgcls=dnf.package.Package,
                    pkginitval=self.base,
                    arch=conf.arch,
                    cachedir=str(cache),
                    rootdir=conf.installroot,
                    logfile=str(self.universe.cache_dir / dnf.const.LOG_HAWKEY),
                    logdebug=False,
                )
                sack.load_system_repo(build_cache=False)
            except (hawkey.Exception, OSError) as error:
                raise RepositoryError(
                    f"The base's rpmdb in {self.universe.root / DBPATH} can't be read: {error}"
                ) from error
        sack._configure(conf.installonlypkgs, conf.installonly_limit, conf.allow_vendor_change)
        self.base._sack = sack
        return sack

    def _read_configuration(self) -> None:
        if len(self.base.repos):
            return
        with dnf_voice.warnings() as said:
            self.base.read_all_repos()
        self.notes += dict.fromkeys(without_credentials(each) for each in said if "missing name" not in each)
        for repo in self.base.repos.values():
            _read_within(repo, self.universe.etc_root)
            repo.pkgdir = str(self.universe.cache_dir / "packages" / repo.id)
            repo.set_progress_bar(_MetadataProgress(self._progress, repo.name))

    def _load(self, repo: dnf.repo.Repo) -> None:
        is_local = repo.baseurl and all(each.startswith("file:") for each in repo.baseurl)
        if is_local and not self.universe.cacheonly:
            repo._repo.expire()  # looking whether it has changed costs nothing
        with dnf_voice.warnings() as said:
            try:
                repo.load()
                self.sack.load_repo(repo._repo, build_cache=True, load_filelists=self.filelists)
                return
            except (dnf.exceptions.RepoError, hawkey.Exception) as error:
                reason = "; ".join(each for line in said for each in dnf_voice.failures(line)) or str(error).strip()
                if dnf_voice.INTERRUPTED in reason:
                    raise KeyboardInterrupt from error
        where = next(iter([*repo.baseurl, *filter(None, (repo.metalink, repo.mirrorlist))]), "no URL")
        failure = RepositoryError(
            f"Repository {repo.id} ({where}) is not to be had: {reason}",
            hint="skip_if_unavailable=1 in its .repo file does without it.",
        )
        if not repo.skip_if_unavailable:
            raise failure
        repo.disable()
        self.notes.append(f"{failure.message}. It was left out.")


def host_architecture() -> str:
    """$basearch of this machine."""
    return str(dnf.rpm.basearch(hawkey.detect_arch()))


def within(root: Path, path: str) -> Path:
    """Where this absolute path leads if `root` is the root directory, absolute links included (path_resolution(7))."""
    pending = list(reversed(PurePosixPath(path).parts[1:]))
    real = root
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            real = real.parent if real != root else root
            continue
        step = real / part
        if step.is_symlink() and (links := links + 1) <= _LINKS:
            target = PurePosixPath(step.readlink())
            if target.is_absolute():
                real = root
            pending += reversed([each for each in target.parts if each != "/"])
        else:
            real = step
    return real


def _configuration(universe: Universe) -> dnf.conf.Conf:
    conf = dnf.conf.Conf()
    conf.installroot = str(universe.root)
    for name in ("cachedir", "system_cachedir", "persistdir", "logdir"):
        setattr(conf, name, str(universe.cache_dir))
    conf.config_file_path = os.devnull
    conf.reposdir = [str(universe.repos_dir)]
    conf.plugins = False
    conf.pluginpath = conf.pluginconfpath = []
    conf.cacheonly = universe.cacheonly
    conf.keepcache = True
    conf.best = False
    conf.retries = _RETRIES
    conf.deltarpm = False
    conf.protect_running_kernel = False
    conf.substitutions.clear()
    conf.substitutions.update_from_etc("/", varsdir=[str(universe.vars_dir)])
    conf.substitutions["basearch"] = universe.basearch
    conf.arch = _architecture(universe.basearch)
    conf.releasever = universe.releasever
    major, _, minor = universe.releasever.partition(".")
    conf.substitutions |= {"releasever_major": major, "releasever_minor": minor}
    return conf


def _architecture(basearch: str) -> str:
    """What `basearch` is the base of: this machine's own, else the one of the same name, else any."""
    names = dnf.rpm._BASEARCH_MAP
    detected = hawkey.detect_arch()
    if names.get(detected) == basearch:
        return str(detected)
    fitting = sorted(name for name, base in names.items() if base == basearch)
    if not fitting:
        raise RepositoryError(f"There are no packages for the architecture {basearch}")
    return basearch if basearch in fitting else str(fitting[-1])


def _read_within(repo: dnf.repo.Repo, root: Path) -> None:
    """Make keys and certificates those of the merge deployment."""
    repo.gpgkey = [_url_within(root, each) for each in repo.gpgkey]
    for name in ("sslcacert", "sslclientcert", "sslclientkey"):
        if value := getattr(repo, name, ""):
            setattr(repo, name, str(_url_within(root, f"file://{value}")).removeprefix("file://"))


def _url_within(root: Path, url: str) -> str:
    path = url.removeprefix("file://")
    if path != url and path.startswith(("/etc/", "/usr/")):
        return f"file://{within(root, path)}"
    return url


class _MetadataProgress(dnf.callback.DownloadProgress):  # type: ignore[misc]
    """Shows metadata on its way as a step, once it is known to be more than a look."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name
        self._done = 0
        self._started = False

    def start(self, total_files: int, total_size: int, total_drpms: int = 0) -> None:
        self._done = 0
        self._started = False

    def progress(self, payload: dnf.callback.Payload, done: int) -> None:
        if not self._started and payload.download_size:
            self._started = True
            self._progress.step(f"Metadata of {self._name}", int(payload.download_size))
        if self._started and done > self._done:
            self._progress.advance(int(done) - self._done)
            self._done = int(done)

    def end(self, payload: dnf.callback.Payload, status: int, err_msg: str) -> None:
        pass

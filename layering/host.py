"""A host as the verbs see it, and the bracket around each transaction on it.

lock -> sync -> started -> decide -> carry out -> prepared -> deployment switch -> committed. What goes wrong on the way
is recorded as refused or failed, and the host is what it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from gi.repository import GLib

from journal.errors import LayerError, SystemFailed
from journal.events import (
    Payload,
    TransactionCommitted,
    TransactionInterrupted,
    TransactionPrepared,
    TransactionUnchanged,
)
from journal.identifiers import Clock, system_clock
from journal.store import Journal
from journal.values import Context
from layering import layers, stateroot, sync
from layering.decision import Decision
from layering.errors import Cancelled, SysrootError
from layering.fetching import fetch
from layering.logs import log
from layering.plan import after, needs_deployment
from layering.progress import Progress, Silent
from layering.resolver import Resolver
from layering.result import Result, as_recorded
from layering.sysroot import Sysroot
from layering.transaction import Invocation, Recorder, outcome_of
from layering.upkeep import Upkeep
from layering.work import Work
from projections import origin, points, retention
from projections.host import HostState
from projections.transactions import Transaction, tell

_MEMORY = Path("/dev/shm")  # noqa: S108 - shm_overview(7); TemporaryDirectory makes a private directory in it
"""Where copies of the base's rpmdb are worked on: what is not on the disk need not be flushed with the objects."""

_DONE = ("committed", "unchanged")

Decide = Callable[[Work], Decision | Upkeep]
"""What a verb does: look at the state, and decide where the host should be, or what to do with it as it is."""


class Options(msgspec.Struct, frozen=True):
    """How a changing verb is to go about it. See the flags of the same names."""

    dry_run: bool = False
    download_only: bool = False
    cacheonly: bool = False
    scripts: str = "run"


@dataclass
class Host:
    """One stateroot of one sysroot, as a process of layer's works on it.

    commit_point: called before the deployment switch, and before an outcome is recorded: to cancel it is no longer
    possible, and from here on there is something to tell.
    """

    path: Path
    osname: str
    context: Context
    clock: Clock = system_clock
    progress: Progress = field(default_factory=Silent)
    commit_point: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.sysroot = Sysroot(self.path, self.osname)
        self.journal_path = stateroot.journal_path(self.path, self.osname)

    def journal(self) -> Journal | None:
        """The journal, open for reading; None where nothing was recorded yet."""
        return Journal.open(self.journal_path) if self.journal_path.exists() else None

    def state(self) -> HostState:
        """The present state; nothing is recorded."""
        return sync.present(self.sysroot, self.journal())

    def sync(self) -> list[Transaction]:
        """Record what other tools did and what was cut off; the transactions that tell of it."""
        recorder = Recorder(self.journal_path, self.context, self.clock)
        with self.sysroot.locked():
            self.commit_point()
            _, numbers = sync.sync(self.sysroot, recorder)
        return [tell(points.events_of(recorder.journal, number)) for number in numbers]

    @contextlib.contextmanager
    def repositories(self, *, cacheonly: bool = False) -> Iterator[Resolver]:
        """The package repositories as the head deployment has them configured, for reading; nothing is recorded.

        Raises:
            LayerError: the host or its base can't be read.
        """
        journal = self.journal()
        state = sync.present(self.sysroot, journal)
        try:
            with self._work(state, journal, Options(cacheonly=cacheonly)) as work:
                yield work.resolver(work.repo, state.base_commit or "")
        finally:
            self.progress.done()

    def transact(self, invocation: Invocation, decide: Decide, options: Options) -> Result:
        """Carry a changing verb through.

        Raises:
            LayerError: it was refused or failed. It is recorded then, as its attribute `transaction` says.
        """
        try:
            if options.dry_run:
                return self._rehearse(decide, options)
            return self._perform(invocation, decide, options)
        except (GLib.Error, OSError) as error:
            raise _foreseen(error) from error
        finally:
            self.progress.done()

    def _rehearse(self, decide: Decide, options: Options) -> Result:
        journal = self.journal()
        state = sync.present(self.sysroot, journal)
        with self._work(state, journal, options) as work:
            decision = decide(work)
            if isinstance(decision, Upkeep):
                changes = (*decision.intent, *decision.foreseen)
                return Result(state, after(state, changes), changes, None, decision.message, decision.notes)
        return Result(state, decision.target, decision.changes(state), None, decision.message, decision.notes)

    def _perform(self, invocation: Invocation, decide: Decide, options: Options) -> Result:
        recorder = Recorder(self.journal_path, self.context, self.clock)
        uuid = None
        try:
            with self.sysroot.locked():
                projection, _ = sync.sync(self.sysroot, recorder)
                state = projection.host or HostState()
                uuid = recorder.new_transaction()
                result = None
                with self._recording_failure(recorder, uuid):
                    recorder.record(uuid, recorder.started(invocation, state))
                    log.bind(transaction=uuid, verb=invocation.verb)
                    with self._work(state, recorder.journal, options) as work:
                        result = self._decide_and_deploy(work, decide, options, recorder, uuid)
                points.keep_snapshot(recorder.journal, points.at(recorder.journal))
                return result or as_recorded(recorder.journal, uuid, state)
        except (LayerError, GLib.Error, OSError) as raised:
            error = _foreseen(raised)
            if uuid is None and isinstance(error, LayerError):
                # It did not get as far as the lock, or could not be brought in line with the host.
                self.commit_point()
                with contextlib.suppress(LayerError):
                    sync.adopt(self.sysroot, recorder)
                    before = points.at(recorder.journal).host
                    started = recorder.started(invocation, before)
                    events = recorder.record(recorder.new_transaction(), started, outcome_of(error))
                    error.transaction = events[0].transaction
            raise error from _cause(raised, error)

    def _decide_and_deploy(self, work: Work, decide: Decide, options: Options, recorder: Recorder, uuid: str) -> Result:
        state = work.state
        decision = decide(work)
        if isinstance(decision, Upkeep):
            idle = Upkeep(message="Nothing to download.")
            return self._keep_up(work, idle if options.download_only else decision, recorder, uuid)

        def result(target: HostState, changes: tuple[Payload, ...], **more: object) -> Result:
            told = recorder.told(uuid)
            return Result(state, target, changes, told, notes=decision.notes, **more)  # type: ignore[arg-type]

        if decision.source:
            recorder.record(uuid, *decision.source)
        if options.download_only and decision.changes(state):
            if not decision.target.layered_commit:
                fetch(work, decision)
            self._conclude(recorder, uuid, TransactionUnchanged("Update downloaded."))
            return result(state, (), message="Update downloaded.")
        decision = layers.commit(work, decision)
        changes = decision.changes(state)
        target = after(state, changes)
        if not changes:
            message = decision.message or "No change."
            self._conclude(recorder, uuid, TransactionUnchanged(message))
            return result(state, (), message=message)
        if not needs_deployment(state, target):
            # Only what the journal remembers has changed: absorbed requests are in no origin.
            self._conclude(recorder, uuid, *changes, TransactionCommitted())
            return result(target, changes)
        text, commit = origin.render(target, uuid), target.commit or ""
        self.sysroot.hold(retention.refs_of(target))
        staged = self.sysroot.is_booted
        recorder.record(uuid, *changes, TransactionPrepared(commit, text, staged))
        self.progress.step("Staging the deployment" if staged else "Deploying")
        self.commit_point()
        deployment = self.sysroot.deploy(commit, text, decision.etc_from)
        recorder.record(uuid, TransactionCommitted(deployment.id))
        log.debug("deployed", deployment=deployment.id, staged=staged)
        self.sysroot.clear_away()
        return result(target, changes, staged=staged, deployed=True)

    def _keep_up(self, work: Work, upkeep: Upkeep, recorder: Recorder, uuid: str) -> Result:
        outcome: tuple[Payload, ...] = upkeep.intent
        if upkeep.carry_out:
            recorder.record(uuid, *upkeep.intent)
            outcome = upkeep.carry_out()
        changes = tuple(dict.fromkeys((*upkeep.intent, *outcome)))
        ended = TransactionCommitted() if changes else TransactionUnchanged(upkeep.message)
        self._conclude(recorder, uuid, *outcome, ended)
        message = None if changes else upkeep.message
        target = after(work.state, changes)
        return Result(work.state, target, changes, recorder.told(uuid), message, upkeep.notes)

    def _conclude(self, recorder: Recorder, uuid: str, *payloads: Payload) -> None:
        """Record these events, the last of which is the outcome."""
        self.commit_point()
        recorder.record(uuid, *payloads)

    @contextlib.contextmanager
    def _recording_failure(self, recorder: Recorder, uuid: str) -> Iterator[None]:
        """What goes wrong is recorded, and raised; an interrupt that came too late to prevent anything is not."""
        try:
            yield
        except BaseException as raised:
            self.commit_point()
            error = _foreseen(raised)
            happened = False
            # The journal may be what failed: then the next command finds this transaction open, and recovers it.
            with contextlib.suppress(LayerError):
                number = recorder.journal.number_of(uuid)
                recovered = self._recovery(recorder, uuid)
                happened = isinstance(recovered, TransactionCommitted)
                if recovered:
                    recorder.record(uuid, recovered if happened else outcome_of(error))
                elif number:
                    happened = recorder.told(uuid).outcome in _DONE
                if isinstance(error, LayerError):
                    error.transaction = number
            if happened and isinstance(error, Cancelled):
                return
            if happened and isinstance(error, LayerError):
                error.message = f"The change is in place, but: {error.message}"
            raise error from _cause(raised, error)

    def _recovery(self, recorder: Recorder, uuid: str) -> TransactionCommitted | TransactionInterrupted | None:
        """How a transaction in which something went wrong ended, by the deployments; None where that is recorded."""
        self.sysroot.reload()
        for transaction in points.at(recorder.journal).open:
            if transaction.uuid == uuid:
                return sync.recovery(transaction, self.sysroot.deployments)
        return None

    @contextlib.contextmanager
    def _work(self, state: HostState, journal: Journal | None, options: Options) -> Iterator[Work]:
        with TemporaryDirectory(prefix="layer-", dir=_MEMORY if _MEMORY.is_dir() else None) as scratch:
            work = Work(
                sysroot=self.sysroot,
                state=state,
                journal=journal,
                scratch=Path(scratch),
                cacheonly=options.cacheonly,
                dry_run=options.dry_run,
                scripts=options.scripts,
                progress=self.progress,
            )
            with contextlib.closing(work):
                yield work


def _foreseen(error: BaseException) -> BaseException:
    """As an error of layer's, where an interrupt, libostree or the system is what went wrong."""
    if isinstance(error, Cancelled):
        return error
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__cause__, KeyboardInterrupt):
        return Cancelled("Cancelled")  # Python wraps what comes while a class is being made
    if isinstance(error, GLib.Error):
        return SysrootError(f"libostree failed: {error.message}")
    return SystemFailed.by(error) if isinstance(error, OSError) else error


def _cause(raised: BaseException, error: BaseException) -> BaseException | None:
    return raised.__cause__ if error is raised else raised

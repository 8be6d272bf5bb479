"""Journal and host brought together: adopt what is found first, recover what was cut off, observe what others did."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from journal.errors import UnexpectedPosition
from journal.events import DeploymentObserved, TransactionCommitted, TransactionInterrupted
from journal.store import Journal
from journal.values import Package
from layering import rpmdb
from layering.base_facts import base_facts
from layering.content import content_of
from layering.errors import BaseError, SysrootError
from layering.found_layer import read_layer
from layering.sysroot import Deployment, Sysroot
from layering.transaction import Invocation, Recorder
from projections import origin, points, retention
from projections.host import NOTHING, HostState, OpenTransaction, Projection, committed, evolve


def recovery(
    transaction: OpenTransaction, deployments: Sequence[Deployment]
) -> TransactionCommitted | TransactionInterrupted:
    """How a transaction without an outcome ended.

    It happened where a deployment carries its id, where the deployments that it was to drop are gone, or where the one
    that it was to pin is pinned; else it did not.
    """
    for deployment in deployments:
        named = origin.parse(deployment.origin).transaction == transaction.uuid
        if named and deployment.commit == transaction.prepared:
            return TransactionCommitted(deployment.id, recovered=True)
    present = {deployment.id: deployment for deployment in deployments}
    if transaction.drops and not present.keys() & set(transaction.drops):
        return TransactionCommitted(recovered=True)
    if transaction.pins:
        which, pinned = transaction.pins
        if (which in present and present[which].pinned) == pinned:
            return TransactionCommitted(recovered=True)
    return TransactionInterrupted()


def is_known(state: HostState, head: Deployment) -> bool:
    """Whether the head deployment is the one that the journal leads to."""
    found = origin.parse(head.origin)
    return (
        head.commit == state.commit
        and found.transaction == state.deployed_by
        and found.refspec == state.refspec
        and found.requested == state.requested
        and (found.override_commit is not None) == state.pinned_base
    )


def describe(
    sysroot: Sysroot,
    deployment: Deployment,
    journal: Journal | None,
    state: HostState | None,
    *,
    inventory: bool = True,
) -> DeploymentObserved:
    """A deployment that the journal did not lead to, as found; and what the journal still knows about it.

    state: what the journal leads to, None on a host that was not adopted yet. inventory: whether to list the base's
    packages, too.
    """
    found = origin.parse(deployment.origin)
    ours = _state_of(journal, deployment)
    if ours:
        base_commit, packages, absorbed, key = ours.base_commit, ours.packages, ours.absorbed, ours.layer_key
        base_packages, content = ours.base_packages, ours.content
    else:
        base_commit, packages, key = _taken_apart(sysroot, deployment.commit)
        absorbed = tuple(each for each in (state.absorbed if state else ()) if each not in found.requested)
    base_commit = base_commit or deployment.commit
    if not ours:
        content = content_of(sysroot.repo, deployment.commit) if key else None
        base_packages = tuple(_installed(sysroot, base_commit)) if inventory else ()
    return DeploymentObserved(
        deployment=deployment.id,
        commit=deployment.commit,
        base_commit=base_commit,
        refspec=found.refspec,
        version=base_facts(sysroot.repo, base_commit).version,
        pinned_base=found.override_commit is not None,
        requested=found.requested,
        absorbed=absorbed,
        packages=packages,
        layer_key=key,
        origin=deployment.origin,
        transaction_uuid=found.transaction,
        base_packages=base_packages,
        content=content,
    )


def sync(sysroot: Sysroot, recorder: Recorder) -> tuple[Projection, list[int]]:
    """Record what the journal does not know yet; to be called while the sysroot is locked.

    Returns the projection after that, and the numbers of the transactions that were recorded or ended.
    """
    journal = recorder.journal
    projection, numbers = points.at(journal), []
    deployments = sysroot.deployments
    for transaction in projection.open:
        recorder.record(transaction.uuid, recovery(transaction, deployments))
        numbers.append(transaction.number)
    projection = points.at(journal)
    head = _head(sysroot, deployments)
    if projection.host is None or not is_known(projection.host, head):
        numbers.append(_observe(sysroot, recorder, head, projection))
        projection = points.at(journal)
        # Whoever made it need not hold it any longer than it is deployed.
        sysroot.hold(retention.refs_of(projection.host or HostState()))
    if not numbers:  # else the search was brought up to date with them
        recorder.update_search()
    points.keep_snapshot(journal, projection)
    return projection, numbers


def adopt(sysroot: Sysroot, recorder: Recorder) -> None:
    """Record what is found on a host without a history, also while another tool holds the lock."""
    if recorder.journal.position == 0 and sysroot.deployments:
        with suppress(UnexpectedPosition):  # whoever holds the lock was first
            _observe(sysroot, recorder, sysroot.deployments[0], NOTHING)


def _observe(sysroot: Sysroot, recorder: Recorder, head: Deployment, projection: Projection) -> int:
    """Record a head that the journal did not lead to; the number of the transaction. projection: at its end.

    Raises:
        UnexpectedPosition: it has gone on since.
    """
    payload = describe(sysroot, head, recorder.journal, projection.host)
    events = recorder.record(
        recorder.new_transaction(),
        recorder.started(Invocation("observe" if projection.host else "adopt"), projection.host),
        payload,
        TransactionCommitted(head.id),
        expected_position=projection.position,
    )
    return events[0].transaction


def present(sysroot: Sysroot, journal: Journal | None) -> HostState:
    """The state as `sync` would find it, with nothing recorded."""
    deployments = sysroot.deployments
    head = _head(sysroot, deployments)
    projection = points.at(journal) if journal else NOTHING
    state = projection.host
    for transaction in projection.open:
        outcome = recovery(transaction, deployments)
        if isinstance(outcome, TransactionCommitted):
            state = committed(transaction, outcome)
    if state and is_known(state, head):
        return state
    return evolve(state or HostState(), describe(sysroot, head, journal, state))


def _head(sysroot: Sysroot, deployments: Sequence[Deployment]) -> Deployment:
    if not deployments:
        raise SysrootError(f"The stateroot {sysroot.osname} in {sysroot.path} has no deployment")
    return deployments[0]


def state_of(
    sysroot: Sysroot, deployment: Deployment, journal: Journal | None, *, head: bool = False, inventory: bool = False
) -> HostState:
    """The state that a deployment is; of the head, with what was absorbed or forgotten since it was made.

    inventory: as in `describe`.
    """
    if head:
        return present(sysroot, journal)
    return evolve(HostState(), describe(sysroot, deployment, journal, None, inventory=inventory))


def transaction_of(journal: Journal | None, deployment: Deployment) -> int | None:
    """Number of the transaction that made, adopted or observed a deployment."""
    if journal is None:
        return None
    uuid = origin.parse(deployment.origin).transaction
    return journal.deployed_in(deployment.id) or (journal.number_of(uuid) if uuid else None)


def _state_of(journal: Journal | None, deployment: Deployment) -> HostState | None:
    """The state that a transaction left, where this deployment is still just that."""
    number = transaction_of(journal, deployment)
    if journal is None or number is None:
        return None
    end = journal.end_of(number)
    state = points.at(journal, end).host if end else None
    return state if state and state.commit == deployment.commit else None


def _taken_apart(sysroot: Sysroot, commit: str) -> tuple[str | None, tuple[Package, ...], str | None]:
    """Base commit, layered set and layer key of a deployed commit, read from the commit itself."""
    layer = read_layer(sysroot.repo, commit)
    if layer is None:
        return None, (), None
    if layer.packages is not None:
        return layer.base_commit, layer.packages, layer.layer_key
    new = set(_installed(sysroot, commit)) - set(_installed(sysroot, layer.base_commit))
    return layer.base_commit, tuple(Package(nevra) for nevra in sorted(new)), None


def _installed(sysroot: Sysroot, commit: str) -> list[str]:
    """The NEVRAs that a commit's rpmdb lists; none where it has no rpmdb."""
    with TemporaryDirectory(prefix="layer-") as scratch:
        root = Path(scratch, "root")
        try:
            rpmdb.checkout_rpmdb(sysroot.repo, commit, root)
        except BaseError:
            return []
        return rpmdb.installed(root)

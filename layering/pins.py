"""`pin` and `unpin`: whether the commits of a transaction outlive every cleanup."""

from __future__ import annotations

from journal.events import TransactionPinned, TransactionUnpinned
from layering import sync
from layering.host import Decide
from layering.upkeep import Upkeep
from layering.work import Work
from projections import points
from projections.errors import NoSuchPoint

_STAGED = "Deployment {} is staged: libostree pins it only once it was booted. Its commits are kept all the same."


def pin(point: str, last: int | None, *, pinned: bool = True) -> Decide:
    """Pin a transaction, or unpin it; with it, in libostree, its deployment where that still is.

    last: the newest transaction when the verb was called: pinning is one, too.
    """

    def decide(work: Work) -> Upkeep:
        number = _number(work, point, last)
        if pinned == (number in work.state.pinned):
            return Upkeep(message=f"Transaction {number} is {'already' if pinned else 'not'} pinned.")
        event = TransactionPinned if pinned else TransactionUnpinned
        deployments = work.sysroot.deployments
        made = next((each for each in deployments if sync.transaction_of(work.journal, each) == number), None)
        if made is None or made.pinned == pinned:
            return Upkeep((event(number),))
        if made.staged:
            return Upkeep((event(number),), notes=(_STAGED.format(made.id),))

        def switch() -> tuple[()]:
            work.sysroot.set_pinned(made.id, pinned)
            return ()

        return Upkeep((event(number, made.id),), switch)

    return decide


def _number(work: Work, point: str, last: int | None) -> int:
    number = points.named(work.recorded, point, last)
    end = work.recorded.end_of(number)
    if end is None or points.at(work.recorded, end).host is None:
        raise NoSuchPoint(f"Transaction {number} has left no state to keep")
    return number

"""projections' branch of the error tree (its root is `journal.errors.LayerError`)."""

from __future__ import annotations

from journal.errors import LayerError


class ProjectionError(LayerError):
    """The events do not lead to what was asked for."""

    id = "projection-error"


class EventNotUnderstood(ProjectionError):
    """A fold came to an event of a type that this version does not know, and refuses to guess."""

    id = "event-not-understood"


class EventOutOfPlace(ProjectionError):
    """An event of a transaction that was not started before it, or is over: the journal was tampered with."""

    id = "event-out-of-place"


class NoSuchPoint(ProjectionError):
    """The history has no such transaction, or no state yet at that instant."""

    id = "no-such-point"


class NoSuchPackage(ProjectionError):
    """A package that is asked about is not layered."""

    id = "no-such-package"


class BadPoint(ProjectionError):
    """Neither a transaction's number nor an instant."""

    id = "usage"
    exit_code = 2

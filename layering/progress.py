"""How far a transaction is: a small protocol that the command line shows on a terminal, and nothing elsewhere."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the steps of a transaction, one after the other."""

    def step(self, title: str, total: int | None = None) -> None:
        """A step begins. total: in bytes or pieces, where it is known beforehand."""

    def advance(self, amount: int) -> None:
        """So much more of the step is done."""

    def done(self) -> None:
        """The last step is over."""


class Silent:
    """Shows nothing."""

    def step(self, title: str, total: int | None = None) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass

    def done(self) -> None:
        pass

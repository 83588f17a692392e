"""Whether the RNA labels go with the RNA counts, by RNA cells that were not learned from.

No ATAC cell comes in. A border between types that RNA cells themselves do not keep tells little of
ATAC cells, which are means of neighbours, but of another modality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What RNA cells that were left out are called.

    Attributes
    ----------
    calls : number of cells by their own type (rows) and the one that they are called (columns).
    """

    calls: pd.DataFrame

    @classmethod
    def of(cls, confusion: np.ndarray, types: Sequence[str]) -> LeftOut:
        """From `LinearGuess.left_out` [K, K] of so called types."""
        return cls(pd.DataFrame(confusion, list(types), list(types)))

    @property
    def cells(self) -> int:
        """How many they are."""
        return int(self.calls.to_numpy().sum())

    @property
    def accuracy(self) -> float:
        """Share of the cells that are called their own type; 0 without cells."""
        return float(np.trace(self.calls) / max(1, self.cells))

    @property
    def kappa(self) -> float:
        """Cohen's: 1 where all are called their own type, 0 where chance would do as well."""
        calls = self.calls.to_numpy() / max(1, self.cells)
        by_chance = float(calls.sum(axis=0) @ calls.sum(axis=1))
        return (self.accuracy - by_chance) / (1 - by_chance) if by_chance < 1 else 1.0

    @property
    def recognised(self) -> pd.Series:
        """Type -> share of its cells that are called so, of types with such cells."""
        cells = self.calls.sum(axis=1)
        shares = pd.Series(np.diag(self.calls), self.calls.index) / cells.where(cells > 0)
        return shares.dropna()

    def taken_for(self, name: str) -> str:
        """The other type that most cells of a type are called."""
        return str(self.calls.loc[name].drop(name).idxmax())

    def to_dict(self) -> dict:
        """Scores for metrics.json."""
        recognised = {str(name): float(share) for name, share in self.recognised.items()}
        return {"accuracy": self.accuracy, "kappa": self.kappa, "recognised": recognised}

"""How labels, signals, age and sex differ between splits, shards and years."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.evaluation.shift.recording_facts import SIGNAL_STATISTICS
from ecg_assets.evaluation.shift.slices import name_years
from ecg_assets.evaluation.shift.stability_index import (
    N_BINS,
    bin_values,
    chance_limit,
    expected_by_chance,
    stability_index,
)
from ecg_assets.figures import INK, MUTED, PALE, make_figure, to_png
from ecg_assets.known import is_known
from ecg_assets.labels import LabelVocabulary, label_matrix
from ecg_assets.metrics.sums import ratio
from ecg_assets.tables import Column, TableSchema

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh

# Groups of recordings against their reference: how often each bin of a quantity is filled.


@dataclass(frozen=True)
class GroupComparison:
    """Which groups are compared, each with one reference group or with all others.

    Attributes
    ----------
    names
        Groups in the order of their codes.
    code
        Group of each recording, int64 ``(recording,)``.
    reference
        Code of the group that the others are compared with; None compares each with the rest.
    n_records, n_patients
        Of each group and of its reference, int64 ``(2, group)``.
    """

    names: list[str]
    code: NDArray[np.int64]
    reference: int | None
    n_records: NDArray[np.int64]
    n_patients: NDArray[np.int64]

    @classmethod
    def of(
        cls, groups: pd.Series, subject_ids: NDArray[np.str_], reference: str | None = None
    ) -> GroupComparison:
        """Compare the groups of recordings.

        Parameters
        ----------
        groups
            Name of each recording's group, without empty ones.
        subject_ids
            Its patient.
        reference
            Name of the reference group, which must be there; without it each group is compared
            with the rest.
        """
        code, names = pd.factorize(groups, sort=True)
        code = code.astype(np.int64)
        at = None if reference is None else list(names).index(reference)
        patients = _count_patients(code, subject_ids, len(names), at)
        counts = np.bincount(code, minlength=len(names))
        of_reference = np.full_like(counts, counts[at]) if at is not None else len(code) - counts
        return cls([str(n) for n in names], code, at, np.stack([of_reference, counts]), patients)

    def compare(self, values: NDArray[np.float64]) -> pd.DataFrame:
        """Compare the distributions of one quantity, a row a group but the reference.

        Parameters
        ----------
        values
            ``(recording,)``; NaN is missing.

        Returns
        -------
        DataFrame
            The columns of `DRIFT` but ``comparison`` and ``quantity``.
        """
        is_reference = np.ones(len(values), bool)
        if self.reference is not None:
            is_reference = self.code == self.reference
        bins = bin_values(values, is_reference)
        n_groups, n_bins = len(self.names), N_BINS + 1
        cells = np.bincount(self.code * n_bins + bins, minlength=n_groups * n_bins)
        current = cells.reshape(n_groups, n_bins)
        reference = self._reference_of(current)
        n_used = ((current + reference) > 0).sum(axis=1)
        table = pd.DataFrame(
            {
                "group": self.names,
                "psi": stability_index(reference, current),
                **self._means(values),
                "n_reference": self.n_records[0],
                "n_current": self.n_records[1],
                "n_patients_reference": self.n_patients[0],
                "n_patients_current": self.n_patients[1],
                "expected_by_chance": expected_by_chance(n_used, *self.n_patients),
                "chance_limit": chance_limit(n_used, *self.n_patients),
            }
        )
        keep = self.n_records[0] > 0
        if self.reference is not None:
            keep[self.reference] = False
        kept: pd.DataFrame = table.loc[keep]
        return kept

    def _means(self, values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Mean of the values that are there, of the reference and of the group."""
        known = ~np.isnan(values)
        n_known = np.bincount(self.code[known], minlength=len(self.names))
        total = np.bincount(self.code[known], values[known], minlength=len(self.names))
        return {
            "reference": ratio(self._reference_of(total), self._reference_of(n_known)),
            "current": ratio(total, n_known),
        }

    def _reference_of(self, counts: NDArray[Any]) -> NDArray[Any]:
        """Give the counts of each group's reference from those of all groups, ``(group, …)``."""
        if self.reference is not None:
            same: NDArray[Any] = np.broadcast_to(counts[self.reference], counts.shape)
            return same
        others: NDArray[Any] = counts.sum(axis=0, keepdims=True) - counts
        return others


def _count_patients(
    code: NDArray[np.int64], subject_ids: NDArray[np.str_], n_groups: int, reference: int | None
) -> NDArray[np.int64]:
    """Patients of each reference and group; one may have recordings in several groups."""
    patient, distinct = pd.factorize(subject_ids)
    pairs = np.unique(np.stack([patient, code], axis=1), axis=0)
    counts = np.bincount(pairs[:, 1], minlength=n_groups)
    if reference is not None:
        return np.stack([np.full_like(counts, counts[reference]), counts])
    groups_of_patient = np.bincount(pairs[:, 0], minlength=len(distinct))
    only_here = np.bincount(pairs[groups_of_patient[pairs[:, 0]] == 1, 1], minlength=n_groups)
    return np.stack([len(distinct) - only_here, counts])


DRIFT = TableSchema(
    "drift",
    (
        Column(
            "comparison", pa.string(), "split (against train), shard or year (against the rest)"
        ),
        Column(
            "quantity",
            pa.string(),
            "what is compared, e.g. label/Sinus rhythm, signal/std_mv_I, age, sex",
        ),
        Column("group", pa.string(), "the split, shard, year or decade that is compared"),
        Column("psi", pa.float64(), "population stability index"),
        Column(
            "reference", pa.float64(), "mean in the reference; of sex the share of F", nullable=True
        ),
        Column("current", pa.float64(), "mean in the group", nullable=True),
        Column("n_reference", pa.int64(), "recordings in the reference"),
        Column("n_current", pa.int64(), "recordings in the group"),
        Column("n_patients_reference", pa.int64(), "patients in the reference"),
        Column("n_patients_current", pa.int64(), "patients in the group"),
        Column("expected_by_chance", pa.float64(), "mean of the index without drift"),
        Column("chance_limit", pa.float64(), "1 in 1,000 indices is larger without drift"),
    ),
)

_TRAIN = "train"

SHIFTED, UNSTABLE = 0.25, 0.1
"""The rule of thumb: above them a distribution is called shifted, or moderately changed."""


def collect_quantities(
    record_list: pd.DataFrame,
    signals: pd.DataFrame,
    labels: pd.DataFrame,
    vocabulary: LabelVocabulary,
) -> pd.DataFrame:
    """Put everything that is compared into one table, joined by recording.

    Parameters
    ----------
    record_list
        As `RECORD_LIST` declares.
    signals
        As `describe_signals` gives them.
    labels
        As `LABELS` declares.
    vocabulary
        The labels to compare.

    Returns
    -------
    DataFrame
        float32, indexed by record_id in the order of the list; NaN where a recording has no
        label, signal, age or sex.
    """
    record_ids, values, _ = label_matrix(labels, vocabulary)
    of_labels = pd.DataFrame(
        np.where(is_known(values), values, np.nan).astype(np.float32),
        index=pd.Index(record_ids),
        columns=[f"label/{name}" for name in vocabulary.names],
    )
    names = [name for name in signals.columns if str(name).startswith(SIGNAL_STATISTICS)]
    of_signals = signals.set_index("record_id")[names].add_prefix("signal/")
    of_patients = record_list.set_index("record_id")[["age", "sex"]]
    of_patients["sex"] = of_patients["sex"].map({"F": 1.0, "M": 0.0})
    joined = of_patients.astype(np.float32)
    for table in (of_labels, of_signals):
        joined = joined.join(table, how="left", validate="one_to_one")
    return joined


def group_by_origin(record_list: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Name the split, shard and year (or decade) of each recording of the list.

    Recordings without a split get none.
    """
    groups = record_list[["record_id", "shard"]].copy()
    groups["year"] = name_years(record_list["ecg_time"].dt.year)
    of_split = split[["record_id", "split"]]
    groups = groups.merge(of_split, on="record_id", how="left", validate="one_to_one")
    return groups[["split", "shard", "year"]]


def measure_drift(
    quantities: pd.DataFrame, groups: pd.DataFrame, subject_ids: NDArray[np.str_]
) -> pd.DataFrame:
    """Compare each group's distribution of each quantity with its reference.

    The validation and test split are compared with train, a shard or year with all other
    recordings. A number's bins are the deciles of the train split, or of all recordings.

    Parameters
    ----------
    quantities
        Numbers, ``(recording, quantity)``; missing ones are a bin of their own.
    groups
        Columns ``split``, ``shard`` and ``year``, texts, of the same recordings; a recording
        without a group (None) is in no comparison.
    subject_ids
        Patient of each recording; chance is judged by their number.

    Returns
    -------
    DataFrame
        As `DRIFT` declares; no rows where there is but one group, or no train split.
    """
    parts = []
    for name in groups.columns:
        rows = groups[name].notna().to_numpy()
        reference = _TRAIN if name == "split" else None
        if reference is not None and reference not in set(groups[name]):
            continue
        comparison = GroupComparison.of(groups[name][rows], subject_ids[rows], reference)
        for quantity in quantities.columns:
            table = comparison.compare(quantities[quantity].to_numpy(np.float64)[rows])
            parts.append(table.assign(comparison=name, quantity=quantity))
    columns = [column.name for column in DRIFT.columns]
    return pd.concat(parts, ignore_index=True)[columns] if parts else DRIFT.empty()


def is_shifted(drift: pd.DataFrame) -> pd.Series:
    """Tell which rows are above the rule of thumb and above chance."""
    return (drift["psi"] > SHIFTED) & (drift["psi"] > drift["chance_limit"])


def count_shifted(drift: pd.DataFrame) -> dict[str, int]:
    """Count, for each comparison, the indices above the rule of thumb and above chance."""
    counts = is_shifted(drift).groupby(drift["comparison"]).sum()
    return {str(name): int(count) for name, count in counts.items()}


def farthest_from_reference(drift: pd.DataFrame, n_rows: int = 20) -> pd.DataFrame:
    """Pick the rows with the largest index in relation to chance, the largest first."""
    ratio = drift["psi"] / drift["chance_limit"].where(drift["chance_limit"] > 0)
    order = ratio.sort_values(ascending=False, kind="stable").index[:n_rows]
    names = ["comparison", "quantity", "group", "psi", "chance_limit", "reference", "current"]
    return drift.loc[order, names].reset_index(drop=True)


# The picture: an index a quantity and group.


_LEVELS = (PALE, "#fbe3b5", "#e88b5a")
_MOST_COLUMNS = 60
"""Groups in a panel of drift; of more, those farthest above chance are shown."""

_MOST_COLUMNS_WITH_NUMBERS = 20


def draw_drift(drift: pd.DataFrame) -> bytes | None:
    """Draw the index of each quantity (row) and group (column), a panel a comparison.

    Colour follows the rule of thumb, for an index above chance alone: small groups differ
    without drift. None for a table without rows.

    Parameters
    ----------
    drift
        As `DRIFT` declares.
    """
    if drift.empty:
        return None
    parts = [(str(name), part) for name, part in drift.groupby("comparison", sort=False)]
    panels = [(name, _pivot(part, "psi"), _pivot(part, "chance_limit")) for name, part in parts]
    quantities, widths = panels[0][1].index, [table.shape[1] for _, table, _ in panels]
    size = (4.6 + 0.42 * sum(widths), 0.21 * len(quantities) + 2.4)
    figure, [grid] = make_figure(*size, 1, len(panels), sharey=True, width_ratios=widths)
    for axes, (name, index, limit) in zip(grid, panels, strict=True):
        image = _draw_panel(axes, index, limit)
        against = "train" if name == "split" else "others"
        axes.set_title(f"{name}\nagainst\n{against}", fontsize=8, color=INK, loc="left")
    grid[0].set_yticks(np.arange(len(quantities)) + 0.5, quantities, fontsize=7.5)
    grid[0].invert_yaxis()
    bar = figure.colorbar(image, ax=grid, shrink=0.4, aspect=12, ticks=[UNSTABLE, SHIFTED])
    bar.ax.tick_params(labelsize=8, length=0)
    bar.outline.set_visible(False)
    bar.set_label("PSI above chance; grey within it", fontsize=8)
    return to_png(figure)


def _draw_panel(axes: Axes, index: pd.DataFrame, limit: pd.DataFrame) -> QuadMesh:
    """Draw one comparison; the numbers stand in the cells where there are few columns."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    if index.shape[1] > _MOST_COLUMNS:
        kept = set((index / limit).max().nlargest(_MOST_COLUMNS).index)
        index = index[[name for name in index.columns if name in kept]]
    shown = index.to_numpy()
    is_above = shown > limit[index.columns].to_numpy()
    norm = BoundaryNorm([0, UNSTABLE, SHIFTED, 10], len(_LEVELS))
    cells = np.where(is_above, shown, 0.0)
    image = axes.pcolormesh(cells, cmap=ListedColormap(_LEVELS), norm=norm, edgecolors="white")
    axes.set_xticks(np.arange(index.shape[1]) + 0.5, index.columns, rotation=90, fontsize=7.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if index.shape[1] <= _MOST_COLUMNS_WITH_NUMBERS:
        for (row, column), value in np.ndenumerate(shown):
            color = INK if is_above[row, column] else MUTED
            place = (column + 0.5, row + 0.5)
            axes.annotate(f"{value:.2f}", place, ha="center", va="center", fontsize=6, color=color)
    return image


def _pivot(part: pd.DataFrame, column: str) -> pd.DataFrame:
    """Quantities by groups, in the order of the table."""
    rows, groups = part["quantity"].unique(), part["group"].unique()
    table = part.pivot(index="quantity", columns="group", values=column)
    return table.loc[rows, groups]

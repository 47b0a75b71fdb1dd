"""Join recordings, labels, split and shards into a manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ecg_assets.build.manifest import INDEX, Manifest, positive_weights
from ecg_assets.errors import SchemaError, SettingsError, StaleInput
from ecg_assets.known import is_known, is_positive
from ecg_assets.labels import LabelVocabulary, label_matrix
from ecg_assets.made_with import (
    EXCLUSION,
    LABEL_VOCABULARY,
    SHARD_RECORDS,
    SIGNAL_SPEC,
    SOURCE,
    SOURCE_SETTINGS,
    TRAIN_LIMIT,
    combine_facts,
    known_facts,
    read_facts,
)
from ecg_assets.preprocess import (
    ShardDataset,
    SignalSpec,
    count_segments,
    is_cut,
    read_shard,
    used_part,
)
from ecg_assets.preprocess.blocks import signal_blocks
from ecg_assets.preprocess.lead_statistics import lacks_signal, measure_leads
from ecg_assets.preprocess.shard import RECORDS_PER_GROUP, fingerprint_records
from ecg_assets.split import require_no_leakage

# Which stored recordings are good enough to learn from.


@dataclass(frozen=True)
class QualityPolicy:
    """What excludes a recording; only the leads of the spec are looked at.

    Attributes
    ----------
    allow_flat
        Whether a lead may be constant.
    max_missing_share
        Largest share of missing samples in any lead, 0 to 1.
    min_segments
        Whole segments that a recording must have, at least 1.
    """

    allow_flat: bool = False
    max_missing_share: float = 0.2
    min_segments: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.max_missing_share <= 1:
            raise ValueError(
                f"max_missing_share is {self.max_missing_share}; it must lie from 0 to 1."
            )
        if self.min_segments < 1:
            raise ValueError(f"min_segments is {self.min_segments}; it must be at least 1.")


def judge_shard(path: Path, spec: SignalSpec, policy: QualityPolicy) -> pd.DataFrame:
    """Judge a shard's recordings by the part that the spec uses of them.

    Stored statistics tell it, and samples are read only of recordings that are longer.

    Returns
    -------
    DataFrame
        ``record_id``, ``row`` in the file, and ``fault``: ``too_short``, ``flat_lead``,
        ``missing_samples``, or empty for a good recording.
    """
    frame = _read_statistics(path, spec)
    is_flat, missing, n_used = _measure_used(path, frame, spec)
    n_segments = count_segments(frame["n_samples"], frame["sample_rate_hz"], spec)
    fault = np.select(
        [
            n_segments < policy.min_segments,
            is_flat.any(axis=1) & (not policy.allow_flat),
            missing > policy.max_missing_share * n_used,
        ],
        ["too_short", "flat_lead", "missing_samples"],
        default="",
    )
    return pd.DataFrame(
        {"record_id": frame["record_id"], "row": np.arange(len(frame)), "fault": fault}
    )


def _read_statistics(path: Path, spec: SignalSpec) -> pd.DataFrame:
    names = [f"{name}_{lead}" for name in ("is_flat", "n_missing") for lead in spec.leads]
    columns = ["record_id", "sample_rate_hz", "n_samples", *names]
    frame: pd.DataFrame = read_shard(path, columns=columns).to_pandas()
    return frame


def _measure_used(
    path: Path, frame: pd.DataFrame, spec: SignalSpec
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Tell of the used part which leads are flat, its missing samples, and its length."""
    is_flat = frame[[f"is_flat_{lead}" for lead in spec.leads]].to_numpy(bool, copy=True)
    missing = frame[[f"n_missing_{lead}" for lead in spec.leads]].to_numpy(np.int64).max(axis=1)
    n_used = frame["n_samples"].to_numpy(np.int64, copy=True)
    for at, used in _read_cut(path, frame, spec):
        n_used[at] = used.shape[-1]
        if used.shape[-1]:
            found = measure_leads(used)
            is_flat[at], missing[at] = found.is_flat, found.n_missing.max(axis=1)
    return is_flat, missing, n_used


def _read_cut(
    path: Path, frame: pd.DataFrame, spec: SignalSpec
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int16]]]:
    """Read the used part of recordings that are longer: rows and ``(record, lead, sample)``."""
    rows = np.flatnonzero(is_cut(frame["n_samples"], frame["sample_rate_hz"], spec))
    shard = ShardDataset({path.stem: path})
    for start in np.unique(rows - rows % RECORDS_PER_GROUP).tolist():
        stop = start + RECORDS_PER_GROUP
        stored = shard.read_rows(path.stem, start, stop, spec.leads)
        of_group = rows[(rows >= start) & (rows < stop)]
        for block in signal_blocks(stored.take(pa.array(of_group - start)), spec.leads):
            yield of_group[block.rows], block.samples[..., used_part(spec, block.sample_rate_hz)]


def count_cut(shards: ShardDataset, spec: SignalSpec, index: pd.DataFrame | None = None) -> int:
    """Count the recordings that are longer than the part that a spec uses of them.

    Parameters
    ----------
    shards
        Stored shards.
    spec
        What is used.
    index
        Counts the recordings of a manifest's index alone.
    """
    stored = shards.read(["n_samples", "sample_rate_hz"])
    if index is not None:
        stored = stored.merge(index[["shard", "row"]], on=["shard", "row"], validate="one_to_one")
    return int(is_cut(stored["n_samples"], stored["sample_rate_hz"], spec).sum())


# How many training recordings of each label a manifest takes.


OVER_LIMIT = "over_limit"
"""Reason why a recording is left out of a manifest."""


@dataclass(frozen=True)
class TrainLimit:
    """Most training recordings of each label.

    A recording stays while it is among the first of one of its labels, in an order that a hash
    of its name and the seed gives. So a common label never takes away a rare one's recordings,
    and a label that comes with rarer ones can keep more than the limit. Recordings without any
    of the labels count as a label of their own.

    Attributes
    ----------
    per_label
        A number, or ``smallest``: as many as the rarest label has that is there at all.
    seed
        Another one gives another choice.
    """

    per_label: int | Literal["smallest"]
    seed: int = 0

    def __post_init__(self) -> None:
        if self.per_label != "smallest" and self.per_label < 1:
            raise ValueError(
                f"per_label is {self.per_label!r}; it must be 1 or more, or 'smallest'."
            )

    def find_surplus(
        self, record_ids: Iterable[str], targets: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """Say which training recordings are over the limit.

        Parameters
        ----------
        record_ids
            Names of the recordings; their order does not count.
        targets
            0 or 1, ``(record, label)``.

        Returns
        -------
        NDArray[np.bool_]
            ``(record,)``.

        >>> targets = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.uint8)
        >>> int(TrainLimit(1).find_surplus(["a", "b", "c", "d"], targets).sum())
        2
        """
        has_label = is_positive(targets)
        is_of = np.column_stack([has_label, ~has_label.any(axis=1)])
        order = np.argsort([_position(self.seed, name) for name in record_ids], kind="stable")
        place = np.empty_like(is_of, dtype=np.int64)
        place[order] = is_of[order].cumsum(axis=0)
        is_kept = is_of & (place <= self._most(has_label))
        return np.asarray(~is_kept.any(axis=1), np.bool_)

    def _most(self, has_label: NDArray[np.bool_]) -> int:
        if self.per_label != "smallest":
            return self.per_label
        counts = has_label.sum(axis=0)
        return int(counts[counts > 0].min(initial=len(has_label)))


def _position(seed: int, name: str) -> bytes:
    # Another text than the split's hash has, which would choose by split again.
    return hashlib.sha256(f"limit:{seed}:{name}".encode()).digest()


def build_manifest(
    records: pd.DataFrame,
    labels: pd.DataFrame,
    split: pd.DataFrame,
    shards: Mapping[str, Path] | Path,
    *,
    spec: SignalSpec,
    vocabulary: LabelVocabulary,
    quality: QualityPolicy | None = None,
    train_limit: TrainLimit | None = None,
) -> Manifest:
    """Build the manifest of all usable recordings; each other one is listed with a reason.

    The first reason that applies counts: ``shard_not_stored``, ``no_signal`` (the shard
    rejected it), ``no_split``, ``unlabelled``, ``too_short``, ``flat_lead``,
    ``missing_samples``, ``over_limit``.

    Parameters
    ----------
    records, labels, split
        Tables as `RECORD_LIST`, `LABELS` and `SPLIT` declare.
    shards
        File of each stored shard by its name, or the folder of such files.
    spec, vocabulary
        What the model is going to see, and its labels.
    quality
        Which recordings are good enough; `QualityPolicy()` by default.
    train_limit
        How many recordings of each label the training split may have; all by default. Of valid
        and test all stay, so that metrics are those of the labels' own prevalence.

    Raises
    ------
    SchemaError
        When a key stands twice, a shard lacks a lead, or no recording is left.
    StaleInput
        When the tables or shards were made from different things.
    LeakageError
        When a patient stands in two splits.
    """
    vocabulary = vocabulary.aggregated(spec.aggregation)
    quality = quality or QualityPolicy()
    if isinstance(shards, Path):
        shards = {path.stem: path for path in shards.glob("*.parquet")}
    made_with = {
        **combine_facts(
            {
                "record_list": known_facts(records),
                "labels": known_facts(labels),
                "split": known_facts(split),
                "signal_shards": _facts_of_shards(records, shards),
            }
        ),
        SIGNAL_SPEC: spec.to_json(),
        LABEL_VOCABULARY: vocabulary.to_json(),
        EXCLUSION: asdict(quality),
        TRAIN_LIMIT: asdict(train_limit) if train_limit else None,
    }
    judged = _judge_shards(records, shards, spec, quality)
    joined = _join(records, split, judged)
    record_ids, values, _ = label_matrix(labels, vocabulary)
    has_any = np.append(is_known(values).any(axis=1), False)
    joined["label_row"] = pd.Index(record_ids).get_indexer(pd.Index(joined["record_id"]))
    reason = np.select(
        [
            ~joined["shard"].isin(judged["shard"]),
            joined["row"].isna(),
            joined["split"].isna(),
            (joined["label_row"] < 0) | ~has_any[joined["label_row"]],
        ],
        ["shard_not_stored", "no_signal", "no_split", "unlabelled"],
        default=joined["fault"].fillna("").to_numpy(dtype=object),
    )
    if train_limit and vocabulary.is_continuous:
        raise SettingsError(
            "A limit of recordings by condition (ECG_MAX_PER_CONDITION) counts labels, and the "
            f"label set has numbers: {vocabulary.names}. Set it to 0."
        )
    if train_limit:
        train = joined[(reason == "") & (joined["split"] == "train")]
        surplus = train_limit.find_surplus(train["record_id"], values[train["label_row"]])
        reason[train.index[surplus]] = OVER_LIMIT
    kept = joined[reason == ""].sort_values(["shard", "row"], ignore_index=True)
    unlabelled = joined[(reason == "unlabelled") & (joined["fault"] == "")]
    excluded = joined.assign(reason=reason)[reason != ""]
    if kept.empty:
        counts = excluded["reason"].value_counts().to_dict()
        raise SchemaError(f"No recording is left for a manifest; left out were {counts}.")
    require_no_leakage(kept, where="the manifest")
    targets = values[kept["label_row"].to_numpy()]
    return Manifest(
        index=_index_of(kept),
        targets=targets,
        vocabulary=vocabulary,
        spec=spec,
        pos_weight=positive_weights(targets[kept["split"].to_numpy() == "train"]),
        excluded=excluded[["record_id", "reason"]].reset_index(drop=True),
        made_with=made_with,
        unlabelled=_index_of(unlabelled.sort_values(["shard", "row"], ignore_index=True)),
    )


def _index_of(joined: pd.DataFrame) -> pd.DataFrame:
    return joined[[column.name for column in INDEX.columns]].astype({"row": np.int32})


def _facts_of_shards(records: pd.DataFrame, shards: Mapping[str, Path]) -> dict[str, Any]:
    """Read what the shards were made with; one of an earlier version says nothing.

    Raises
    ------
    StaleInput
        When a shard is of another source, or of other recordings than are listed now.
    """
    of_shard = dict(tuple(records.groupby("shard")))
    facts: dict[str, dict[str, Any]] = {}
    changed = []
    for shard in sorted(set(shards) & set(of_shard)):
        found = read_facts(pq.read_schema(shards[shard])) or {}
        if found.get(SHARD_RECORDS, "") not in ("", fingerprint_records(of_shard[shard])):
            changed.append(shard)
        facts[shard] = {name: found[name] for name in (SOURCE, SOURCE_SETTINGS) if name in found}
    if changed:
        raise StaleInput(
            f"{len(changed)} of {len(facts)} shards were made from other recordings than "
            f"record_list lists now, first {changed[0]}. Materialize signal_shards for them."
        )
    return combine_facts({f"signal_shards {shard}": found for shard, found in facts.items()})


def _judge_shards(
    records: pd.DataFrame,
    shards: Mapping[str, Path],
    spec: SignalSpec,
    quality: QualityPolicy,
) -> pd.DataFrame:
    """Judge the stored shards that the records name: ``shard, record_id, row, fault``."""
    named = sorted(records["shard"].unique())
    judged = [
        judge_shard(shards[shard], spec, quality).assign(shard=shard)
        for shard in named
        if shard in shards
    ]
    if not judged:
        raise SchemaError(
            f"None of the {len(named)} shards of the records is stored. Preprocess them first."
        )
    return pd.concat(judged, ignore_index=True)


def _join(records: pd.DataFrame, split: pd.DataFrame, judged: pd.DataFrame) -> pd.DataFrame:
    """Give records their split and stored row; both are empty where there is none."""
    try:
        return (
            records[["record_id", "subject_id", "shard"]]
            .merge(split[["record_id", "split"]], on="record_id", how="left", validate="one_to_one")
            .merge(judged, on=["shard", "record_id"], how="left", validate="one_to_one")
        )
    except pd.errors.MergeError as error:
        raise SchemaError(
            f"record_id must be unique in the record list, the split and each shard: {error}"
        ) from error


# Which rows of a manifest hold something that can be scored, or point at no sample.


def keep_scorable(
    manifest: Manifest, rows: NDArray[np.int64], shard_folder: Path
) -> NDArray[np.int64]:
    """Leave out the rows of which no lead that the model reads holds a signal.

    A manifest has such a recording only where its `QualityPolicy` allows flat leads: it may be
    trained on, but a score of it would be the model's bias.

    Parameters
    ----------
    rows
        Rows of the index, ``(record,)``.
    shard_folder
        Folder of ``<shard>.parquet``.
    """
    if manifest.made_with.get(EXCLUSION, {}).get("allow_flat") is False:
        return rows
    index, kept = manifest.index.iloc[rows], np.ones(len(rows), bool)
    at_row, spec = index["row"].to_numpy(), manifest.spec
    for shard, at in index.groupby("shard").indices.items():
        path = shard_folder / f"{shard}.parquet"
        is_flat, _, _ = _measure_used(path, _read_statistics(path, spec), spec)
        kept[at] = ~lacks_signal(is_flat)[at_row[at]]
    return rows[kept]


def find_missing_samples(index: pd.DataFrame, shard_folder: Path) -> pd.DataFrame:
    """Rows of an index whose shard, at their row, does not hold their recording.

    Parameters
    ----------
    index
        Table as `INDEX` declares.
    shard_folder
        Folder of ``<shard>.parquet``; a file that is missing holds nothing.
    """
    is_stored = np.zeros(len(index), bool)
    wanted, rows = index["record_id"].to_numpy(dtype=object), index["row"].to_numpy()
    for shard, at in index.groupby("shard").indices.items():
        path = shard_folder / f"{shard}.parquet"
        if not path.is_file():
            continue
        stored = read_shard(path, columns=["record_id"])["record_id"].to_numpy()
        inside = at[(rows[at] >= 0) & (rows[at] < len(stored))]
        is_stored[inside] = stored[rows[inside]] == wanted[inside]
    return index[~is_stored]

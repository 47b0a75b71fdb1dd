"""A dataset on disk: its recordings, reports and labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_assets.api.recording import Recording
from ecg_assets.errors import SettingsError
from ecg_assets.known import is_known
from ecg_assets.labels.label_set import (
    ECG_FM_17,
    OWN_SET,
    LabelSet,
    needs_reports,
    resolve_label_set,
    shipped_label_sets,
)
from ecg_assets.labels.label_tables import label_matrix
from ecg_assets.labels.labeler import label_records
from ecg_assets.lineage import fingerprint_table
from ecg_assets.made_with import RECORDS, REPORTS, SOURCE, SOURCE_SETTINGS, known_facts, with_facts
from ecg_assets.preprocess.shard import RECORDS_PER_GROUP, preprocess_shard
from ecg_assets.sources.dataset import Dataset, Source
from ecg_assets.sources.datasets import datasets, find_dataset
from ecg_assets.sources.datasets import open_source as open_dataset
from ecg_assets.sources.recording import read_recording
from ecg_assets.sources.schema import MACHINE_REPORTS, RECORD_LIST

LabelChoice = str | LabelSet | None
"""A label set by its name or file, by value, or the one that fits by itself."""

_ARGUMENTS = {"ECG_RAW_ROOT": "root", "ECG_SOURCE": "name", "ECG_LABEL_SET": "label_set"}


def list_sources() -> list[str]:
    """Name the datasets that `open_source` knows, those of other packages included."""
    return list(datasets())


def list_label_sets() -> list[str]:
    """Name the label sets that are shipped; ``own`` and paths of YAML files are others."""
    return list(shipped_label_sets())


def open_source(
    name: str,
    root: str | Path,
    *,
    folders_per_shard: int = 20,
    n_records: int = 800,
    seed: int = 0,
) -> OpenedSource:
    """Open a dataset; nothing is read before it is asked for.

    Parameters
    ----------
    name
        One of `list_sources`, e.g. ``ptb-xl``, or ``folder`` for recordings of your own.
    root
        Folder of the dataset.
    folders_per_shard
        Of MIMIC-IV-ECG's folders pNNNN.
    n_records
        Of the dataset ``synthetic``, which is made where it is missing.
    seed
        Of the same; it decides what is made.

    Raises
    ------
    SettingsError
        When there is no such dataset, or the folder does not hold it.
    """
    root = Path(root).expanduser()
    options = {"folders_per_shard": folders_per_shard, "n_records": n_records, "seed": seed}
    with _arguments_named():
        source = open_dataset(
            name, root, folders_per_shard=folders_per_shard, n_records=n_records, seed=seed
        )
    dataset = find_dataset(name)
    # As record_list states them; the seed of the synthetic cohort is not among them.
    stated = {one: options[one] for one in dataset.options if one != "seed"}
    return OpenedSource(dataset, source, stated)


class OpenedSource:
    """A dataset on disk, as `open_source` gives it.

    Attributes
    ----------
    name
        As in `list_sources`.
    title
        Its name in sentences.
    root
        Its folder.
    """

    def __init__(self, dataset: Dataset, source: Source, options: dict[str, int]) -> None:
        self._dataset, self._source, self._options = dataset, source, options
        self.name, self.title, self.root = dataset.name, dataset.title, source.root

    def __repr__(self) -> str:
        return f"OpenedSource({self.name!r}, {str(self.root)!r})"

    def __len__(self) -> int:
        """Count the recordings."""
        return len(self.records)

    @cached_property
    def records(self) -> pd.DataFrame:
        """A row a recording.

        Columns are ``record_id, source, shard, subject_id, study_id, ecg_time, path, age, sex``;
        ``subject_id`` is the patient.
        """
        table = self._source.read_records().table
        content = fingerprint_table(RECORD_LIST.from_pandas(table))
        facts = {SOURCE: self.name, SOURCE_SETTINGS: self._options, RECORDS: content}
        return with_facts(table, facts)

    @cached_property
    def reports(self) -> pd.DataFrame:
        """A row a recording: its report's ``lines`` or codes, and the cart's measurements."""
        return self.read_reports(self.records)

    def read_reports(self, records: pd.DataFrame) -> pd.DataFrame:
        """Read the reports of some rows of `records`."""
        table = self._source.read_reports(records.reset_index(drop=True)).table
        content = fingerprint_table(MACHINE_REPORTS.from_pandas(table))
        return with_facts(table, {**known_facts(self.records), REPORTS: content})

    def recording(self, record_id: str) -> Recording:
        """Read a recording by its ``record_id``.

        Raises
        ------
        KeyError
            When there is none of that name.
        BadRecord
            When it cannot be read; ``reason`` says why in a word, ``detail`` in a sentence.
        """
        path = self.choose([record_id])["path"].iloc[0]
        return Recording.of_record(read_recording(self.root / path, root=self.root), str(record_id))

    def labels(
        self,
        label_set: LabelChoice = None,
        *,
        record_ids: Iterable[str] | None = None,
        threshold: float = 0.5,
    ) -> pd.DataFrame:
        """Label recordings by their reports, codes, or the labels that they bring.

        Parameters
        ----------
        label_set
            One of `list_label_sets`, ``own``, the path of a YAML file, or a
            `ecg_assets.labels.LabelSet`. By default ``own`` where the dataset brings labels, else
            ``ecg-fm-17``.
        record_ids
            Recordings wanted; all by default.
        threshold
            Lowest probability that makes a label true, 0 to 1.

        Returns
        -------
        DataFrame
            A row a recording by ``record_id``, a column a label: 1, 0, or NA where it is not known,
            as Int8; of numbers Float32 in their units. A recording of whose report nothing could be
            read has NA in all.

        Raises
        ------
        SettingsError
            When there is no such label set, or it is not one for this dataset.
        """
        with _arguments_named():
            found = self.load_label_set(label_set)
            return label_table(self._read_some(record_ids), found, threshold, self.records)

    def evidence(
        self,
        label_set: LabelChoice = None,
        *,
        record_ids: Iterable[str] | None = None,
        threshold: float = 0.5,
    ) -> pd.DataFrame:
        """Say why recordings have their labels: the report line, its words and the rule.

        Arguments are those of `labels`; a row a reason.
        """
        with _arguments_named():
            found = self.load_label_set(label_set)
            tables = label_records(
                self._read_some(record_ids),
                label_set=found,
                threshold=threshold,
                records=self.records,
            )
        kinds = dict.fromkeys(tables.evidence.select_dtypes("category").columns, object)
        evidence: pd.DataFrame = tables.evidence.astype(kinds)
        return evidence

    def splits(self, name: str = "") -> pd.Series[str]:
        """Give the split that the dataset suggests: train, valid or test by ``record_id``.

        Raises
        ------
        SettingsError
            When it suggests none, or none of that name.
        """
        found = self._dataset.find_folds(name).name_splits(self._source)
        return pd.Series(found, name="split", dtype=object).rename_axis("record_id")

    def choose(self, record_ids: Iterable[str] | None = None) -> pd.DataFrame:
        """Give the rows of `records` with these ids, in their order; all by default.

        Raises
        ------
        KeyError
            When one is not there.
        """
        return choose_records(self.records, record_ids, self.name)

    def load_label_set(self, label_set: LabelChoice = None) -> LabelSet:
        """Load a label set for this dataset; see `labels`."""
        if isinstance(label_set, LabelSet):
            return label_set
        read_own = self._dataset.read_own_labels
        own = read_own(self._source) if read_own else ()
        name = label_set or (OWN_SET if own else ECG_FM_17)
        # Few label sets are made of all reports; reading those of MIMIC-IV-ECG takes a while.
        reports = self.reports if needs_reports(name) else pd.DataFrame()
        return resolve_label_set(name, reports, own_labels=own)

    def read_signals(
        self, record_ids: Sequence[str], leads: Sequence[str]
    ) -> Iterator[tuple[pa.Table, dict[str, str]]]:
        """Read recordings some at a time: a table as shards have it, and why others lack there."""
        records = self.choose(record_ids)
        for at in range(0, len(records), RECORDS_PER_GROUP):
            found = preprocess_shard(
                records.iloc[at : at + RECORDS_PER_GROUP], self.root, tuple(leads)
            )
            rejects = found.rejects
            yield found.signals, dict(zip(rejects["record_id"], rejects["reason"], strict=True))

    def _read_some(self, record_ids: Iterable[str] | None) -> pd.DataFrame:
        return self.reports if record_ids is None else self.read_reports(self.choose(record_ids))


def choose_records(
    records: pd.DataFrame, record_ids: Iterable[str] | None, where: str
) -> pd.DataFrame:
    """Give the rows of a record list with these ids, in their order; all without ids."""
    if record_ids is None:
        return records
    if isinstance(record_ids, str):
        raise TypeError(f"record_ids is the text {record_ids!r}; expected a list of record ids.")
    wanted = [str(record_id) for record_id in record_ids]
    at = pd.Index(records["record_id"]).get_indexer(pd.Index(wanted, dtype=object))
    if (at < 0).any():
        missing = [name for name, place in zip(wanted, at, strict=True) if place < 0]
        example = f", such as {records['record_id'].iloc[0]!r}" if len(records) else ""
        raise KeyError(
            f"{missing[0]!r} is none of the {len(records)} recordings of {where}{example}"
            + (f"; nor are {len(missing) - 1} others" if len(missing) > 1 else "")
        )
    chosen: pd.DataFrame = records.iloc[at]
    return chosen


def require_distinct(record_ids: pd.Series[str] | pd.Index[Any]) -> None:
    """Raise `ValueError` when a recording is chosen twice."""
    if not record_ids.is_unique:
        twice = record_ids[record_ids.duplicated()].tolist()
        raise ValueError(f"record_ids names {twice[0]!r} twice.")


def label_table(
    reports: pd.DataFrame,
    label_set: LabelSet,
    threshold: float,
    records: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Label reports into a table of a row a recording and a column a label; NA is not known."""
    labels = label_records(
        reports, label_set=label_set, threshold=threshold, records=records
    ).labels
    return widen(labels, label_set, reports["record_id"])


def widen(labels: pd.DataFrame, label_set: LabelSet, record_ids: pd.Series[str]) -> pd.DataFrame:
    """Turn the long table of labels into one with a column a label, for these recordings."""
    ids, values, _ = label_matrix(labels, label_set.vocabulary)
    kind: Any = pd.Float32Dtype() if label_set.vocabulary.is_continuous else pd.Int8Dtype()
    known = is_known(values)
    found = pd.DataFrame(
        np.where(known, values, 0), index=ids, columns=list(label_set.vocabulary.names)
    )
    found = found.astype(kind).mask(~known)
    return found.reindex(pd.Index(record_ids, dtype=object)).rename_axis("record_id")


@contextmanager
def _arguments_named() -> Iterator[None]:
    """Say an error of a deployment's setting as one of the argument that stands for it here."""
    try:
        yield
    except SettingsError as error:
        text = str(error)
        for setting, argument in _ARGUMENTS.items():
            text = text.replace(setting, argument)
        raise SettingsError(text) from error

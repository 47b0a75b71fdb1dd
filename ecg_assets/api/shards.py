"""Stored shards: recordings in mV, as arrays, and as a torch data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ecg_assets.api.recording import Recording, name_leads
from ecg_assets.api.source import (
    LabelChoice,
    choose_records,
    label_table,
    require_distinct,
    widen,
)
from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.labels.label_set import LabelSet, label_set_of, resolve_label_set
from ecg_assets.labels.label_tables import LABELS, TARGETS
from ecg_assets.made_with import SHARD_RECORDS, SOURCE, combine_facts, known_facts, read_facts
from ecg_assets.preprocess.blocks import signal_blocks
from ecg_assets.preprocess.model_input import to_millivolts
from ecg_assets.preprocess.shard_schema import shard_schema
from ecg_assets.preprocess.shard_store import ShardDataset
from ecg_assets.preprocess.signal_spec import RecordPart, SignalSpec, signal_spec_of_kind
from ecg_assets.sources.record import Record
from ecg_assets.sources.schema import MACHINE_REPORTS, RECORD_LIST
from ecg_assets.split import SPLIT
from ecg_assets.store import SourceStore, Store

if TYPE_CHECKING:
    from ecg_assets.api.torch_dataset import SegmentDataset

_SHARDS = "signal_shards"


def open_shards(folder: str | Path, source: str | None = None) -> Shards:
    """Open the shards that `signal_shards` stored; nothing but their headers is read.

    Parameters
    ----------
    folder
        The data folder (ECG_DATA_DIR), that of a source's results in it, or any folder of
        ``<shard>.parquet``.
    source
        Which source's, where a data folder has several.

    Raises
    ------
    SettingsError
        When there are none, or several sources and none is named.
    """
    place = _find_shards(Path(folder).expanduser(), source)
    paths = {path.stem: path for path in sorted(place.glob("*.parquet"))}
    results = place.parent
    is_stored = place.name == _SHARDS and (results / "record_list.parquet").is_file()
    stored = Store(results.parent).source(results.name) if is_stored else None
    return Shards(place, ShardDataset(paths), stored)


def _find_shards(folder: Path, source: str | None) -> Path:
    """Find the folder of the shards' files."""
    found = sorted({path.parent for path in folder.glob(f"*/{_SHARDS}/*.parquet")})
    if source is None and any((folder / _SHARDS).glob("*.parquet")):
        return folder / _SHARDS
    if source is None and not found and not (folder / "record_list.parquet").is_file():
        found = sorted({path.parent for path in folder.glob("*.parquet")})
    named = [place for place in found if source in (None, place.parent.name)]
    if len(named) == 1:
        return named[0]
    have = ", ".join(place.parent.name for place in found)
    if not found:
        raise SettingsError(
            f"{folder} holds no shards. Give the data folder, a source's folder in it, or the "
            f"folder {_SHARDS} itself, after materializing signal_shards."
        )
    raise SettingsError(
        f"{folder} holds shards of {have}; "
        + (f"source is {source!r}, which is none of them." if source else "name one as source.")
    )


class Shards:
    """Stored recordings, as `open_shards` gives them.

    Attributes
    ----------
    folder
        Folder of ``<shard>.parquet``.
    """

    def __init__(self, folder: Path, shards: ShardDataset, stored: SourceStore | None) -> None:
        self.folder, self._shards, self._stored = folder, shards, stored

    def __repr__(self) -> str:
        n_shards = len(self._shards)
        return f"Shards({str(self.folder)!r}, {n_shards} shard{'s' if n_shards != 1 else ''})"

    def __len__(self) -> int:
        """Count the stored recordings."""
        return len(self.index)

    @property
    def name(self) -> str:
        """The source that they were made of; empty where nothing says it."""
        if SOURCE in self.facts or self._stored is None:
            return str(self.facts.get(SOURCE, ""))
        return "".join(self.records["source"].unique()[:1])

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What they were made with, as the files say it: source, leads, quality."""
        found = {}
        for shard, path in self._shards.items():
            facts = read_facts(pq.read_schema(path)) or {}
            found[shard] = {name: facts[name] for name in facts if name != SHARD_RECORDS}
        return combine_facts(found)

    @property
    def leads(self) -> tuple[str, ...]:
        """Leads that all of them store."""
        return self._shards.leads

    @cached_property
    def index(self) -> pd.DataFrame:
        """A row a stored recording: ``record_id, shard, row, sample_rate_hz, n_samples``."""
        found = self._shards.read(["record_id", "sample_rate_hz", "n_samples"])
        return found[["record_id", "shard", "row", "sample_rate_hz", "n_samples"]]

    @cached_property
    def records(self) -> pd.DataFrame:
        """A row a recording of the source, as `OpenedSource.records`; rejected ones included.

        Raises
        ------
        SettingsError
            When the folder has shards alone.
        """
        return self._require_stored().read_table(RECORD_LIST)

    def choose(self, record_ids: Iterable[str] | None = None) -> pd.DataFrame:
        """Give rows of `records`, or of `index` in a folder of shards alone; all by default."""
        if self._stored is None:
            return choose_records(self.index, record_ids, str(self.folder))
        if record_ids is None:
            # What is listed and not stored has no signal here.
            stored = set(self.index["record_id"])
            listed = self.records
            return listed.loc[listed["record_id"].isin(stored)]
        return choose_records(self.records, record_ids, str(self.folder))

    def read_reports(self, records: pd.DataFrame) -> pd.DataFrame:
        """Read the stored reports of some rows of `records`."""
        reports = self._require_stored().read_table(MACHINE_REPORTS)
        facts = known_facts(reports)
        at = pd.Index(reports["record_id"]).get_indexer(pd.Index(records["record_id"]))
        found: pd.DataFrame = reports.iloc[at[at >= 0]].reset_index(drop=True)
        found.attrs = {**reports.attrs} if facts else {}
        return found

    def labels(
        self, label_set: str | LabelSet | None = None, *, threshold: float = 0.5
    ) -> pd.DataFrame:
        """Give labels of all recordings, as `OpenedSource.labels` does.

        Parameters
        ----------
        label_set
            By default the labels that the asset ``labels`` stored; or another set, made of the
            stored reports.
        threshold
            Lowest probability that makes a label true, of another set.
        """
        stored = self._require_stored()
        if label_set is not None:
            reports = stored.read_table(MACHINE_REPORTS)
            chosen = self.load_label_set(label_set)
            return label_table(reports, chosen, threshold, self.records)
        path = stored.table_path("labels")
        names = pq.read_schema(path).names if path.is_file() else ["probability"]
        labels = stored.read_table(LABELS if "probability" in names else TARGETS)
        made_of = label_set_of(known_facts(labels))
        if made_of is None:
            raise SchemaError(f"{path} does not say of which labels it is. Materialize labels.")
        return widen(labels, made_of, pd.Series(labels["record_id"].astype(object).unique()))

    def load_label_set(self, label_set: LabelChoice) -> LabelSet:
        """Load a label set for the stored reports."""
        if isinstance(label_set, LabelSet):
            return label_set
        if label_set is None:
            raise SettingsError("Name the label set: label_set is None.")
        reports = self._require_stored().read_table(MACHINE_REPORTS)
        return resolve_label_set(label_set, reports)

    def splits(self) -> pd.Series[str]:
        """Give the stored split: train, valid or test by ``record_id``."""
        split = self._require_stored().read_table(SPLIT)
        return split.set_index("record_id")["split"].astype(object)

    def recording(self, record_id: str) -> Recording:
        """Read a recording by its ``record_id``, with all stored leads.

        Raises
        ------
        SchemaError
            When it is not stored; its reason stands among the rejects.
        """
        leads = self.leads
        table = self._shards.read_records([str(record_id)], leads)
        (block,) = signal_blocks(table, leads)
        record = Record(
            block.samples[0],
            block.gain[0],
            block.baseline[0].astype(np.int64),
            ("mV",) * len(leads),
            block.sample_rate_hz,
            leads,
        )
        return Recording.of_record(record, str(record_id))

    def signals_mv(
        self, record_ids: Iterable[str] | None = None, *, leads: Sequence[str] | None = None
    ) -> NDArray[np.float32]:
        """Read recordings in mV into one array.

        Parameters
        ----------
        record_ids
            Recordings, in this order; by default all, in the order of `index`.
        leads
            Leads, in this order; all that are stored by default.

        Returns
        -------
        NDArray[np.float32]
            ``(record, lead, sample)``; NaN is a missing sample.

        Raises
        ------
        SchemaError
            When a recording or lead is not stored.
        ValueError
            When they are of several lengths or sample rates: an array has one.
        """
        ids = self.index["record_id"].tolist() if record_ids is None else list(record_ids)
        chosen = self.leads if leads is None else name_leads(leads)
        blocks = list(signal_blocks(self._shards.read_records(ids, chosen), chosen))
        kinds = sorted({(block.samples.shape[-1], block.sample_rate_hz) for block in blocks})
        if len(kinds) > 1:
            raise ValueError(
                f"The recordings are of several lengths and sample rates, {kinds[:5]} (samples, "
                "Hz). Choose record_ids of one by `index`, or use `dataset`, which resamples."
            )
        signals = np.empty((len(ids), len(chosen), kinds[0][0]), np.float32)
        for block in blocks:
            signals[block.rows] = to_millivolts(block.samples, block.gain, block.baseline)
        return signals

    def dataset(
        self,
        *,
        labels: pd.DataFrame | None = None,
        record_ids: Iterable[str] | None = None,
        spec: SignalSpec | None = None,
        leads: Sequence[str] | None = None,
        segment_s: float | None = None,
        n_channels: int | None = None,
        cache_folder: str | Path | None = None,
    ) -> SegmentDataset:
        """Make a torch data set of segments, each ``(channel, sample)``.

        The shards are decoded once into a memory map, in which a segment is read in microseconds.

        Parameters
        ----------
        labels
            A table as `labels` gives it: each item is a pair of a segment and its targets, float32
            ``(label,)`` with NaN where one is not known. Recordings that it lacks, or of which it
            knows nothing, are left out. Without it an item is a segment.
        record_ids
            Recordings; all that are stored by default.
        spec
            What is made of a recording, e.g. ``model.spec``. By default mV: all of a recording of
            `leads` at its sample rate, missing samples 0.
        leads
            Leads in mV, where no spec is given; all that are stored by default.
        segment_s
            Seconds of a segment in mV; by default the whole recording, where all are of one length.
        n_channels
            Channels of an item where a single lead is repeated; by default those of the spec.
        cache_folder
            Where the memory map is written; by default beside the shards in a data folder.

        Raises
        ------
        ValueError
            When the recordings have no length or sample rate in common and none is given.
        SettingsError
            When a folder of shards alone is open and no `cache_folder` is given.
        """
        from ecg_assets.api.torch_dataset import open_segments

        if cache_folder is None and self._stored is None:
            raise SettingsError(
                f"{self.folder} is no folder of a deployment's results, where the decoded signals "
                "would go. Give a cache_folder."
            )
        cache = Path(cache_folder) if cache_folder else self._require_stored().cache
        places = self.index[["record_id", "shard", "row", "sample_rate_hz", "n_samples"]]
        places = choose_records(places, record_ids, str(self.folder)).reset_index(drop=True)
        require_distinct(places["record_id"])
        if places.empty:
            raise ValueError("record_ids is empty; name at least one recording.")
        chosen = spec or self._millivolts(
            places, self.leads if leads is None else name_leads(leads), segment_s
        )
        return open_segments(
            places, self.folder, chosen, cache, labels=labels, n_channels=n_channels
        )

    def read_signals(
        self, record_ids: Sequence[str], leads: Sequence[str]
    ) -> Iterator[tuple[pa.Table, dict[str, str]]]:
        """Read recordings some at a time: a table as shards have it, and why others lack there."""
        at = pd.Index(self.index["record_id"]).get_indexer(pd.Index(list(record_ids)))
        lacking = [name for name, place in zip(record_ids, at, strict=True) if place < 0]
        used = self.index.iloc[at[at >= 0]]
        shards = ShardDataset({name: self._shards[name] for name in used["shard"].unique()})
        wanted = pa.array(used["record_id"], pa.string())
        for _, batch in shards.batches(leads):
            table = pa.Table.from_batches([batch])
            yield table.filter(pc.is_in(table["record_id"], wanted)), {}
        yield shard_schema(leads).arrow.empty_table(), dict.fromkeys(lacking, "not_stored")

    def _millivolts(
        self, places: pd.DataFrame, leads: tuple[str, ...], segment_s: float | None
    ) -> SignalSpec:
        """Give the spec of mV as they are stored."""
        rates = sorted(places["sample_rate_hz"].unique().tolist())
        lengths = sorted((places["n_samples"] / places["sample_rate_hz"]).unique().tolist())
        if len(rates) != 1 or rates[0] != int(rates[0]):
            raise ValueError(
                f"The recordings have sample rates {rates[:5]} Hz; give a spec with the one that "
                "is wanted, e.g. signal_spec_of_kind('raw', leads=…, sample_rate_hz=500)."
            )
        if segment_s is None and len(lengths) != 1:
            raise ValueError(
                f"The recordings last from {lengths[0]:g} to {lengths[-1]:g} s; give segment_s."
            )
        return signal_spec_of_kind(
            "raw",
            leads=leads,
            segment_s=lengths[0] if segment_s is None else segment_s,
            sample_rate_hz=int(rates[0]),
            part=RecordPart(0.0, None),
        )

    def _require_stored(self) -> SourceStore:
        if self._stored is None:
            raise SettingsError(
                f"{self.folder} has shards alone. Open the data folder, in which record_list, "
                "labels and split stand beside them."
            )
        return self._stored

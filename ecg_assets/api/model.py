"""A trained model: from a checkpoint to probabilities. Loads torch."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.api.recording import Recording, read_recording
from ecg_assets.api.source import require_distinct
from ecg_assets.errors import CheckpointError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.apply import AppliedModel, apply_to_batches
from ecg_assets.models.checkpoint import TrainedModel, load_trained
from ecg_assets.models.checkpoint_folder import (
    LABEL_VOCABULARY,
    SIGNAL_SPEC,
    CheckpointCard,
    read_card,
)
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.device import choose_device
from ecg_assets.models.hub import local_checkpoint, shared_cache
from ecg_assets.models.load import imported_folder
from ecg_assets.models.scoring import predict_millivolts, predict_stored
from ecg_assets.preprocess.shard import store_record
from ecg_assets.preprocess.signal_spec import SignalSpec


class Recordings(Protocol):
    """Recordings that can be scored: an `OpenedSource` or `Shards`."""

    def choose(self, record_ids: Iterable[str] | None = None) -> pd.DataFrame:
        """Give a row a recording, with its ``record_id``."""

    def read_signals(
        self, record_ids: Sequence[str], leads: Sequence[str]
    ) -> Iterator[tuple[pa.Table, dict[str, str]]]:
        """Read them some at a time: a table as shards have it, and why others lack there."""


def from_pretrained(
    checkpoint: str | Path, *, device: str = "auto", cache_folder: str | Path | None = None
) -> Model:
    """Load a trained model; no code in its files is run.

    Parameters
    ----------
    checkpoint
        A checkpoint folder; or a file that the authors of a model publish, or its name on the hub
        of Hugging Face, ``hf:owner/name[@revision][:file]``, which is imported once.
    device
        ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
    cache_folder
        Where a file is imported to and the hub's files are kept; by default ``ecg-assets`` beside
        the hub's own cache.

    Raises
    ------
    UnsafeCheckpoint
        When a file would run code; the message names it.
    CheckpointError
        When there is nothing readable, no head, or a file whose labels or leads are not known.
    """
    cache = Path(cache_folder).expanduser() if cache_folder else shared_cache()
    place = choose_device(device)
    path = local_checkpoint(str(checkpoint), cache)
    folder = imported_folder(path, cache / "imported")
    missing = [name for name in (SIGNAL_SPEC, LABEL_VOCABULARY) if not (folder / name).is_file()]
    if missing and folder.is_dir():
        raise CheckpointError(
            f"{checkpoint} cannot predict: it does not say what {' and '.join(missing)} would. It "
            "is an encoder without a head, to be fine-tuned; or its labels or leads are not the "
            "published ones: name them to ecg_assets.models.import_checkpoint, and give the folder "
            "that it writes."
        )
    trained = load_trained(folder)
    trained.model.to(place)
    return Model(trained, read_card(folder))


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A trained model with the signals that it reads and its labels, as `from_pretrained` gives it.

    Attributes
    ----------
    trained
        The model as the rest of this package takes it.
    card
        What its folder says of it: ``card.run`` is the record of its training.
    """

    trained: TrainedModel
    card: CheckpointCard

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.card.folder.name

    @property
    def module(self) -> EcgClassifier:
        """The `torch.nn.Module`, in evaluation mode: standardized segments to ``logits``."""
        return self.trained.model

    @property
    def spec(self) -> SignalSpec:
        """What it reads: leads, sample rate, seconds, filter, normalization."""
        return self.trained.spec

    @property
    def leads(self) -> tuple[str, ...]:
        """Leads that it reads."""
        return self.spec.leads

    @property
    def n_channels(self) -> int:
        """Channels of its input."""
        return int(self.module.config.n_channels)

    @property
    def vocabulary(self) -> LabelVocabulary:
        """Its labels, and how the scores of segments become one of a recording."""
        return self.trained.vocabulary

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its labels, in the order of its outputs."""
        return self.vocabulary.names

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(self.module.device)

    def __repr__(self) -> str:
        return (
            f"Model({self.name!r}: {self.module.config.model_type}, {len(self.labels)} labels, "
            f"reads {', '.join(self.leads)} at {self.spec.sample_rate_hz} Hz, on {self.device})"
        )

    def predict(
        self,
        recording: Recording | str | Path | NDArray[Any],
        *,
        sample_rate_hz: float | None = None,
        leads: Sequence[str] | None = None,
    ) -> pd.Series[float]:
        """Score one recording: each segment, then all of them by each label's rule.

        It is resampled, filtered, normalized and cut as `spec` says, and leads are found by name.

        Parameters
        ----------
        recording
            A `Recording`, the path of its file, or an array in mV, ``(lead, sample)``.
        sample_rate_hz
            Of an array.
        leads
            Names of the leads of an array, in its order.

        Returns
        -------
        Series
            Probability of each label, 0 to 1; of a model of numbers each one, in its unit.

        Raises
        ------
        BadRecord
            When it cannot be read, lacks a lead, or holds no signal.
        SpecMismatch
            When it is shorter than one segment.
        TypeError, ValueError
            When an array comes without sample rate and leads, or these do not fit.
        """
        one = _as_recording(recording, sample_rate_hz, leads)
        where = one.record_id or "array"
        stored = one._take_stored(self.leads)
        if stored is not None:
            found = predict_stored(self.trained, store_record(stored), where=where)
        else:
            signal = one.signal_mv[one._take(self.leads)]
            found = predict_millivolts(self.trained, signal, one.sample_rate_hz, where=where)
        return pd.Series(found, name=one.record_id or None).rename_axis("label")

    def predict_records(
        self,
        data: Recordings,
        record_ids: Iterable[str] | None = None,
        *,
        precision: str = "fp32",
        progress: Callable[[int], None] | None = None,
    ) -> pd.DataFrame:
        """Score recordings of a source or of shards, some in memory at a time.

        Parameters
        ----------
        data
            As `open_source` or `open_shards` gives it.
        record_ids
            Recordings, in this order; all by default.
        precision
            ``fp32``, ``bf16`` or ``fp16``.
        progress
            Called with the number of recordings done.

        Returns
        -------
        DataFrame
            A row a recording by ``record_id``, a column a label, as `predict` gives them; NaN in
            the rows of those without a score.

        Warns
        -----
        UserWarning
            When some have no score, with their number by reason.
        """
        found = self.apply(data, record_ids, precision=precision, progress=progress)
        _warn_of(found.reasons)
        return found.scores

    def embed_records(
        self,
        data: Recordings,
        record_ids: Iterable[str] | None = None,
        *,
        precision: str = "fp32",
        progress: Callable[[int], None] | None = None,
    ) -> pd.DataFrame:
        """Compute the encoder's features of recordings: the mean of their segments'.

        Arguments and rows are those of `predict_records`; a column a feature, float32.
        """
        found = self.apply(data, record_ids, precision=precision, progress=progress)
        _warn_of(found.reasons)
        return found.embeddings

    def apply(
        self,
        data: Recordings,
        record_ids: Iterable[str] | None = None,
        *,
        precision: str = "fp32",
        progress: Callable[[int], None] | None = None,
    ) -> Applied:
        """Score and embed recordings in one go; arguments are those of `predict_records`."""
        ids = [str(record_id) for record_id in data.choose(record_ids)["record_id"]]
        index = pd.Index(ids, dtype=object, name="record_id")
        require_distinct(index)
        reasons: dict[str, str] = {}

        def read() -> Iterator[tuple[str, pa.RecordBatch]]:
            for signals, lacking in data.read_signals(ids, self.leads):
                reasons.update(lacking)
                yield from (("", batch) for batch in signals.to_batches() if batch.num_rows)

        done: list[AppliedModel] = []
        for one in apply_to_batches(self.trained, read(), device=self.device, precision=precision):
            done.append(one)
            reasons.update(
                {
                    name: str(why)
                    for name, why in zip(one.record_ids, one.reason, strict=True)
                    if why
                }
            )
            if progress:
                progress(sum(len(part.record_ids) for part in done))
        order = [name for part in done for name in part.record_ids]
        scores, embeddings = (
            pd.DataFrame(np.concatenate([np.empty((0, width), np.float32), *parts]), order)
            .reindex(index)
            .rename_axis("record_id")
            for width, parts in (
                (len(self.labels), [part.score for part in done]),
                (self.module.config.hidden_size, [part.embedding for part in done]),
            )
        )
        scores.columns = pd.Index(self.labels, name="label")
        return Applied(scores, embeddings, pd.Series(reasons, dtype=object, name="reason"))


@dataclass(frozen=True, eq=False)
class Applied:
    """What `Model.apply` makes of recordings.

    Attributes
    ----------
    scores
        A row a recording by ``record_id``, a column a label; NaN without a score.
    embeddings
        A row a recording, a column a feature; NaN without a score.
    reasons
        Why others have none, by ``record_id``: ``no_signal``, ``too_short``, ``not_stored``, or
        the `BadRecord.reason` of one that cannot be read.
    """

    scores: pd.DataFrame
    embeddings: pd.DataFrame
    reasons: pd.Series[str]


def _as_recording(
    recording: Recording | str | Path | NDArray[Any],
    sample_rate_hz: float | None,
    leads: Sequence[str] | None,
) -> Recording:
    is_array = not isinstance(recording, Recording | str | Path)
    if is_array and (sample_rate_hz is None or leads is None):
        raise TypeError(
            "An array says neither its sample rate nor its leads; give sample_rate_hz and leads, "
            "e.g. predict(signal_mv, sample_rate_hz=500, leads=['I', 'II', …])."
        )
    if not is_array and (sample_rate_hz is not None or leads is not None):
        raise TypeError("sample_rate_hz and leads are of an array; a recording says its own.")
    if isinstance(recording, Recording):
        return recording
    if isinstance(recording, str | Path):
        return read_recording(recording)
    return Recording(np.asarray(recording), () if leads is None else leads, sample_rate_hz or 0.0)


def _warn_of(reasons: pd.Series[str]) -> None:
    if len(reasons):
        counts = ", ".join(f"{name} {n}" for name, n in Counter(reasons).most_common())
        warnings.warn(
            f"{len(reasons)} recordings have no score: {counts}. Their rows are NaN; "
            "`Model.apply` gives the reason of each.",
            stacklevel=3,
        )

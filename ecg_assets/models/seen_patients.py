"""Whom a checkpoint was trained on, in its folder: enough to count an overlap, nobody's name.

Each training in a checkpoint's history keeps its train and valid patients as 64-bit salted hashes.
Nobody can be read out of them; whoever has a list of candidates can test each, so that a model of
patients whose participation is itself a secret is handed over without the file.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ecg_assets.build import Manifest
from ecg_assets.errors import CheckpointError
from ecg_assets.made_with import SOURCE, SPLIT_RULE
from ecg_assets.models.checkpoint_folder import (
    CONFIG,
    IMPORT_REPORT,
    RUN,
    SEEN_PATIENTS,
    UNREADABLE_VALUES,
    read_bounded_table,
    read_json,
)

FINE_TUNING, PRE_TRAINING, UNKNOWN = "fine-tuning", "pre-training", "unknown"
RANDOM = "random"
"""In place of a family: its weights are nobody's public ones."""
_STAGES = b"stages"
_SCHEMA = pa.schema([("stage", pa.int16()), ("patient", pa.uint64())])

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class TrainingStage:
    """One training in the history of a checkpoint.

    Attributes
    ----------
    name
        Name of its checkpoint, or what it was imported from.
    kind
        ``fine-tuning``, ``pre-training``, or ``unknown`` for weights whose training is not known.
    source, split_rule
        Of its training data; empty where unknown.
    family
        Of an unknown training: the model family whose public weights it may be, ``random`` where
        it started from random weights; empty where that is unknown, too.
    """

    name: str
    kind: str
    source: str = ""
    split_rule: str = ""
    family: str = ""

    def __post_init__(self) -> None:
        wrong = {name: value for name, value in asdict(self).items() if type(value) is not str}
        if wrong:
            raise ValueError(f"a training has {wrong}; expected text.")


@dataclass(frozen=True, eq=False)
class SeenPatients:
    """The trainings behind a checkpoint, its own first, and whom each saw.

    Attributes
    ----------
    stages
        The trainings.
    patients
        Sorted hashes of the train and valid patients of each, ``(patient,)``; empty where unknown.
    """

    stages: tuple[TrainingStage, ...]
    patients: tuple[Hashes, ...]

    @classmethod
    def of_training(
        cls, name: str, kind: str, manifest: Manifest, *, start: Path | None
    ) -> SeenPatients:
        """Put a training before the history of what it started from.

        Train and valid both count as seen: one gives weights, the other chooses the epoch and
        the thresholds.

        Parameters
        ----------
        name
            The checkpoint's name.
        kind
            ``fine-tuning`` or ``pre-training``.
        manifest
            What it was trained on.
        start
            Checkpoint folder, or file, that it started from; None for random weights.
        """
        facts = manifest.made_with
        own = TrainingStage(name, kind, str(facts.get(SOURCE, "")), str(facts.get(SPLIT_RULE, "")))
        is_learned = manifest.index["split"].isin(("train", "valid"))
        learned = manifest.index.loc[is_learned, "subject_id"]
        before = cls((), ()) if start is None else read_seen_patients(start)
        return cls((own, *before.stages), (hash_patients(learned.unique(), own), *before.patients))

    def count(self, subject_ids: Iterable[object], source: str) -> list[int | None]:
        """Count the patients of a dataset that each training saw; None where that is unknown.

        Patients of another dataset have other names: they cannot be counted.
        """
        patients = {str(patient) for patient in subject_ids}
        return [
            int(np.isin(hash_patients(patients, stage), seen).sum())
            if stage.kind != UNKNOWN and stage.source == source
            else None
            for stage, seen in zip(self.stages, self.patients, strict=True)
        ]

    def find_learned(self, subject_ids: Iterable[object], source: str) -> set[str]:
        """Find the patients of a dataset whose labels a fine-tuning behind it read."""
        patients = sorted({str(patient) for patient in subject_ids})
        found: set[str] = set()
        for stage, seen in zip(self.stages, self.patients, strict=True):
            if stage.kind == FINE_TUNING and stage.source == source and patients:
                is_seen = np.isin(_hash_in_order(patients, stage), seen)
                found |= {patients[at] for at in np.flatnonzero(is_seen).tolist()}
        return found

    def write(self, folder: Path) -> None:
        """Write ``seen_patients.parquet`` into a checkpoint folder."""
        stage = np.repeat(np.arange(len(self.stages)), [len(seen) for seen in self.patients])
        patient = np.concatenate([*self.patients, np.empty(0, np.uint64)])
        named = json.dumps([asdict(one) for one in self.stages], ensure_ascii=False)
        table = pa.table(
            {"stage": pa.array(stage, pa.int16()), "patient": pa.array(patient, pa.uint64())},
            schema=_SCHEMA.with_metadata({_STAGES: named}),
        )
        pq.write_table(table, folder / SEEN_PATIENTS, compression="zstd")


def hash_patients(subject_ids: Collection[object], stage: TrainingStage) -> Hashes:
    """Hash patients for one training, sorted; another training has another salt."""
    return np.sort(_hash_in_order(subject_ids, stage))


def _hash_in_order(subject_ids: Collection[object], stage: TrainingStage) -> Hashes:
    key = blake2b(f"{stage.name}\0{stage.source}".encode()).digest()
    digests = [
        blake2b(str(patient).encode(), digest_size=8, key=key).digest() for patient in subject_ids
    ]
    return np.frombuffer(b"".join(digests), np.uint64)


def read_seen_patients(folder: Path) -> SeenPatients:
    """Read whom a checkpoint folder was trained on; a folder or file that does not say is unknown.

    Raises
    ------
    CheckpointError
        When its file cannot be read.
    """
    path = folder / SEEN_PATIENTS
    if not path.is_file():
        return SeenPatients((_unknown_stage(folder),), (_nobody(),))
    try:
        table = read_bounded_table(path)
        table = table.cast(_SCHEMA.with_metadata(table.schema.metadata))
        stages = [
            TrainingStage(**one) for one in json.loads((table.schema.metadata or {})[_STAGES])
        ]
    except (pa.ArrowException, OSError, RecursionError, *UNREADABLE_VALUES) as error:
        raise CheckpointError(
            f"Checkpoint {folder}: cannot read {SEEN_PATIENTS} ({error}). Remove the file: whom it "
            "was trained on is unknown then; or train it again."
        ) from error
    stage, patient = table["stage"].to_numpy(), table["patient"].to_numpy()
    return SeenPatients(
        tuple(stages), tuple(patient[stage == number] for number in range(len(stages)))
    )


def _nobody() -> Hashes:
    return np.empty(0, np.uint64)


def _unknown_stage(folder: Path) -> TrainingStage:
    return TrainingStage(_name_unknown(folder), UNKNOWN, family=_find_family(folder))


def _find_family(folder: Path) -> str:
    """Name the family of weights that may be public, unlike those that began as random ones."""
    run = read_json(folder / RUN) if (folder / RUN).is_file() else {}
    request = run.get("request")
    if isinstance(request, dict) and not (request.get("inputs") or {}).get("pretrained"):
        return RANDOM
    config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    return str(config.get("model_type") or "")


def _name_unknown(folder: Path) -> str:
    """Name weights by the file that they were imported from, if that is known."""
    if not (folder / IMPORT_REPORT).is_file() or (folder / RUN).is_file():
        return folder.name
    origin = read_json(folder / IMPORT_REPORT).get("source", {})
    name = origin.get("name") if isinstance(origin, dict) else None
    return str(name or folder.name)

"""Where an evaluation matrix keeps its files, and what each of its parts is made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ecg_assets.defs.matrix.design import recipe_of
from ecg_assets.defs.resources import Settings
from ecg_assets.errors import SettingsError
from ecg_assets.evaluation.external.external_labels import list_own_labels
from ecg_assets.evaluation.external.stored_source import StoredSource
from ecg_assets.evaluation.matrix.design import LINEAR_PROBE, Cell, MatrixDesign, MatrixModel
from ecg_assets.evaluation.matrix.embedding_file import EmbeddingInputs
from ecg_assets.finetune.starting_point import StartingPoint, find_spec
from ecg_assets.labels import LabelSet, load_label_set
from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.models.checkpoint_files import WEIGHTS
from ecg_assets.preprocess import ShardDataset


@dataclass(frozen=True)
class MatrixRoom:
    """A deployment's settings and its matrix.

    Attributes
    ----------
    settings, design
        What is asked for.
    """

    settings: Settings
    design: MatrixDesign

    @property
    def root(self) -> Path:
        """Folder of all results of the matrix."""
        return self.settings.data_path / "matrix"

    @property
    def cells(self) -> Path:
        """Folder of the evaluated cells."""
        return self.root / "cells"

    def embeddings(self, model: str, source: str) -> Path:
        """File of a model's embeddings of a source."""
        return self.root / "embeddings" / source / f"{model}.parquet"

    def stored(self, source: str) -> StoredSource:
        """Results of a source, be it the current one or another."""
        return StoredSource(source, self.settings.data_path / source)

    def load_labels(self, cell: Cell) -> LabelSet:
        """Load a cell's label set; own labels are those of its source's recordings."""
        stored = self.stored(cell.source)
        has_own = cell.source == "folder" and not stored.find_missing()
        own = list_own_labels(stored.read_reports()) if has_own else ()
        return load_label_set(self.design.label_sets[cell.label_set], own_labels=own)

    def start_of(self, model: MatrixModel) -> StartingPoint:
        """Find what a model starts from; a published file is imported once."""
        recipe, folder = recipe_of(self.design, model), None
        if model.checkpoint:
            from ecg_assets.models.pretrained_folder import imported_folder

            cache = self.root / "cache" / "imported"
            folder = imported_folder(Path(model.checkpoint), cache)
        spec = find_spec(
            recipe,
            folder,
            leads=self.settings.leads,
            resampling=self.settings.resampling,
            is_published=Path(model.checkpoint).is_file(),
        )
        return StartingPoint(recipe, spec, folder, self.settings.seed)

    def describe_start(self, model: MatrixModel) -> str:
        """Say in words what a model starts from."""
        if model.checkpoint:
            return Path(model.checkpoint).name
        return f"random weights, seed {self.settings.seed}"

    def name_inputs(self, model: MatrixModel, start: StartingPoint, source: str) -> EmbeddingInputs:
        """Name what a model's embeddings of a source are made from, its loaded encoder apart."""
        return EmbeddingInputs(
            start={**self._identify_start(model), "spec": start.spec.to_json()},
            encoder="",
            signals=fingerprint_signals(self.stored(source)),
            precision=self.settings.precision,
        )

    def identify(self, cell: Cell) -> str:
        """Fingerprint all that design and settings ask of a cell; it needs no data."""
        settings, model = self.settings, self.design.find_model(cell.model)
        labels = Path(self.design.label_sets[cell.label_set])
        asked: dict[str, Any] = {
            "cell": asdict(cell),
            "start": self._identify_start(model),
            "leads": list(settings.leads),
            "resampling": settings.resampling,
            "labels": fingerprint_file(labels) if labels.is_file() else str(labels),
            "label_threshold": settings.label_threshold,
            "flawed_records": settings.flawed_records,
            "max_per_condition": settings.max_per_condition,
            "n_resamples": settings.n_resamples,
            "seed": settings.seed,
        }
        if cell.method != LINEAR_PROBE:
            asked["recipe"] = recipe_of(self.design, model).to_json()
        return fingerprint_json(asked)

    def _identify_start(self, model: MatrixModel) -> dict[str, Any]:
        """Give what names a model's weights before any is loaded."""
        recipe = recipe_of(self.design, model)
        if not model.checkpoint:
            return {"family": recipe.family, "size": recipe.size, "seed": self.settings.seed}
        given = Path(model.checkpoint)
        file = given / WEIGHTS if given.is_dir() else given
        if not file.is_file():
            raise SettingsError(
                f"models.{model.name}.checkpoint: there is no {file}. Name a checkpoint folder or "
                "a file that its authors published (ECG_MATRIX)."
            )
        return {"family": recipe.family, "weights": _fingerprint_large(file)}


def _fingerprint_large(path: Path) -> str:
    """Fingerprint a file once in this process, while it stays the same."""
    state = path.stat()
    return _fingerprint_state(path, state.st_mtime_ns, state.st_size)


@cache
def _fingerprint_state(path: Path, changed_ns: int, size: int) -> str:
    return fingerprint_file(path)


def fingerprint_signals(stored: StoredSource) -> str:
    """Fingerprint of all shards of a source, by name and content."""
    shards = sorted(stored.shard_folder.glob("*.parquet"))
    return fingerprint_json({path.stem: _fingerprint_large(path) for path in shards})


def open_shards(stored: StoredSource, start: StartingPoint, model: str) -> ShardDataset:
    """Open a source's shards; raise `SettingsError` unless they store the leads of a model."""
    paths = {path.stem: path for path in stored.shard_folder.glob("*.parquet")}
    if not paths:
        raise SettingsError(
            f"{stored.folder} has no shards. Materialize signal_shards with "
            f"ECG_SOURCE={stored.name}."
        )
    shards = ShardDataset(paths)
    lacking = [lead for lead in start.spec.leads if lead not in shards.leads]
    if lacking:
        raise SettingsError(
            f"{model} reads the leads {list(start.spec.leads)}, but {stored.shard_folder} stores "
            f"{list(shards.leads)}. Set ECG_STORED_LEADS and materialize signal_shards again with "
            f"ECG_SOURCE={stored.name}, or take the model out of ECG_MATRIX."
        )
    return shards

"""One cell of the evaluation matrix, from stored data to its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ecg_assets.build import Manifest, SignalCache, fingerprint_manifest, write_manifest
from ecg_assets.defs.matrix_partitions import recipe_of
from ecg_assets.defs.settings import Settings, read_record_part
from ecg_assets.defs.training_requests import places_of_training
from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets.evaluation.external.labels import find_stored_labels, load_stored_label_set
from ecg_assets.evaluation.leakage import describe_overlaps, find_overlaps
from ecg_assets.evaluation.matrix.cell import (
    CellScores,
    build_cell_data,
    measure_cell,
    probe_features,
)
from ecg_assets.evaluation.matrix.design import LOGISTIC_REGRESSION, Cell, MatrixDesign, MatrixModel
from ecg_assets.evaluation.matrix.stored import (
    CellFacts,
    EmbeddingInputs,
    MissingCell,
    StoredCell,
    read_cell,
    read_embedding_inputs,
    read_embeddings,
    write_embeddings,
)
from ecg_assets.labels import LabelSet
from ecg_assets.labels.label_set import fingerprint_label_set
from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.models.checkpoint_folder import WEIGHTS, read_validation_predictions
from ecg_assets.models.hub import is_hub_name, local_checkpoint
from ecg_assets.models.seen_patients import read_seen_patients
from ecg_assets.preprocess import ShardDataset
from ecg_assets.store import SourceStore
from ecg_assets.training.finetune.request import PRETRAINED_INPUT, FinetuneRequest
from ecg_assets.training.finetune.start import StartingPoint, find_spec

# Where an evaluation matrix keeps its files, and what each of its parts is made from.


@dataclass(frozen=True)
class DeployedMatrix:
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
        return self.settings.store.matrix

    @property
    def cells(self) -> Path:
        """Folder of the evaluated cells."""
        return self.root / "cells"

    def embeddings(self, model: str, source: str) -> Path:
        """File of a model's embeddings of a source."""
        return self.root / "embeddings" / source / f"{model}.parquet"

    def stored(self, source: str) -> SourceStore:
        """Results of a source, be it the current one or another."""
        return self.settings.store.source(source)

    def load_labels(self, cell: Cell) -> LabelSet:
        """Load a cell's label set; own labels are those of its source's recordings."""
        stored, name = self.stored(cell.source), self.design.label_sets[cell.label_set]
        own = find_stored_labels(stored)
        found = load_stored_label_set(name, stored, own_labels=own)
        if found.vocabulary.is_continuous:
            raise SettingsError(
                f"Label set {cell.label_set} of the matrix is of numbers, and its cells measure "
                "labels (a logistic regression, AUROC). Leave it out of label_sets, and fine-tune "
                "on it by ECG_LABEL_SET."
            )
        return found

    def start_of(self, model: MatrixModel) -> StartingPoint:
        """Find what a model starts from; a published file is imported once."""
        recipe, folder = recipe_of(self.design, model), None
        given = self._find_checkpoint(model)
        if given is not None:
            from ecg_assets.models.load import imported_folder

            folder = imported_folder(given, self.root / "cache" / "imported")
        spec = find_spec(
            recipe,
            folder,
            leads=self.settings.leads,
            resampling=self.settings.resampling,
            part=read_record_part(self.settings.record_part),
            is_published=given is not None and given.is_file(),
        )
        return StartingPoint(recipe, spec, folder, self.settings.seed)

    def describe_start(self, model: MatrixModel) -> str:
        """Say in words what a model starts from."""
        if is_hub_name(model.checkpoint):
            return model.checkpoint
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

    def identify(self, cell: Cell, n_resamples: int) -> str:
        """Fingerprint all that design, settings and run ask of a cell; it needs no data."""
        settings, model = self.settings, self.design.find_model(cell.model)
        asked: dict[str, Any] = {
            "cell": asdict(cell.former),
            "start": self._identify_start(model),
            "leads": list(settings.leads),
            "resampling": settings.resampling,
            **settings.other_part,
            "labels": fingerprint_label_set(self.design.label_sets[cell.label_set]),
            "label_threshold": settings.label_threshold,
            "flawed_records": settings.flawed_records,
            "max_per_condition": settings.max_per_condition,
            "n_resamples": n_resamples,
            "seed": settings.seed,
        }
        recipe = recipe_of(self.design, model)
        if cell.method != LOGISTIC_REGRESSION:
            recipe = recipe_of(self.design, model, cell.method)
            asked["recipe"] = recipe.model_dump(mode="json")
        elif recipe.train_fraction != 1:
            asked["train_fraction"] = recipe.train_fraction
        return fingerprint_json(asked)

    def _find_checkpoint(self, model: MatrixModel) -> Path | None:
        """Give a model's checkpoint, fetched where the hub has it; None for random weights."""
        if not model.checkpoint:
            return None
        return local_checkpoint(model.checkpoint, self.settings.store.hub)

    def _identify_start(self, model: MatrixModel) -> dict[str, Any]:
        """Give what names a model's weights before any is loaded."""
        recipe, given = recipe_of(self.design, model), self._find_checkpoint(model)
        if given is None:
            return {"family": recipe.family, "size": recipe.size, "seed": self.settings.seed}
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


def fingerprint_signals(stored: SourceStore) -> str:
    """Fingerprint of all shards of a source, by name and content."""
    paths = stored.shard_paths()
    return fingerprint_json({shard: _fingerprint_large(path) for shard, path in paths.items()})


def open_shards(stored: SourceStore, start: StartingPoint, model: str) -> ShardDataset:
    """Open a source's shards; raise `SettingsError` unless they store the leads of a model."""
    paths = stored.shard_paths()
    if not paths:
        raise SettingsError(
            f"{stored.root} has no shards. Materialize signal_shards with ECG_SOURCE={stored.name}."
        )
    shards = ShardDataset(paths)
    lacking = [lead for lead in start.spec.leads if lead not in shards.leads]
    if lacking:
        raise SettingsError(
            f"{model} reads the leads {list(start.spec.leads)}, but {stored.shards} stores "
            f"{list(shards.leads)}. Set ECG_STORED_LEADS and materialize signal_shards again with "
            f"ECG_SOURCE={stored.name}, or take the model out of ECG_MATRIX."
        )
    return shards


Train = Callable[[FinetuneRequest], Path]
"""Trains a request and gives its finished folder."""


@dataclass(frozen=True)
class _Scored:
    """Scores of a cell's model, the hash of its weights, and more of its training."""

    scores: CellScores
    weights_sha256: str
    details: dict[str, Any]


def evaluate_cell(
    matrix: DeployedMatrix, cell: Cell, train: Train, *, n_resamples: int
) -> StoredCell:
    """Train and evaluate one cell; only its last step reads the test split.

    Raises
    ------
    SettingsError
        When the source's results, a lead or the embeddings are not stored.
    SchemaError, SpecMismatch
        When no label can be trained or expressed.
    """
    settings, model = matrix.settings, matrix.design.find_model(cell.model)
    start, stored = matrix.start_of(model), matrix.stored(cell.source)
    open_shards(stored, start, model.name)
    data = build_cell_data(
        stored,
        matrix.load_labels(cell),
        start.spec,
        threshold=settings.label_threshold,
        quality=settings.quality_policy,
        train_limit=settings.train_limit,
        train_fraction=start.recipe.train_fraction,
        seed=settings.seed,
    )
    score = _probe if cell.method == LOGISTIC_REGRESSION else _finetune
    scored = score(matrix, cell, start, data.manifest, train)
    test_patients = scored.scores.test.subject_ids.tolist()
    result = measure_cell(
        cell,
        data,
        scored.scores,
        {
            "manifest": fingerprint_manifest(data.manifest),
            "signals": fingerprint_signals(stored),
            "weights": scored.weights_sha256,
        },
        n_resamples=n_resamples,
        seed=settings.seed,
    )
    facts = CellFacts(
        cell=cell,
        identity=matrix.identify(cell, n_resamples),
        weights=matrix.describe_start(model),
        weights_sha256=scored.weights_sha256,
        seen_before=_describe_seen(start, test_patients, cell.source),
        details=scored.details,
    )
    return StoredCell(facts, result, scored.scores.test)


def _describe_seen(start: StartingPoint, test_patients: list[str], source: str) -> str:
    """Say what earlier training saw of the test patients; empty for random weights."""
    if start.folder is None:
        return ""
    overlaps = find_overlaps(read_seen_patients(start.folder), test_patients, source)
    return describe_overlaps(overlaps, len(set(test_patients)))


def collect_cells(matrix: DeployedMatrix) -> dict[Cell, StoredCell | MissingCell]:
    """Read all cells of the design, and say why another one is missing."""
    return {cell: _find_cell(matrix, cell) for cell in matrix.design.cells}


def resamples_of(cells: Mapping[Cell, StoredCell | MissingCell]) -> int:
    """Count the resamples behind the cells' intervals: the most of any cell, 0 without one."""
    stored = (cell for cell in cells.values() if isinstance(cell, StoredCell))
    return max((cell.result.n_resamples for cell in stored), default=0)


def _find_cell(matrix: DeployedMatrix, cell: Cell) -> StoredCell | MissingCell:
    weights = matrix.describe_start(matrix.design.find_model(cell.model))
    try:
        stored = read_cell(matrix.cells, cell)
        if stored is None:
            return MissingCell("not evaluated yet", weights)
        if stored.facts.identity == matrix.identify(cell, stored.result.n_resamples):
            return stored
    except EcgAssetsError as error:
        return MissingCell(str(error), weights)
    reason = "evaluated with another design or other settings: materialize it again"
    return MissingCell(reason, weights)


def _probe(
    matrix: DeployedMatrix, cell: Cell, start: StartingPoint, manifest: Manifest, train: Train
) -> _Scored:
    """Fit a logistic regression on stored embeddings; the encoder is not asked."""
    path = matrix.embeddings(cell.model, cell.source)
    expected = matrix.name_inputs(matrix.design.find_model(cell.model), start, cell.source)
    inputs = read_embedding_inputs(path)
    if inputs is None or not inputs.is_of(expected):
        state = "are not stored" if inputs is None else "were made from something else"
        raise SettingsError(
            f"Embeddings of {cell.source} by {cell.model} {state} ({path}). Materialize "
            f"frozen_embeddings, partition {cell.model}|{cell.source}, first."
        )
    features = read_embeddings(path, manifest.index["record_id"].tolist())
    scores, choices = probe_features(manifest, features)
    shown = choices.astype(object).where(choices.notna(), None).to_dict("records")
    return _Scored(scores, inputs.encoder, {"probe": shown, "n_features": features.shape[1]})


def _finetune(
    matrix: DeployedMatrix, cell: Cell, start: StartingPoint, manifest: Manifest, train: Train
) -> _Scored:
    """Train by the cell's method, and score the test split by the finished checkpoint."""
    from ecg_assets.evaluation.predict import predict_checkpoint

    request = _request(matrix, cell, start, manifest)
    folder = train(request)
    signals = SignalCache.open(
        manifest.index, request.shard_folder, manifest.spec, request.cache_folder
    )
    test = predict_checkpoint(
        folder,
        manifest,
        signals,
        manifest.rows("test"),
        device=request.device,
        precision=request.precision,
    )
    scores = CellScores(read_validation_predictions(folder), test)
    return _Scored(scores, fingerprint_file(folder / WEIGHTS), {"checkpoint": folder.name})


def _request(
    matrix: DeployedMatrix, cell: Cell, start: StartingPoint, manifest: Manifest
) -> FinetuneRequest:
    """Write the cell's manifest and build the request that trains on it."""
    settings, stored = matrix.settings, matrix.stored(cell.source)
    content = fingerprint_manifest(manifest)
    # Named by its content: another cell's training may be reading it.
    folder = matrix.root / "manifests" / cell.source / f"{cell.label_set}-{content[:16]}"
    if not folder.is_dir():
        write_manifest(manifest, folder)
    inputs = {"manifests": content, "signals": fingerprint_signals(stored)}
    if start.folder is not None:
        inputs[PRETRAINED_INPUT] = fingerprint_file(start.folder / WEIGHTS)
    model = matrix.design.find_model(cell.model)
    return FinetuneRequest(
        preset=model.preset,
        # The manifest has taken the fraction.
        recipe=recipe_of(matrix.design, model, cell.method).changed(train_fraction=1.0),
        manifest_folder=folder,
        output_folder=matrix.root / "checkpoints",
        inputs=inputs,
        pretrained=start.folder,
        **places_of_training(settings, stored),
    )


# Features of all stored recordings of a source by one model of the matrix.


@dataclass(frozen=True)
class Embedded:
    """Embeddings of a source.

    Attributes
    ----------
    path
        Their file.
    inputs
        What they were made from.
    n_records
        Recordings with an embedding.
    n_without
        Recordings without a whole segment or without signal, which have none.
    is_reused
        Whether the file was there already, made from the same.
    """

    path: Path
    inputs: EmbeddingInputs
    n_records: int
    n_without: int
    is_reused: bool


def embed_source(
    matrix: DeployedMatrix, model: MatrixModel, source: str, progress: Callable[[int], None]
) -> Embedded:
    """Run a frozen encoder over all shards of a source, unless it was done before.

    Raises
    ------
    SettingsError
        When the source's shards are not stored, or lack a lead of the model.
    CheckpointError, SpecMismatch
        When the model's checkpoint cannot be used.
    """
    from ecg_assets.models.apply import apply_to_shards
    from ecg_assets.training.finetune.starting_model import fingerprint_encoder, load_encoder

    start = matrix.start_of(model)
    shards = open_shards(matrix.stored(source), start, model.name)
    encoder = load_encoder(start)
    named = matrix.name_inputs(model, start, source)
    inputs = replace(named, encoder=fingerprint_encoder(encoder.model))
    path = matrix.embeddings(model.name, source)
    is_reused = read_embedding_inputs(path) == inputs
    if not is_reused:
        settings = matrix.settings
        batches = apply_to_shards(
            encoder, shards, device=settings.device, precision=settings.precision
        )
        write_embeddings(batches, inputs, path, progress=progress)
    n_records = pq.read_metadata(path).num_rows
    return Embedded(path, inputs, n_records, _count(shards) - n_records, is_reused)


def _count(shards: ShardDataset) -> int:
    """Count the recordings of shards."""
    return sum(pq.read_metadata(path).num_rows for path in shards.values())

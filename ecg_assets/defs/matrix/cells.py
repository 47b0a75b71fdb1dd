"""One cell of the evaluation matrix, from stored data to its numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecg_assets.build import Manifest, SignalCache, fingerprint_manifest, write_manifest
from ecg_assets.defs.matrix.room import MatrixRoom, fingerprint_signals, open_shards
from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets.evaluation.matrix.cell_data import build_cell_data
from ecg_assets.evaluation.matrix.design import LINEAR_PROBE, Cell
from ecg_assets.evaluation.matrix.embedding_file import read_embedding_inputs, read_embeddings
from ecg_assets.evaluation.matrix.evaluate_cell import CellScores, measure_cell, probe_features
from ecg_assets.evaluation.matrix.seen_before import describe_seen
from ecg_assets.evaluation.matrix.stored_cell import CellFacts, MissingCell, StoredCell, read_cell
from ecg_assets.finetune.request import PRETRAINED_INPUT, FinetuneRequest
from ecg_assets.finetune.starting_point import StartingPoint
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models.checkpoint_files import WEIGHTS, read_validation_predictions

Train = Callable[[FinetuneRequest], Path]
"""Trains a request and gives its finished folder."""


@dataclass(frozen=True)
class _Scored:
    """Scores of a cell's model, the fingerprint of its weights, and more of its training."""

    scores: CellScores
    fingerprint: str
    details: dict[str, Any]


def evaluate_cell(room: MatrixRoom, cell: Cell, train: Train) -> StoredCell:
    """Train and evaluate one cell; only its last step reads the test split.

    Raises
    ------
    SettingsError
        When the source's results, a lead or the embeddings are not stored.
    SchemaError, SpecMismatch
        When no label can be trained or expressed.
    """
    settings, model = room.settings, room.design.find_model(cell.model)
    start, stored = room.start_of(model), room.stored(cell.source)
    open_shards(stored, start, model.name)
    data = build_cell_data(
        stored,
        room.load_labels(cell),
        start.spec,
        threshold=settings.label_threshold,
        quality=settings.quality_policy,
        train_limit=settings.train_limit,
    )
    score = _probe if cell.method == LINEAR_PROBE else _finetune
    scored = score(room, cell, start, data.manifest, train)
    test_patients = scored.scores.test.subject_ids.tolist()
    result = measure_cell(
        cell,
        data,
        scored.scores,
        {
            "manifest": fingerprint_manifest(data.manifest),
            "signals": fingerprint_signals(stored),
            "weights": scored.fingerprint,
        },
        n_resamples=settings.n_resamples,
        seed=settings.seed,
    )
    facts = CellFacts(
        cell=cell,
        identity=room.identify(cell),
        weights=room.describe_start(model),
        fingerprint=scored.fingerprint,
        seen_before=describe_seen(start.folder, settings.data_path, test_patients, cell.source),
        details=scored.details,
    )
    return StoredCell(facts, result, scored.scores.test)


def collect_cells(room: MatrixRoom) -> dict[Cell, StoredCell | MissingCell]:
    """Read all cells of the design, and say why another one is missing."""
    return {cell: _find_cell(room, cell) for cell in room.design.cells}


def _find_cell(room: MatrixRoom, cell: Cell) -> StoredCell | MissingCell:
    weights = room.describe_start(room.design.find_model(cell.model))
    try:
        stored = read_cell(room.cells, cell)
        if stored is None:
            return MissingCell("not evaluated yet", weights)
        if stored.facts.identity == room.identify(cell):
            return stored
    except EcgAssetsError as error:
        return MissingCell(str(error), weights)
    reason = "evaluated with another design or other settings: materialize it again"
    return MissingCell(reason, weights)


def _probe(
    room: MatrixRoom, cell: Cell, start: StartingPoint, manifest: Manifest, train: Train
) -> _Scored:
    """Fit a linear probe on stored embeddings; the encoder is not asked."""
    path = room.embeddings(cell.model, cell.source)
    expected = room.name_inputs(room.design.find_model(cell.model), start, cell.source)
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
    room: MatrixRoom, cell: Cell, start: StartingPoint, manifest: Manifest, train: Train
) -> _Scored:
    """Fine-tune all weights, and score the test split by the finished checkpoint."""
    from ecg_assets.evaluation.predict import predict_checkpoint

    request = _request(room, cell, start, manifest)
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
    room: MatrixRoom, cell: Cell, start: StartingPoint, manifest: Manifest
) -> FinetuneRequest:
    """Write the cell's manifest and build the request that trains on it."""
    settings, stored = room.settings, room.stored(cell.source)
    content = fingerprint_manifest(manifest)
    # Named by its content: another cell's training may be reading it.
    folder = room.root / "manifests" / cell.source / f"{cell.label_set}-{content[:16]}"
    if not folder.is_dir():
        write_manifest(manifest, folder)
    inputs = {"manifests": content, "signals": fingerprint_signals(stored)}
    if start.folder is not None:
        inputs[PRETRAINED_INPUT] = fingerprint_file(start.folder / WEIGHTS)
    is_current = cell.source == settings.source
    return FinetuneRequest(
        preset=room.design.find_model(cell.model).preset,
        recipe=start.recipe,
        manifest_folder=folder,
        shard_folder=stored.shard_folder,
        cache_folder=stored.folder / "cache",
        output_folder=room.root / "checkpoints",
        inputs=inputs,
        trained_on={
            "source": cell.source,
            "split_rule": settings.split_rule if is_current else "as it is stored",
        },
        seed=settings.seed,
        device=settings.device,
        precision=settings.precision,
        pretrained=start.folder,
    )

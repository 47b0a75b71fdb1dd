"""One cell of the evaluation matrix, from stored data to its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ecg_assets.build import fingerprint_manifest
from ecg_assets.defs.computing import Compute, compute_silently
from ecg_assets.defs.design_models import (
    DesignModel,
    Train,
    finetune_cell,
    fingerprint_signals,
    probe_embeddings,
)
from ecg_assets.defs.matrix_partitions import recipe_of
from ecg_assets.defs.settings import Settings
from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets.evaluation.external.labels import find_stored_labels, load_stored_label_set
from ecg_assets.evaluation.leakage import describe_overlaps, find_overlaps
from ecg_assets.evaluation.matrix.cell import (
    build_cell_data,
    measure_cell,
)
from ecg_assets.evaluation.matrix.design import LOGISTIC_REGRESSION, Cell, MatrixDesign, MatrixModel
from ecg_assets.evaluation.matrix.stored import (
    CellFacts,
    MissingCell,
    StoredCell,
    read_cell,
)
from ecg_assets.labels import LabelSet
from ecg_assets.labels.label_set import fingerprint_label_set
from ecg_assets.lineage import fingerprint_json
from ecg_assets.models.seen_patients import read_seen_patients
from ecg_assets.store import SourceStore
from ecg_assets.training.finetune.start import StartingPoint

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

    def model(self, model: MatrixModel) -> DesignModel:
        """Give what the rest of the package knows of a model of the design."""
        return DesignModel(
            name=model.name,
            checkpoint=model.checkpoint,
            recipe=recipe_of(self.design, model),
            settings=self.settings,
            seed=self.settings.seed,
            imported=self.root / "cache" / "imported",
            where="ECG_MATRIX",
        )

    def identify(self, cell: Cell, n_resamples: int) -> str:
        """Fingerprint all that design, settings and run ask of a cell; it needs no data."""
        settings, model = self.settings, self.design.find_model(cell.model)
        asked: dict[str, Any] = {
            "cell": asdict(cell.former),
            "start": self.model(model).identify(),
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


def evaluate_cell(
    matrix: DeployedMatrix,
    cell: Cell,
    train: Train,
    compute: Compute = compute_silently,
    *,
    n_resamples: int,
) -> StoredCell:
    """Train and evaluate one cell; only its last step reads the test split.

    Raises
    ------
    SettingsError
        When the source's results, a lead or the embeddings are not stored.
    SchemaError, SpecMismatch
        When no label can be trained or expressed.
    """
    settings, named = matrix.settings, matrix.design.find_model(cell.model)
    model, stored = matrix.model(named), matrix.stored(cell.source)
    start = model.find()
    model.open_shards(stored, start)
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
    if cell.method == LOGISTIC_REGRESSION:
        scored = compute(
            probe_embeddings,
            model,
            start,
            stored,
            data.manifest,
            files={cell.source: matrix.embeddings(cell.model, cell.source)},
            advice=(f"Materialize frozen_embeddings, partition {cell.model}|{cell.source}, first."),
        )
    else:
        scored = finetune_cell(
            start,
            stored,
            data.manifest,
            recipe_of(matrix.design, named, cell.method),
            train=train,
            compute=compute,
            preset=named.preset,
            name=cell.label_set,
            settings=settings,
            root=matrix.root,
        )
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
        weights=model.describe(),
        weights_sha256=scored.weights_sha256,
        seen_before=describe_seen(start, test_patients, cell.source),
        details=scored.details,
    )
    return StoredCell(facts, result, scored.scores.test)


def describe_seen(start: StartingPoint, test_patients: list[str], source: str) -> str:
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
    weights = matrix.model(matrix.design.find_model(cell.model)).describe()
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

"""Scores of one cell, and what they are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.build import Manifest
from ecg_assets.evaluation.evaluate_checkpoint import evaluate_checkpoint
from ecg_assets.evaluation.external.external_labels import widen_labels
from ecg_assets.evaluation.matrix.cell_data import CellData
from ecg_assets.evaluation.matrix.design import Cell
from ecg_assets.evaluation.matrix.linear_probe import fit_probe
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.models.predictions import Predictions, ValidationPredictions


@dataclass(frozen=True)
class CellScores:
    """Scores of the labels that a cell's model was trained for.

    Attributes
    ----------
    validation
        Of the valid split: thresholds come from these.
    test
        Of the test split.
    """

    validation: ValidationPredictions
    test: Predictions


def probe_features(
    manifest: Manifest, features: NDArray[np.float32]
) -> tuple[CellScores, pd.DataFrame]:
    """Fit a linear probe on the train split and score valid and test.

    Parameters
    ----------
    manifest
        The recordings; each label has positives and negatives in train.
    features
        Of each recording of the manifest, ``(record, feature)``.

    Returns
    -------
    tuple
        Scores, and the choices of `LinearProbe`.
    """
    train, valid, test = (manifest.rows(split) for split in ("train", "valid", "test"))
    probe = fit_probe(
        features[train],
        manifest.targets[train],
        features[valid],
        manifest.targets[valid],
        manifest.vocabulary.names,
    )
    scores = CellScores(
        ValidationPredictions.of_rows(manifest, valid, probe.score(features[valid])),
        Predictions.of_rows(manifest, test, probe.score(features[test])),
    )
    return scores, probe.choices


def measure_cell(
    cell: Cell,
    data: CellData,
    scores: CellScores,
    lineage: Mapping[str, str],
    *,
    n_resamples: int,
    seed: int,
) -> EvaluationResult:
    """Compute metrics with intervals of a cell's test split, over all labels of its label set.

    Parameters
    ----------
    data
        What the cell was trained on; its `left_out` labels have no numbers.
    lineage
        Input to the fingerprint of its content.
    n_resamples, seed
        Of the bootstrap over patients.
    """
    widen = data.vocabulary, data.left_out
    return evaluate_checkpoint(
        widen_labels(scores.validation, *widen),
        widen_labels(scores.test, *widen),
        checkpoint=cell.row,
        source=cell.source,
        evaluation_set=f"{cell.source}, test split, labels {cell.label_set}",
        signal_spec=data.manifest.spec.to_json(),
        lineage=lineage,
        n_resamples=n_resamples,
        seed=seed,
        unmapped=data.left_out,
    )

"""What a report shows beside an evaluation: stored results of other assets, and the champion.

They are read as they stand on disk, so that a report can be made before all of them are; the
report says which are absent. What was made from other predictions than those of the report
counts as absent.
"""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq

from ecg_assets.defs.data_versions import input_version_of, version_of
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import TABLES
from ecg_assets.errors import SpecMismatch
from ecg_assets.evaluation import EvaluationResult, compare_predictions
from ecg_assets.evaluation.report.checkpoint_facts import describe_checkpoint
from ecg_assets.evaluation.report.curve_bands import CurveBands
from ecg_assets.evaluation.report.report_document import Background, Difference, Findings
from ecg_assets.evaluation.report.rivals import find_rival
from ecg_assets.lineage import fingerprint_file, fingerprint_json, git_commit, package_versions
from ecg_assets.models.checkpoint_files import WEIGHTS
from ecg_assets.models.predictions import Predictions

SLICES, LEADS, NOISE = "slice_metrics", "lead_degradation", "label_noise"
EXTERNAL = "external_metrics"
SHOWN_ASSETS = (SLICES, LEADS, NOISE, EXTERNAL)
"""Assets that a report shows if they are stored."""


def read_findings(
    instance: dg.DagsterInstance,
    settings: Settings,
    result: EvaluationResult,
    predictions: Predictions,
) -> Findings:
    """Collect what is stored about an evaluated checkpoint; what is not there is None."""
    name = result.checkpoint
    current = [one for one in SHOWN_ASSETS if _is_of_these_predictions(instance, one, name)]
    tables = {one: _read_table(settings, one, name) for one in (SLICES, LEADS, NOISE)}
    chosen = {one: table for one, table in tables.items() if one in current}
    difference, not_compared = _compare_with_rival(settings, result, predictions)
    return Findings(
        slices=chosen.get(SLICES),
        lead_degradation=chosen.get(LEADS),
        label_noise=chosen.get(NOISE),
        external=_read_external(settings, name) if EXTERNAL in current else None,
        difference=difference,
        not_compared=not_compared,
    )


def read_suspects(settings: Settings, checkpoint: str, findings: Findings) -> dict[str, bytes]:
    """Read the picture that `label_noise` left of its first recordings, by title."""
    if findings.label_noise is None:
        return {}
    path = settings.folder("label_review") / checkpoint / "strips.png"
    return {"Suspected labels": path.read_bytes()} if path.is_file() else {}


def describe_background(
    instance: dg.DagsterInstance, settings: Settings, result: EvaluationResult, bands: CurveBands
) -> Background:
    """Collect what the numbers of a report were made with."""
    folder = settings.checkpoints / result.checkpoint
    versions = {
        asset: version_of(instance, asset, result.checkpoint)
        for asset in SHOWN_ASSETS
        if _is_of_these_predictions(instance, asset, result.checkpoint)
    }
    return Background(
        model_card=describe_checkpoint(folder),
        rules={
            "label_set": Path(settings.label_set).name,
            "label_threshold": settings.label_threshold,
            "label_vocabulary": fingerprint_json(result.label_vocabulary),
            "split_rule": settings.split_rule,
        },
        code={"git_commit": git_commit(), "versions": package_versions()},
        curves={"n_resamples": bands.n_resamples, "seed": bands.seed},
        shown={name: version for name, version in versions.items() if version is not None},
    )


def _is_of_these_predictions(instance: dg.DagsterInstance, asset: str, checkpoint: str) -> bool:
    """Tell whether an asset was made from the predictions behind the metrics, if from any."""
    used, wanted = (
        input_version_of(instance, one, "predictions", checkpoint)
        for one in (asset, "eval_metrics")
    )
    return used is None or used == wanted


def _read_table(settings: Settings, asset: str, checkpoint: str) -> pd.DataFrame | None:
    path = settings.folder(asset) / f"{checkpoint}.parquet"
    if not path.is_file():
        return None
    frame: pd.DataFrame = TABLES[asset].require(pq.read_table(path)).to_pandas()
    return frame


def _read_external(settings: Settings, checkpoint: str) -> list[EvaluationResult] | None:
    path = settings.folder(EXTERNAL) / f"{checkpoint}.json"
    if not path.is_file():
        return None
    return [EvaluationResult.from_json(value) for value in json.loads(path.read_text())]


def _compare_with_rival(
    settings: Settings, result: EvaluationResult, predictions: Predictions
) -> tuple[Difference | None, str]:
    """Compare with the champion of the set: the difference, or why there is none."""
    paths = sorted(settings.folder("eval_metrics").glob("*.json"))
    stored = [EvaluationResult.from_json(json.loads(path.read_text())) for path in paths]
    rival = find_rival(result, stored)
    if rival is None:
        return None, "no other checkpoint has metrics on this set for the same labels"
    path = settings.folder("predictions") / f"{rival.other}.parquet"
    if not path.is_file():
        return None, f"the predictions of {rival.other} are no longer stored"
    try:
        table = compare_predictions(
            predictions,
            Predictions.from_table(pq.read_table(path)),
            labels=rival.labels,
            n_resamples=settings.n_resamples,
            seed=settings.seed,
        )
    except SpecMismatch as error:
        return None, f"{rival.other}: {error}"
    weights = settings.checkpoints / rival.other / WEIGHTS
    difference = Difference(
        champion=rival.champion,
        other=rival.other,
        other_fingerprint=fingerprint_file(weights) if weights.is_file() else None,
        n_checkpoints=rival.n_checkpoints,
        table=table,
        n_resamples=settings.n_resamples,
        seed=settings.seed,
    )
    return difference, ""

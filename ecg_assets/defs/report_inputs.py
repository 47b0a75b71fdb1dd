"""What a report shows beside an evaluation: stored results of other assets, and the champion.

They are read as they stand on disk, so that a report can be made before all of them are; the
report says which are absent. What was made from other predictions than those of the report
counts as absent.
"""

from __future__ import annotations

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq

from ecg_assets.build import Manifest
from ecg_assets.defs.data_versions import input_version_of, version_of
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show_leaderboard import by_registration
from ecg_assets.defs.tables import TABLES
from ecg_assets.errors import SchemaError, SpecMismatch
from ecg_assets.evaluation import EvaluationResult, compare_predictions
from ecg_assets.evaluation.leaderboard import TOO_FEW, find_rival
from ecg_assets.evaluation.report.curves import CurveBands
from ecg_assets.evaluation.report.document import (
    Background,
    Difference,
    Findings,
    describe_checkpoint,
)
from ecg_assets.evaluation.result import read_own_results, read_result
from ecg_assets.lineage import fingerprint_file, git_commit, package_versions
from ecg_assets.made_with import plain_facts
from ecg_assets.models.checkpoint_folder import WEIGHTS
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
    difference, not_compared = _compare_with_rival(instance, settings, result, predictions)
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
    path = settings.stored.folder("label_review") / checkpoint / "strips.png"
    return {"Suspected labels": path.read_bytes()} if path.is_file() else {}


def describe_background(
    instance: dg.DagsterInstance,
    settings: Settings,
    result: EvaluationResult,
    bands: CurveBands,
    manifest: Manifest,
) -> Background:
    """Collect what the numbers of a report were made with."""
    folder = settings.store.checkpoints / result.checkpoint
    versions = {
        asset: version_of(instance, asset, result.checkpoint)
        for asset in SHOWN_ASSETS
        if _is_of_these_predictions(instance, asset, result.checkpoint)
    }
    return Background(
        model_card=describe_checkpoint(folder),
        rules=plain_facts(result.made_with),
        code={"git_commit": git_commit(), "versions": package_versions()},
        curves={"n_resamples": bands.n_resamples, "seed": bands.seed},
        shown={name: version for name, version in versions.items() if version is not None},
        excluded={
            str(reason): int(n)
            for reason, n in manifest.count_excluded().itertuples(index=False, name=None)
        },
    )


def _is_of_these_predictions(instance: dg.DagsterInstance, asset: str, checkpoint: str) -> bool:
    """Tell whether an asset was made from the predictions behind the metrics, if from any."""
    used, wanted = (
        input_version_of(instance, one, "predictions", checkpoint)
        for one in (asset, "eval_metrics")
    )
    return used is None or used == wanted


def _read_table(settings: Settings, asset: str, checkpoint: str) -> pd.DataFrame | None:
    path = settings.stored.folder(asset) / f"{checkpoint}.parquet"
    if not path.is_file():
        return None
    frame: pd.DataFrame = TABLES[asset].require(pq.read_table(path)).to_pandas()
    return frame


def _read_external(settings: Settings, checkpoint: str) -> list[EvaluationResult] | None:
    path = settings.stored.folder(EXTERNAL) / f"{checkpoint}.json"
    if not path.is_file():
        return None
    try:
        found = read_result(path)
    except SchemaError:  # another version wrote it: as if it were not there
        return None
    return found if isinstance(found, list) else [found]


def _compare_with_rival(
    instance: dg.DagsterInstance,
    settings: Settings,
    result: EvaluationResult,
    predictions: Predictions,
) -> tuple[Difference | None, str]:
    """Compare with the champion of the set: the difference, or why there is none."""
    stored = read_own_results(settings.stored.folder("eval_metrics"))
    n_skipped = len(stored.skipped)
    skipped = f"; {n_skipped} evaluations of another version were skipped" if n_skipped else ""
    if result.is_too_small:
        return None, f"it has {result.n_patients} patients, {TOO_FEW} get no verdict{skipped}"
    rival = find_rival(result, by_registration(instance, stored.values()))
    if rival is None:
        return None, f"no other checkpoint has metrics on this set for the same labels{skipped}"
    path = settings.stored.folder("predictions") / f"{rival.other}.parquet"
    if not path.is_file():
        return None, f"the predictions of {rival.other} are no longer stored"
    try:
        table = compare_predictions(
            predictions,
            Predictions.from_table(pq.read_table(path)),
            labels=rival.labels,
            n_resamples=result.n_resamples,
            seed=settings.seed,
        )
    except SpecMismatch as error:
        return None, f"{rival.other}: {error}"
    weights = settings.store.checkpoints / rival.other / WEIGHTS
    difference = Difference(
        champion=rival.champion,
        other=rival.other,
        other_weights_sha256=fingerprint_file(weights) if weights.is_file() else None,
        n_checkpoints=rival.n_checkpoints,
        table=table,
        n_resamples=result.n_resamples,
        seed=settings.seed,
    )
    return difference, ""

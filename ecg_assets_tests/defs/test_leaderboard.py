"""The leaderboard asset and the checks of an evaluation, on stored files with planted faults."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ecg_assets.build import Manifest, write_manifest
from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.checks import evaluation
from ecg_assets.defs.settings import Settings
from ecg_assets.evaluation import EvaluationResult, evaluate_checkpoint
from ecg_assets.evaluation.sets import EvaluationSet, Part
from ecg_assets.models.predictions import Predictions, ValidationPredictions
from ecg_assets.preprocess import SignalSpec
from ecg_assets_tests.defs.small_job import SmallJob
from ecg_assets_tests.evaluation.simulation import (
    as_validation,
    blur,
    simulate_predictions,
)

_CHECKS = (
    evaluation.inputs_are_those_stored_now,
    evaluation.no_worse_than_the_champion,
    evaluation.calibration_is_that_of_validation,
    evaluation.every_label_can_be_measured,
    evaluation.predicted_shares_are_those_of_validation,
)
SET = "synthetic, test split"
N_RECORDS, N_SHARDS = 900, 3


@dataclass
class Stored:
    """Results of checkpoints as files, and the assets that read them."""

    job: SmallJob
    validation: ValidationPredictions
    test: Predictions

    @property
    def settings(self) -> Settings:
        return self.job.settings

    def keep(self, checkpoint: str, predictions: Predictions) -> None:
        """Store a checkpoint, its predictions and its metrics."""
        folder = self.settings.store.checkpoints / checkpoint
        folder.mkdir(parents=True)
        for name in ("model.safetensors", "config.json"):
            (folder / name).touch()
        (folder / "signal_spec.json").write_text(json.dumps(SignalSpec().to_json()))
        vocabulary = json.dumps(predictions.vocabulary.to_json())
        (folder / "label_vocabulary.json").write_text(vocabulary)
        pq.write_table(self.validation.to_table(), folder / "validation_predictions.parquet")
        self.keep_predictions(checkpoint, predictions)
        self.keep_metrics(self.evaluate(checkpoint, predictions))
        self.job.instance.add_dynamic_partitions("checkpoint", [checkpoint])

    def keep_predictions(self, checkpoint: str, predictions: Predictions) -> None:
        path = self.settings.stored.folder("predictions") / f"{checkpoint}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(predictions.to_table(), path)

    def evaluate(self, checkpoint: str, predictions: Predictions) -> EvaluationResult:
        return evaluate_checkpoint(
            self.validation,
            predictions,
            checkpoint=checkpoint,
            evaluation_set=EvaluationSet("synthetic", Part.TEST),
            signal_spec={},
            lineage={},
            n_resamples=60,
        )

    def keep_metrics(self, result: EvaluationResult) -> None:
        path = self.settings.stored.folder("eval_metrics") / f"{result.checkpoint}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result.to_json(), allow_nan=False))

    def failing_checks(self, checkpoint: str) -> list[str]:
        """Names of this stage's checks that do not pass for a checkpoint."""
        result = self.checks_job.execute_in_process(
            instance=self.job.instance, tags={"dagster/partition": checkpoint}
        )
        found = result.get_asset_check_evaluations()
        assert len(found) == len(_CHECKS)
        return [one.check_name for one in found if not one.passed]

    @cached_property
    def checks_job(self) -> dg.JobDefinition:
        selection = dg.AssetSelection.checks(*_CHECKS)
        mine = dg.Definitions(jobs=[dg.define_asset_job("only_checks", selection)])
        return dg.Definitions.merge(self.job.definitions, mine).resolve_job_def("only_checks")

    def leaderboard(self) -> pd.DataFrame:
        self.job.materialize("refused_checkpoints", "leaderboard")
        table: pd.DataFrame = pq.read_table(
            self.settings.stored.folder("leaderboard.parquet")
        ).to_pandas()
        return table


def _manifest(predictions: Predictions) -> Manifest:
    index = pd.DataFrame(
        {
            "record_id": predictions.record_ids,
            "subject_id": predictions.subject_ids,
            "split": "test",
            "shard": [f"p{i * N_SHARDS // N_RECORDS}" for i in range(N_RECORDS)],
            "row": np.arange(N_RECORDS) % (N_RECORDS // N_SHARDS),
        }
    )
    n_labels = len(predictions.vocabulary)
    excluded = pd.DataFrame({"record_id": [], "reason": []}, dtype=str)
    weights = np.ones(n_labels)
    return Manifest(
        index, predictions.target, predictions.vocabulary, SignalSpec(), weights, excluded
    )


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Stored]:
    """One good checkpoint, evaluated."""
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        job = SmallJob.at(tmp_path, instance)
        validation = as_validation(simulate_predictions(N_RECORDS, seed=8))
        found = Stored(job, validation, simulate_predictions(N_RECORDS, seed=9))
        write_manifest(_manifest(found.test), job.settings.stored.folder("manifests"))
        found.keep("good", found.test)
        yield found


def test_every_planted_fault_is_found_by_exactly_one_check(stored: Stored) -> None:
    assert stored.failing_checks("good") == []
    good = stored.evaluate("good", stored.test)
    stored.keep_metrics(_as_calibrated(good, 0.3))
    assert stored.failing_checks("good") == ["calibration_is_that_of_validation"]
    stored.keep_metrics(dataclasses.replace(good, undefined={"label 0": "no positive record"}))
    assert stored.failing_checks("good") == ["every_label_can_be_measured"]
    stored.keep_metrics(dataclasses.replace(good, lineage={"labels": "of another time"}))
    assert stored.failing_checks("good") == ["inputs_are_those_stored_now"]
    stored.keep_metrics(good)
    score = stored.test.score.copy()
    score[-N_RECORDS // N_SHARDS :, 1] = 0.99
    stored.keep_predictions("good", dataclasses.replace(stored.test, score=score))
    assert stored.failing_checks("good") == ["predicted_shares_are_those_of_validation"]


def _as_calibrated(result: EvaluationResult, slope: float) -> EvaluationResult:
    """The same result with a calibration line of this slope."""
    line = {"slope": slope, "intercept": slope - 1}
    micro = dict(result.micro)
    for name, value in line.items():
        for end, shift in (("", 0.0), ("_low", -0.05), ("_high", 0.05)):
            micro[f"calibration_{name}{end}"] = value + shift
    return dataclasses.replace(result, micro=micro)


def test_a_worse_checkpoint_fails_the_champions_check_alone(stored: Stored) -> None:
    """Two labels' scores swapped on some recordings: shares and calibration hardly move."""
    generator = np.random.default_rng(0)
    score = stored.test.score.copy()
    for label in range(score.shape[1]):
        rows = generator.permutation(N_RECORDS)[: N_RECORDS // 5]
        score[rows, label] = score[generator.permutation(rows), label]
    worse = dataclasses.replace(stored.test, score=score)
    stored.keep("worse", worse)
    stored.keep_metrics(_like(stored.evaluate("worse", worse), stored))
    assert stored.failing_checks("worse") == ["no_worse_than_the_champion"]


def _like(result: EvaluationResult, stored: Stored) -> EvaluationResult:
    return dataclasses.replace(result, micro=stored.evaluate("good", stored.test).micro)


def test_leaderboard_has_paired_differences_a_picture_and_a_csv(stored: Stored) -> None:
    stored.keep("worse", blur(stored.test, noise=0.6))
    stored.keep("alike", blur(stored.test, noise=0.001))
    table = stored.leaderboard().set_index("checkpoint")
    champion = str(table.index[table["is_champion"]][0])
    assert champion in {"good", "alike"}
    other = ({"good", "alike"} - {champion}).pop()
    assert table.at[other, "verdict"] == "not distinguishable"
    assert table.at["worse", "verdict"] == "worse"
    assert table["difference_high"]["worse"] < 0
    folder = stored.settings.stored.folder("leaderboard")
    assert len(pd.read_csv(folder / "leaderboard.csv")) == len(table)
    assert (folder / "leaderboard.png").read_bytes().startswith(b"\x89PNG")
    shown = stored.job.metadata("leaderboard")
    assert "data:image/png;base64," in shown["macro_auroc"]
    rows = {row.data["checkpoint"]: row.data for row in shown["leaderboard"].records}
    number = r"0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]"
    assert re.fullmatch(number, rows["worse"]["macro_auroc"])
    assert re.fullmatch(number.replace("0\\.", "−0\\."), rows["worse"]["difference"])
    assert rows[champion]["difference"] == "–"
    assert list(shown)[-2:] == ["dagster/column_schema", "path"]
    assert shown["not_compared"] == []


def test_a_copy_is_named_and_the_first_registered_is_the_champion(stored: Stored) -> None:
    """Also where the copy comes first by name."""
    stored.keep("a-copy", stored.test)
    for name in ("good", "a-copy"):
        result = stored.evaluate(name, stored.test)
        stored.keep_metrics(dataclasses.replace(result, lineage={"weights": "4f"}))
    table = stored.leaderboard().set_index("checkpoint")
    assert table["verdict"].to_dict() == {"good": "champion", "a-copy": "copy of the champion"}
    assert table["copy_of"].dropna().to_dict() == {"a-copy": "good"}


def test_a_removed_checkpoint_keeps_its_row(stored: Stored) -> None:
    stored.keep("gone", blur(stored.test, noise=0.2))
    for path in (stored.settings.store.checkpoints / "gone").iterdir():
        path.unlink()
    (stored.settings.store.checkpoints / "gone").rmdir()
    assert set(stored.leaderboard()["checkpoint"]) == {"good", "gone"}
    assert stored.job.metadata("leaderboard")["removed_checkpoints"] == ["gone"]


def test_pairs_that_do_not_fit_are_named_and_the_others_compared(stored: Stored) -> None:
    """Labels changed between two evaluations: the older one waits for its re-evaluation."""
    stored.keep("old", blur(stored.test, noise=0.2))
    target = stored.test.target.copy()
    target[:5] = 1 - target[:5]
    old = dataclasses.replace(blur(stored.test, noise=0.2), target=target)
    stored.keep_predictions("old", old)
    table = stored.leaderboard().set_index("checkpoint")
    assert table.at["old", "verdict"] == "not compared"
    (reason,) = stored.job.metadata("leaderboard")["not_compared"]
    assert "other targets" in reason


def test_definitions_offer_every_job_the_page_names() -> None:
    names = {job.name for job in build_definitions().resolve_all_job_defs()}
    assert {"evaluate", "refused", "leaderboard_job", "describe_data", "pretrain"} <= names

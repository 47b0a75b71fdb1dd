"""From a checkpoint to probabilities, metrics and differences."""

from __future__ import annotations

import copy
import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

import ecg_assets
from ecg_assets import (
    BadRecord,
    CheckpointError,
    LeakageError,
    SchemaError,
    SettingsError,
    SpecMismatch,
)
from ecg_assets.evaluation import evaluate as evaluate_arrays
from ecg_assets.evaluation.thresholds import Thresholds
from ecg_assets.labels import ECG_FM_LABELS, load_label_set
from ecg_assets.models import predict_recording, read_validation_predictions
from ecg_assets.models.checkpoint import save_trained
from ecg_assets.models.checkpoint_folder import SIGNAL_SPEC
from ecg_assets.models.seen_patients import FINE_TUNING, SeenPatients
from ecg_assets.sources.synthetic.made import write_made
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.starting_model import random_model
from ecg_assets_tests.api.conftest import Cohort, good_records
from ecg_assets_tests.models.fairseq_checkpoints import write_finetuned
from ecg_assets_tests.test_readme import ROOT


@pytest.fixture(scope="module")
def model(cohort: Cohort) -> ecg_assets.Model:
    return ecg_assets.from_pretrained(cohort.checkpoint("first"), device="cpu")


@pytest.fixture(scope="module")
def evaluation(cohort: Cohort, model: ecg_assets.Model) -> ecg_assets.Evaluation:
    return ecg_assets.evaluate(model, cohort.source, n_resamples=100)


# A checkpoint


def test_a_model_says_what_it_reads_and_gives(model: ecg_assets.Model) -> None:
    assert model.labels == ECG_FM_LABELS.names
    assert (model.leads, model.device) == (("II",), "cpu")
    assert not model.module.training
    assert repr(model) == "Model('first': ecg_fm, 17 labels, reads II at 500 Hz, on cpu)"


def test_a_file_of_its_authors_is_imported_once(cohort: Cohort, tmp_path: Path) -> None:
    path = write_finetuned(tmp_path / "a.pt", n_labels=17)
    found = ecg_assets.from_pretrained(path, device="cpu", cache_folder=tmp_path / "cache")
    (folder,) = (tmp_path / "cache" / "imported").iterdir()
    assert found.card.folder == folder
    written = (folder / "model.safetensors").stat().st_mtime_ns
    again = ecg_assets.from_pretrained(path, device="cpu", cache_folder=tmp_path / "cache")
    recording = cohort.source.recording(good_records(cohort, 1)[0])
    assert again.predict(recording).equals(found.predict(recording))
    assert (folder / "model.safetensors").stat().st_mtime_ns == written


def test_what_cannot_predict_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(cohort.checkpoint("first"), folder)
    (folder / SIGNAL_SPEC).unlink()
    with pytest.raises(CheckpointError, match=r"does not say what signal_spec\.json would"):
        ecg_assets.from_pretrained(folder, device="cpu")
    with pytest.raises(CheckpointError, match="No pretrained checkpoint"):
        ecg_assets.from_pretrained(tmp_path / "none", device="cpu")
    with pytest.raises(SettingsError, match="device is 'tpu'"):
        ecg_assets.from_pretrained(cohort.checkpoint("first"), device="tpu")


def test_the_lines_of_the_readme_lead_from_a_file_to_a_label(
    cohort: Cohort,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ecg_assets.api.model.shared_cache", lambda: tmp_path / "cache")
    (lines,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL
    )
    path = cohort.source.choose(good_records(cohort, 1))["path"].iloc[0]
    for documented, here in {
        "mimic_iv_ecg_finetuned.pt": write_finetuned(tmp_path / "a.pt", n_labels=17),
        "files/p1000/p10000032/s40689238/40689238": cohort.source.root / path,
    }.items():
        assert f'"{documented}"' in lines
        lines = lines.replace(documented, str(here))
    exec(lines, {})
    assert capsys.readouterr().out.strip() in ECG_FM_LABELS.names


def test_the_lines_of_the_page_run_on_a_made_ptb_xl(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_made("ptb-xl", tmp_path / "ptb-xl", n_records=60)
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    labels = load_label_set("ptb-xl-super-drop").vocabulary
    spec = cohort.manifest.spec
    torch.manual_seed(0)
    model = random_model(PRESETS["tiny"], spec, labels).eval()
    (tmp_path / "model").mkdir()
    save_trained(tmp_path / "model", model, spec, labels)
    for documented, here in {"/data/ptb-xl": "ptb-xl", "checkpoints/ecg-fm": "model"}.items():
        assert f'"{documented}"' in lines
        lines = lines.replace(documented, str(tmp_path / here))
    names: dict[str, Any] = {}
    exec(lines.replace('recording("1")', "recording(source.records['record_id'][0])"), names)
    assert names["evaluation"].result.n_records > 30
    splits = names["source"].splits()
    assert set(splits) == {"train", "valid", "test"}
    assert set(splits.index) == set(names["source"].records["record_id"])


# Probabilities


def test_every_way_to_a_recording_gives_the_same_probabilities(
    cohort: Cohort, model: ecg_assets.Model
) -> None:
    (name,) = good_records(cohort, 1)
    path = cohort.source.root / cohort.source.choose([name])["path"].iloc[0]
    expected = predict_recording(model.trained, path)
    recording = cohort.source.recording(name)
    found = model.predict(recording)
    assert found.to_dict() == expected == model.predict(path).to_dict()
    assert found.name == name
    shards = ecg_assets.open_shards(cohort.data_dir)
    assert model.predict(shards.recording(name)).to_dict() == expected
    in_mv = model.predict(
        recording.signal_mv[::-1], sample_rate_hz=500, leads=recording.leads[::-1]
    )
    assert in_mv.to_dict() == pytest.approx(expected, abs=1e-6)
    for data in (cohort.source, shards):
        row = model.predict_records(data, [name]).loc[name]
        assert row.to_dict() == pytest.approx(expected, abs=1e-6)


def test_source_and_shards_have_the_same_scores_and_reasons(
    cohort: Cohort, model: ecg_assets.Model
) -> None:
    shards = ecg_assets.open_shards(cohort.data_dir)
    with pytest.warns(UserWarning, match=r"recordings have no score: .*file 1"):
        found = model.predict_records(cohort.source)
    assert found.index.tolist() == cohort.source.records["record_id"].tolist()
    ids = found.index.tolist()[::-1]
    stored = model.apply(shards, ids)
    assert stored.scores.index.tolist() == ids
    both = found.dropna().index.intersection(stored.scores.dropna().index)
    assert len(both) > 190
    np.testing.assert_allclose(stored.scores.loc[both], found.loc[both], atol=1e-6)
    of_source = model.apply(cohort.source)
    lacking = set(found.index[found.isna().any(axis=1)])
    assert lacking == set(of_source.reasons.index)
    assert found.loc[list(lacking)].isna().all(axis=None)
    # A shard has no recording of which a lead that the model does not read is damaged.
    more = set(stored.reasons.index) - lacking
    assert lacking <= set(stored.reasons.index) and set(stored.reasons[list(more)]) <= {
        "not_stored"
    }
    assert set(stored.reasons) <= {"not_stored", "no_signal", "too_short"}
    for name, reason in of_source.reasons.items():
        with pytest.raises(
            (BadRecord, SpecMismatch), match=reason if reason != "too_short" else ""
        ):
            model.predict(cohort.source.recording(str(name)))


def test_embeddings_are_finite_where_there_is_a_score(
    cohort: Cohort, model: ecg_assets.Model
) -> None:
    found = model.embed_records(cohort.source, good_records(cohort, 4))
    assert found.shape == (4, model.module.config.hidden_size)
    assert np.isfinite(found).all(axis=None)
    assert found.iloc[0].ne(found.iloc[1]).any()


def test_an_array_without_rate_or_leads_is_refused(cohort: Cohort, model: ecg_assets.Model) -> None:
    noise = np.random.default_rng(0).standard_normal((1, 5000))
    with pytest.raises(TypeError, match="give sample_rate_hz and leads"):
        model.predict(noise)
    with pytest.raises(TypeError, match="a recording says its own"):
        model.predict(ecg_assets.Recording(noise, ("II",), 500), leads=["II"])
    with pytest.raises(BadRecord, match="missing_lead: the recording has the leads I, not II"):
        model.predict(noise, sample_rate_hz=500, leads=["I"])
    with pytest.raises(SpecMismatch, match=r"has 2\.0 s; the model reads segments of 5\.0 s"):
        model.predict(noise[:, :1000], sample_rate_hz=500, leads=["II"])
    for flat in (np.ones((1, 5000)), np.full((1, 5000), np.nan)):
        with pytest.raises(BadRecord, match="nothing to score"):
            model.predict(flat, sample_rate_hz=500, leads=["II"])
    with pytest.raises(ValueError, match="twice"):
        model.predict_records(cohort.source, good_records(cohort, 1) * 2)


def test_a_recording_of_replaced_samples_is_scored_by_these(
    cohort: Cohort, model: ecg_assets.Model
) -> None:
    (name,) = good_records(cohort, 1)
    recording = cohort.source.recording(name)
    turned = np.ascontiguousarray(recording.signal_mv[:, ::-1])
    expected = model.predict(turned, sample_rate_hz=500, leads=recording.leads)
    assert not np.allclose(expected, model.predict(recording))
    found = model.predict(replace(recording, signal_mv=turned))
    np.testing.assert_array_equal(found, expected)
    alone = model.predict(recording["II"][None], sample_rate_hz=500, leads="II")
    np.testing.assert_allclose(alone, model.predict(recording), atol=1e-6)


# Metrics


def test_patients_of_the_training_are_left_out_and_counted(
    cohort: Cohort, evaluation: ecg_assets.Evaluation
) -> None:
    learned = cohort.patients("train") | cohort.patients("valid")
    evaluated = set(evaluation.predictions.subject_ids)
    assert evaluated and not evaluated & learned
    records = cohort.source.records
    assert evaluation.left_out["seen_in_training"] == records["subject_id"].isin(learned).sum()
    n_left = sum(evaluation.left_out.values())
    assert n_left + len(evaluation.predictions) == len(records)
    assert not evaluation.result.is_leaking
    assert evaluation.result.evaluation_set.name == "synthetic, test split"


def test_metrics_are_those_of_the_arrays(
    cohort: Cohort, model: ecg_assets.Model, evaluation: ecg_assets.Evaluation
) -> None:
    ids = evaluation.predictions.record_ids.tolist()
    labels, scores = cohort.source.labels(record_ids=ids), model.predict_records(cohort.source, ids)
    subjects = cohort.source.choose(ids)["subject_id"].to_numpy()
    validation = read_validation_predictions(model.card.folder)
    expected = evaluate_arrays(
        scores.to_numpy(),
        labels.astype(float).to_numpy(),
        model.labels,
        subjects,
        100,
        thresholds=Thresholds.from_validation(validation),
    )
    pd.testing.assert_frame_equal(evaluation.table, expected)
    auroc = evaluation.metric().loc["macro"]
    assert auroc["low"] < auroc["value"] < auroc["high"]
    assert f"macro AUROC {auroc['value']:.3f} [{auroc['low']:.3f}" in repr(evaluation)
    with pytest.raises(KeyError, match="no metric 'roc'; there are auroc"):
        evaluation.metric("roc")


def test_shards_give_the_metrics_of_the_source(cohort: Cohort, model: ecg_assets.Model) -> None:
    ids = cohort.manifest.index["record_id"].tolist()
    found, expected = (
        ecg_assets.evaluate(model, data, record_ids=ids, n_resamples=0)
        for data in (ecg_assets.open_shards(cohort.data_dir), cohort.source)
    )
    pd.testing.assert_frame_equal(found.table, expected.table)
    assert found.result.evaluation_set == expected.result.evaluation_set
    assert found.left_out.keys() == {"seen_in_training"}


def test_a_table_of_labels_can_be_given(cohort: Cohort, model: ecg_assets.Model) -> None:
    index = cohort.manifest.index
    ids = index.loc[index["split"] == "test", "record_id"].astype(str).tolist()
    labels = cohort.source.labels(record_ids=ids)[["Sinus rhythm", "Tachycardia"]].astype("Int8")
    labels.loc[ids[0], "Tachycardia"] = pd.NA
    found = ecg_assets.evaluate(model, cohort.source, labels, record_ids=ids, n_resamples=0)
    metric: Any = found.metric()
    assert metric.loc[["Sinus rhythm", "Tachycardia"], "n"].tolist() == [len(ids), len(ids) - 1]
    assert np.isnan(metric.loc["Bradycardia", "value"])
    reason = found.table.set_index(["label", "metric"])["undefined"]["Bradycardia", "auroc"]
    assert reason == "no column of the labels that were given"
    assert found.result.evaluation_set.name == "synthetic, chosen recordings"
    for wrong, message in (
        (labels.assign(AF=1), "are no labels of the model"),
        (labels + 1, r"labels holds \[2.0\]"),
        (pd.concat([labels, labels]), "twice"),
    ):
        with pytest.raises((SpecMismatch, ValueError), match=message):
            ecg_assets.evaluate(model, cohort.source, wrong, record_ids=ids)


def test_nobody_is_left_where_all_were_trained_on(cohort: Cohort, model: ecg_assets.Model) -> None:
    index = cohort.manifest.index
    seen = index.loc[index["split"] == "train", "record_id"].tolist()
    with pytest.raises(LeakageError, match="was trained or validated on the labels of all"):
        ecg_assets.evaluate(model, cohort.source, record_ids=seen)


def test_recordings_that_were_learned_under_other_names_are_said_to_be(
    cohort: Cohort, tmp_path: Path
) -> None:
    folder = shutil.copytree(cohort.checkpoint("first"), tmp_path / "shared")
    manifest = replace(cohort.manifest, made_with={"source": "ptb-xl"})
    SeenPatients.of_training("shared", FINE_TUNING, manifest, start=None).write(folder)
    data = copy.copy(cohort.source)
    data.name = "physionet-2021"
    model = ecg_assets.from_pretrained(folder, device="cpu")
    with pytest.warns(UserWarning, match="PhysioNet 2021 contains the recordings of PTB-XL"):
        found = ecg_assets.evaluate(model, data, n_resamples=0)
    assert repr(found).endswith("; overlaps with the training data)")


def test_patients_are_left_out_where_shards_do_not_say_their_source(
    cohort: Cohort, model: ecg_assets.Model, tmp_path: Path
) -> None:
    root = shutil.copytree(cohort.stored.root, tmp_path / "synthetic")
    for path in (root / "signal_shards").glob("*.parquet"):
        pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    found = ecg_assets.evaluate(model, ecg_assets.open_shards(root), n_resamples=0)
    assert found.left_out["seen_in_training"] > 0


def test_what_cannot_be_evaluated_is_refused_by_its_name(
    cohort: Cohort, model: ecg_assets.Model, evaluation: ecg_assets.Evaluation
) -> None:
    name = str(evaluation.predictions.record_ids[0])
    with pytest.raises(ValueError, match=f"record_ids names '{name}' twice"):
        ecg_assets.evaluate(model, cohort.source, record_ids=[name, name])
    with pytest.raises(SchemaError, match=r"No recording of OpenedSource.+ is chosen"):
        ecg_assets.evaluate(model, cohort.source, record_ids=[])
    labels = cohort.source.labels(record_ids=[name]).iloc[:, [0, 0]]
    with pytest.raises(ValueError, match="labels has a column twice"):
        ecg_assets.evaluate(model, cohort.source, labels)
    with pytest.raises(ValueError, match="n_resamples is -1"):
        ecg_assets.compare(evaluation, evaluation, n_resamples=-1)


def test_an_unknown_training_has_no_thresholds_and_says_so(cohort: Cohort) -> None:
    folder = cohort.checkpoint("unknown", seed=1, is_trained=False)
    unknown = ecg_assets.from_pretrained(folder, device="cpu")
    found = ecg_assets.evaluate(
        unknown, cohort.source, record_ids=good_records(cohort, 40), n_resamples=0
    )
    assert found.result.relation == "unknown"
    f1: Any = found.table.set_index(["label", "metric"]).loc[("Sinus rhythm", "f1")]
    assert np.isnan(f1["value"])
    assert f1["undefined"] == "no threshold for this label"


def test_a_model_of_other_labels_needs_to_be_told_what_is_true(
    cohort: Cohort, model: ecg_assets.Model
) -> None:
    with pytest.raises(SpecMismatch, match="Label vocabulary of the label set differs"):
        ecg_assets.evaluate(model, cohort.source, "six-conditions")


# Differences


def test_a_difference_is_that_of_the_metrics_and_none_from_itself(
    cohort: Cohort, evaluation: ecg_assets.Evaluation
) -> None:
    other_model = ecg_assets.from_pretrained(cohort.checkpoint("second", seed=2), device="cpu")
    other = ecg_assets.evaluate(other_model, cohort.source, n_resamples=0)
    found = ecg_assets.compare(evaluation, other, n_resamples=100)
    of_auroc = found[found["metric"] == "auroc"].set_index("label")
    expected = evaluation.metric()["value"] - other.metric()["value"]
    names = [name for name in of_auroc.index if name != "macro"]
    np.testing.assert_allclose(of_auroc.loc[names, "difference"], expected[names], atol=1e-12)
    macro = of_auroc.loc["macro"]
    assert macro["low"] < macro["difference"] < macro["high"]
    itself = ecg_assets.compare(evaluation, evaluation, n_resamples=10)
    assert (itself["difference"].dropna() == 0).all()


def test_a_recording_is_scored_without_a_warning(cohort: Cohort, model: ecg_assets.Model) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict_records(cohort.source, good_records(cohort, 3))

"""The made PTB-XL: the release's files, statements that its signals show, and its traps."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecg_assets.errors import LeakageError
from ecg_assets.labels import label_records, load_label_set
from ecg_assets.labels.study_counts import derive_tasks, find_differing_statements
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS
from ecg_assets.sources import PtbXl, read_recording
from ecg_assets.sources.ptb_xl import PTB_XL
from ecg_assets.sources.synthetic.made.ptb_xl import COLUMNS, write_ptb_xl
from ecg_assets.split.folds import split_by_folds

TASKS = {"super": 5, "sub": 23, "diag": 44, "form": 19, "rhythm": 12, "all": 71}
N_RECORDS = 300


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "ptb-xl"
    write_ptb_xl(folder, n_records=N_RECORDS)
    return folder


def _records(root: Path) -> pd.DataFrame:
    return PtbXl(root).read_records().table


def _labels(root: Path, label_set: str) -> pd.DataFrame:
    reports = PtbXl(root).read_reports(_records(root)).table
    found = label_records(reports, label_set=load_label_set(label_set)).labels
    return found.pivot(index="record_id", columns="label", values="value")


def _split(root: Path) -> pd.DataFrame:
    of = PTB_XL.folds
    assert of is not None
    folds = PtbXl(root).read_folds()
    return split_by_folds(_records(root), folds, train=of.train, valid=of.valid, test=of.test)


def test_tables_are_the_releases(root: Path) -> None:
    table = pd.read_csv(root / "ptbxl_database.csv")
    assert tuple(table.columns) == COLUMNS
    assert len(COLUMNS) == 28
    assert table["patient_id"].nunique() < len(table) == N_RECORDS
    for name in (*table["filename_lr"], *table["filename_hr"]):
        assert (root / f"{name}.hea").is_file()
        assert (root / f"{name}.dat").is_file()
    statements = PtbXl(root).read_statements()
    assert {task: len(labels) for task, labels in derive_tasks(statements).items()} == TASKS
    sets = {task: load_label_set(f"ptb-xl-{task}-drop") for task in TASKS}
    assert find_differing_statements(sets, statements) == {task: [] for task in TASKS}
    written = {code for text in table["scp_codes"] for code in ast.literal_eval(text)}
    assert written <= set(statements.index)
    assert all(ast.literal_eval(text) for text in table["scp_codes"])


def test_leads_are_those_that_their_names_say(root: Path) -> None:
    for rate_hz, n_samples, name in ((500, 5000, "00007_hr"), (100, 1000, "00007_lr")):
        path = root / f"records{rate_hz}" / "00000" / name
        record = read_recording(path, STANDARD_LEADS, root=root)
        assert (record.sample_rate, record.signal.shape) == (rate_hz, (12, n_samples))
        lead = dict(zip(STANDARD_LEADS, record.physical(), strict=True))
        assert np.abs(lead["I"] + lead["III"] - lead["II"]).max() < 0.004
        assert np.abs(lead["aVF"] - (lead["II"] + lead["III"]) / 2).max() < 0.004
        assert np.abs(lead["aVL"] - (lead["I"] - lead["III"]) / 2).max() < 0.004


def test_a_diagnosis_of_likelihood_0_is_present(root: Path, tmp_path: Path) -> None:
    table = pd.read_csv(root / "ptbxl_database.csv")
    codes = [ast.literal_eval(text) for text in table["scp_codes"]]
    is_norm = [("NORM" in found, found.get("NORM") == 0) for found in codes]
    n_norm, n_unsure = (sum(column) for column in zip(*is_norm, strict=True))
    assert 0 < n_unsure < n_norm
    assert _labels(root, "ptb-xl-super-keep")["NORM"].sum() == n_norm
    likely = tmp_path / "likely.yaml"
    likely.write_text("like: ptb-xl-super-keep\nlikelihood: 1\n", encoding="utf-8")
    assert _labels(root, str(likely))["NORM"].sum() == n_norm - n_unsure


@pytest.mark.parametrize("task", ["super", "form", "rhythm"])
def test_recordings_without_a_label_of_the_task_are_dropped_or_kept(task: str, root: Path) -> None:
    kept, dropped = (_labels(root, f"ptb-xl-{task}-{rule}") for rule in ("keep", "drop"))
    assert len(kept) == N_RECORDS > len(dropped)
    without = kept.drop(index=dropped.index)
    assert not without.to_numpy().any()
    assert dropped.to_numpy().any(axis=1).all()


def test_no_patient_is_in_two_folds_unless_it_leaks(root: Path, tmp_path: Path) -> None:
    split = _split(root)
    assert set(split["split"]) == {"train", "valid", "test"}
    assert (split.groupby("subject_id")["split"].nunique() == 1).all()
    write_ptb_xl(tmp_path / "leaky", n_records=60, leaky=True)
    with pytest.raises(LeakageError, match=r"(?i)1 .*patient"):
        _split(tmp_path / "leaky")


def test_an_age_above_89_is_hidden(root: Path) -> None:
    table = pd.read_csv(root / "ptbxl_database.csv")
    n_hidden = int((table["age"] == 300).sum())
    assert n_hidden > 0
    assert table.loc[table["age"] != 300, "age"].max() <= 89
    found = PtbXl(root).read_records()
    assert found.findings["ages_above_89_hidden"] == n_hidden
    assert found.table["age"].isna().sum() == n_hidden


def _features(root: Path, path: str) -> NDArray[np.float64]:
    """Extremes and spread of each lead, and quartiles of its steps."""
    signal_mv = read_recording(root / path, STANDARD_LEADS, root=root).physical()
    steps = np.quantile(np.abs(np.diff(signal_mv, axis=1)), (0.5, 0.9), axis=1)
    spread = np.quantile(signal_mv, (0, 0.05, 0.25, 0.75, 0.95, 1), axis=1)
    return np.concatenate([steps, spread]).ravel()


def test_superclasses_can_be_learnt_from_the_signals(root: Path) -> None:
    labels, split = _labels(root, "ptb-xl-super-keep"), _split(root).set_index("record_id")
    paths = _records(root).set_index("record_id")["path"]
    features = np.array([_features(root, paths[name]) for name in labels.index])
    # Patients of folds 1 to 6 against all others, so that each class has some.
    is_train = PtbXl(root).read_folds()[labels.index].le(6).to_numpy()
    assert set(split.index) == set(labels.index)
    for name in labels.columns:
        target = labels[name].to_numpy()
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=2000))
        model.fit(features[is_train], target[is_train])
        score = model.decision_function(features[~is_train])
        assert roc_auc_score(target[~is_train], score) > 0.65, name

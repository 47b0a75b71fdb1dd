"""The six tasks of PTB-XL give the published counts, from its table down to the labels."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ecg_assets.labels import LabelSet, label_records, load_label_set
from ecg_assets.labels.label_set import find_study
from ecg_assets.labels.study_counts import (
    RECORDS,
    compare_with_study,
    derive_tasks,
    find_differing_statements,
    main,
)
from ecg_assets.sources import PtbXl
from ecg_assets.sources.ptb_xl import PTB_XL
from ecg_assets_tests.sources import made_ptb_xl as made

TASKS = {"super": 5, "sub": 23, "diag": 44, "form": 19, "rhythm": 12, "all": 71}
TEST_RECORDINGS = {"super": 2158, "sub": 2158, "diag": 2158, "form": 880, "rhythm": 2098}
PUBLISHED = {"super": made.SUPER, "sub": made.SUB, "form": made.FORM, "rhythm": made.RHYTHM}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ptb") / "ptb-xl"
    made.write_ptb_xl(folder)
    return folder


@pytest.fixture(scope="module")
def reports(root: Path) -> pd.DataFrame:
    source = PtbXl(root)
    return source.read_reports(source.read_records().table).table


@pytest.fixture(scope="module")
def split_of(root: Path) -> dict[str, str]:
    assert PTB_XL.folds
    return PTB_XL.folds.name_splits(PtbXl(root))


def _counts(
    reports: pd.DataFrame, label_set: LabelSet, split_of: dict[str, str]
) -> tuple[dict[str, tuple[int, int]], int]:
    """Positives of each label in all and in test, and recordings of test."""
    labels = label_records(reports, label_set=label_set).labels
    is_test = labels["record_id"].map(split_of).astype(str) == "test"
    positive = labels["value"] == 1
    every = labels[positive].groupby("label", observed=False).size()
    test = labels[positive & is_test].groupby("label", observed=False).size()
    counts = {str(name): (int(every[name]), int(test[name])) for name in every.index}
    return counts, labels.loc[is_test, "record_id"].nunique()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("unlabelled", ["drop", "keep"])
def test_task_has_the_published_counts(
    task: str, unlabelled: str, reports: pd.DataFrame, split_of: dict[str, str]
) -> None:
    label_set = load_label_set(f"ptb-xl-{task}-{unlabelled}")
    counts, n_test = _counts(reports, label_set, split_of)
    assert len(counts) == TASKS[task]
    assert n_test == (2198 if unlabelled == "keep" else TEST_RECORDINGS.get(task, 2198))
    if task in PUBLISHED:
        assert counts == PUBLISHED[task]


@pytest.mark.parametrize("task", TASKS)
def test_shipped_counts_are_met_and_none_is_missing(
    task: str, reports: pd.DataFrame, split_of: dict[str, str]
) -> None:
    study = find_study(f"ptb-xl-{task}-drop")
    assert study is not None
    assert study.published is not None
    labels = label_records(reports, label_set=LabelSet.of_study(study)).labels
    table = compare_with_study(labels, study.published, split_of)
    assert table[~table["is_equal"]].empty
    n_labels = {"diag": 18, "all": 45}.get(task, TASKS[task])
    assert len(table) == 4 + 2 * n_labels
    assert table["label"].nunique() == 1 + n_labels


@pytest.mark.parametrize(("task", "n_labels"), [("sub", 19), ("form", 15), ("rhythm", 7)])
def test_ptbxl_c_leaves_out_what_8_test_recordings_have_or_fewer(
    task: str, n_labels: int, reports: pd.DataFrame, split_of: dict[str, str]
) -> None:
    counts, _ = _counts(reports, load_label_set(f"ptb-xl-c-{task}"), split_of)
    expected = {name: found for name, found in PUBLISHED[task].items() if found[1] > 8}
    assert counts == expected
    assert len(counts) == n_labels


def test_one_recording_less_is_found(reports: pd.DataFrame, split_of: dict[str, str]) -> None:
    study = find_study("ptb-xl-rhythm-drop")
    assert study is not None
    assert study.published is not None
    is_afib = reports["lines"].map(lambda lines: "AFIB 0" in lines)
    fewer = reports.drop(index=is_afib.idxmax())
    labels = label_records(fewer, label_set=LabelSet.of_study(study)).labels
    wrong = compare_with_study(labels, study.published, split_of).query("~is_equal")
    assert {RECORDS, "AFIB"} <= set(wrong["label"])
    assert set(wrong["published"] - wrong["found"]) == {1}


def test_a_least_likelihood_leaves_unknown_ones_out(
    reports: pd.DataFrame, split_of: dict[str, str], tmp_path: Path
) -> None:
    """A rule that reads 0 as absent, or concepts that read it as certain, give other counts."""
    path = tmp_path / "likely.yaml"
    path.write_text("like: ptb-xl-super-drop\nlikelihood: 50\n", encoding="utf-8")
    likely, n_test = _counts(reports, load_label_set(str(path)), split_of)
    assert n_test < TEST_RECORDINGS["super"]
    assert all(likely[name][0] < made.SUPER[name][0] for name in made.SUPER)


def test_shipped_tasks_are_those_of_the_table_of_statements(root: Path) -> None:
    sets = {task: load_label_set(f"ptb-xl-{task}-drop") for task in TASKS}
    statements = PtbXl(root).read_statements()
    assert find_differing_statements(sets, statements) == {task: [] for task in TASKS}
    assert {task: len(labels) for task, labels in derive_tasks(statements).items()} == TASKS
    moved = statements.copy()
    moved.loc["INJLA", "diagnostic_subclass"] = "AMI"
    assert find_differing_statements(sets, moved)["sub"] == ["AMI", "LMI"]


def test_command_compares_every_task(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ptb-xl", str(root)]) == 0
    told = capsys.readouterr().out
    assert told.count(" 0 differ") == 2 * len(TASKS)
    assert "{'super': [], 'sub': []" in told


def test_command_fails_where_a_count_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "A0001.hea").write_text("A0001 1 500 5000\n#Dx: 59118001\n", encoding="utf-8")
    assert main(["physionet-2021", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "cpsc-2018: 10 counts, 10 differ" in told
    assert "ptb-xl" not in told

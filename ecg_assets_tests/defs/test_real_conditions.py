"""Real recordings with six conditions in two layouts: a tree with codes, and folders.

The few recordings hold sinus rhythm and one right bundle branch block: most labels are of nobody,
which has to be said and must stop nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ecg_assets.models.checkpoint_folder import CLASS_REPORTS
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS
from ecg_assets.sources.wfdb.header import read_header
from ecg_assets_tests.defs.small_job import TABLES, SmallJob

pytestmark = pytest.mark.reference

FOLDERS = {
    "426783006": "Sinus_Rhythm",
    "164889003": "Atrial Fibrillation",
    "164890007": "Atrial Flutter",
    "270492004": "1st-degree AV block",
    "713427006": "Right bundle branch block",
    "59118001": "Right bundle branch block",
    "164909002": "Left bundle branch block",
}
"""Where each SNOMED CT code of the conditions goes."""
SPLIT_SEED = 3
"""With it there are some of NORMAL in each split."""
NORMAL = ("E07511", "E07513", "E07515", "HR06005", "HR06007", "HR06009")
"""Recordings of sinus rhythm and nothing else."""
SPLITS_OF_NORMAL = {"train": 3, "valid": 2, "test": 1}


@pytest.fixture(scope="module")
def layouts(
    reference_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, SmallJob]]:
    """The graph on both layouts, with a checkpoint of one epoch each."""
    tree = reference_data / "real_ecg" / "physionet2021"
    folder = tmp_path_factory.mktemp("layouts")
    roots = {"physionet-2021": tree, "condition-folders": _sort_into_folders(tree, folder / "raw")}
    jobs = {}
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        # The tests of this file wait for two children with torch: a thread each is enough.
        patch.setenv("OMP_NUM_THREADS", "1")
        for source, root in roots.items():
            instance = stack.enter_context(dg.DagsterInstance.ephemeral())
            jobs[source] = _run(folder / source, instance, source, root)
        yield jobs


def _sort_into_folders(tree: Path, root: Path) -> Path:
    """Copy a recording into the folder of each of its conditions; others are left."""
    for header in sorted(tree.rglob("*.hea")):
        codes = read_header(header.with_suffix(""), root=tree).comment_fields()["dx"].split(",")
        for name in {FOLDERS[code] for code in codes if code in FOLDERS}:
            (root / name).mkdir(parents=True, exist_ok=True)
            for suffix in (".hea", ".mat"):
                shutil.copy(header.with_suffix(suffix), root / name)
    return root


def _run(folder: Path, instance: dg.DagsterInstance, source: str, root: Path) -> SmallJob:
    job = SmallJob.at(
        folder,
        instance,
        source=source,
        raw_root=str(root),
        label_set="six-conditions",
        signal_kind="ecg-founder",
        preset="ecg-founder-six-tiny",
        leads=list(STANDARD_LEADS),
        stored_leads=list(STANDARD_LEADS),
        seed=SPLIT_SEED,
    )
    job.materialize(*TABLES)
    job.materialize("signal_shards", shards=job.shards)
    job.materialize("manifests")
    config = {"epochs": 1, "batch_size": 2}
    job.materialize("finetuned_checkpoint", config={"finetuned_checkpoint": {"config": config}})
    assets = ("checkpoint", "predictions", "eval_metrics", "classification_results")
    job.materialize(*assets, partition=job.checkpoints[0])
    return job


def _labels(job: SmallJob) -> pd.DataFrame:
    """Labels of the manifest, a row a record, with its split."""
    folder = job.settings.stored.folder("manifests")
    index = pq.read_table(folder / "index.parquet").to_pandas().set_index("record_id")
    names = json.loads((folder / "label_vocabulary.json").read_text())["names"]
    labels = pd.DataFrame(np.load(folder / "y.npy"), index=index.index, columns=names)
    labels["split"] = index["split"]
    return labels.sort_index()


def _signals(job: SmallJob) -> pd.DataFrame:
    shards = job.settings.stored.folder("signal_shards").glob("*.parquet")
    table = pd.concat([pd.read_parquet(shard) for shard in shards], ignore_index=True)
    return table.set_index("record_id").sort_index()


def test_both_layouts_give_the_same_signals(layouts: dict[str, SmallJob]) -> None:
    tree, folders = (_signals(job) for job in layouts.values())
    assert (len(tree), len(folders)) == (25, 9)
    pd.testing.assert_frame_equal(tree.loc[folders.index], folders, check_exact=True)


def test_a_recording_of_just_one_condition_has_the_same_label_in_both(
    layouts: dict[str, SmallJob],
) -> None:
    """A code beside sinus rhythm takes NORM away; the folder cannot say that there is one."""
    tree, folders = (_labels(job) for job in layouts.values())
    conditions = tree.columns.drop("split")
    of_one = tree.index[tree[conditions].sum(axis=1) == 1]
    assert of_one.tolist() == sorted((*NORMAL, "E07509"))
    pd.testing.assert_frame_equal(tree.loc[of_one], folders.loc[of_one])
    assert folders.loc["E07509", "RBBB"] == 1
    others = folders.index.difference(of_one)
    assert others.tolist() == ["HR06001", "HR06003"]
    assert folders.loc[others, "NORM"].tolist() == [1, 1]
    evidence = pq.read_table(
        layouts["physionet-2021"].settings.stored.folder("label_evidence.parquet")
    )
    rules = evidence.to_pandas().query("label == 'NORM'").groupby("record_id")["rule"].agg(set)
    assert all("excluded" in rules[record_id] for record_id in others)


@pytest.mark.parametrize("source", ["physionet-2021", "condition-folders"])
def test_labels_that_nobody_has_are_named_and_have_no_numbers(
    layouts: dict[str, SmallJob], source: str
) -> None:
    job = layouts[source]
    name = job.checkpoints[0]
    of_norm = _labels(job).loc[[*NORMAL], "split"]
    assert of_norm.value_counts().to_dict() == SPLITS_OF_NORMAL
    result = json.loads((job.settings.stored.folder("eval_metrics") / f"{name}.json").read_text())
    reasons = result["undefined"]
    assert {"AFIB", "AFLT", "1dAVb", "RBBB", "LBBB"} <= set(reasons)
    by_label = {row["label"]: row for row in result["labels"]}
    assert all(by_label[label]["auroc"] is None for label in reasons)
    assert all(row["threshold"] is None and row["f1"] is None for row in by_label.values())
    classes = job.metadata("classification_results", name)
    assert classes["records"] == SPLITS_OF_NORMAL["test"]
    support = {row.data["Condition"]: row.data["Support"] for row in classes["performance"].records}
    assert (support["NORM"], support["AFIB"]) == (1, 0)


def test_the_checkpoint_has_a_report_of_its_epoch(layouts: dict[str, SmallJob]) -> None:
    for job in layouts.values():
        report = json.loads(
            (job.settings.store.checkpoints / job.checkpoints[0] / CLASS_REPORTS).read_text()
        )
        found = report["1"]["classification_report"]
        assert found["NORM"]["support"] == SPLITS_OF_NORMAL["valid"]
        assert found["AFIB"]["recall"] is None
        shown = job.metadata("finetuned_checkpoint")
        assert shown["valid_accuracy"] == found["accuracy"]
        assert shown["confusion_matrix"].startswith("![")
        splits = {row.data["split"]: row.data for row in shown["splits"].records}
        assert splits["train"]["n_left_out_with_several_labels"] == 0

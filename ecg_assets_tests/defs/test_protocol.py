"""A protocol through the graph, on a made PTB-XL: what is trained, by which rules, on what."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ecg_assets.defs.assets.protocol import deployed_protocol
from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.demo_run import Demo, protocol_text
from ecg_assets.defs.protocol import DeployedProtocol, evaluate_cell, protocol_of, signal_of
from ecg_assets.defs.settings import Settings
from ecg_assets.errors import LeakageError, SettingsError
from ecg_assets.evaluation.matrix.stored import MissingCell
from ecg_assets.models.checkpoint_folder import SIGNAL_SPEC, read_json
from ecg_assets.models.families import FAMILIES
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS, SignalSpec
from ecg_assets.protocols.cells import StoredCell
from ecg_assets.protocols.page import LATEX, PAGE, TABLE
from ecg_assets.protocols.protocol import ProtocolCell, Rules
from ecg_assets.protocols.table import PROTOCOL_TABLE
from ecg_assets.protocols.task import build_task_data
from ecg_assets.sources.synthetic.made import write_made
from ecg_assets.storage import write_json
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets_tests.defs.small_job import TABLES, LaunchesHere, SmallJob

PROTOCOL = """
title: A table of two tasks
reference: nobody, 2026
tasks:
  super: {title: Super, source: ptb-xl, label_set: ptb-xl-super-drop, published_as: S}
  form:
    title: Form
    source: ptb-xl
    label_set: ptb-xl-form-drop
    corrected: {label_set: ptb-xl-form-keep}
models:
  a: {preset: merl-resnet18-tiny, from_scratch: true, published_as: A}
  b: {preset: merl-resnet18-tiny, checkpoint: "", modes: [full]}
modes:
  full: {method: full, changes: {epochs: 1}}
  linear: {method: linear-probe, changes: {epochs: 1}}
  logistic: {method: logistic-regression}
as_published:
  signal: {normalization: none}
  deviations:
    - {models: [a], modes: [full], tasks: [super], method: linear-probe, what: Frozen in truth.}
n_resamples: 50
n_permutations: 50
published:
  - {task: S, model: A, mode: full, value: 0.5}
"""
CELLS = ("a/full|super/1", "a/linear|super/1", "a/logistic|super/1", "a/logistic|form/1")


def _stay_away(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("this would train")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallJob]:
    """Make some cells of the protocol and its table."""
    folder = tmp_path_factory.mktemp("protocol")
    write_made("ptb-xl", folder / "raw", n_records=110)
    (folder / "small.yaml").write_text(PROTOCOL, encoding="utf-8")
    (folder / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(folder / "home")) as instance:
        job = SmallJob.at(
            folder,
            instance,
            source="ptb-xl",
            raw_root=str(folder / "raw"),
            protocol=str(folder / "small.yaml"),
            label_set="ptb-xl-super-drop",
            leads=list(STANDARD_LEADS),
            stored_leads=list(STANDARD_LEADS),
        )
        job.materialize(*TABLES)
        job.materialize("signal_shards", shards=job.shards)
        job.materialize("protocol_features", partition="a|ptb-xl")
        for partition in CELLS:
            job.materialize("protocol_cell", partition=partition)
        job.materialize("protocol_table")
        yield job


@pytest.fixture(scope="module")
def deployed(job: SmallJob) -> DeployedProtocol:
    return deployed_protocol(job.settings)


@pytest.fixture(scope="module")
def table(job: SmallJob) -> pd.DataFrame:
    stored = pq.read_table(job.settings.stored.table_path("protocol_table"))
    frame: pd.DataFrame = PROTOCOL_TABLE.require(stored).to_pandas()
    return frame


def _stored(deployed: DeployedProtocol, cell: ProtocolCell, rules: Rules) -> StoredCell:
    found = deployed.find(cell, rules)
    assert isinstance(found, StoredCell), found
    return found


def _run(deployed: DeployedProtocol, stored: StoredCell) -> Any:
    return read_json(
        deployed.root / "checkpoints" / stored.facts.training["checkpoint"] / "run.json"
    )


def test_as_published_is_trained_as_it_was_done_and_corrected_as_it_was_said(
    deployed: DeployedProtocol,
) -> None:
    """The deviation freezes the encoder; corrected trains every weight of the model."""
    cell = ProtocolCell("a", "full", "super", 1)
    by_rules = {rules: _run(deployed, _stored(deployed, cell, rules)) for rules in Rules}
    methods = {rules: run["request"]["recipe"]["method"] for rules, run in by_rules.items()}
    assert methods == {Rules.AS_PUBLISHED: "linear-probe", Rules.CORRECTED: "full"}
    encoder = {rules: run["trained_weights"]["encoder"] for rules, run in by_rules.items()}
    assert encoder[Rules.AS_PUBLISHED]["n_parameters"] == 0
    assert encoder[Rules.CORRECTED]["n_parameters"] == encoder[Rules.CORRECTED]["of_parameters"] > 0


def test_as_published_reads_the_papers_signals_and_corrected_the_models_own(
    deployed: DeployedProtocol,
) -> None:
    for mode in ("full", "linear", "logistic"):
        cell = ProtocolCell("a", mode, "super", 1)
        specs = {rules: _stored(deployed, cell, rules).facts.signal_spec for rules in Rules}
        assert specs[Rules.AS_PUBLISHED]["normalization"] == "none"
        assert specs[Rules.CORRECTED]["normalization"] != "none"
        assert specs[Rules.AS_PUBLISHED]["leads"] == specs[Rules.CORRECTED]["leads"]


def test_features_are_made_once_for_a_model_and_a_source(
    job: SmallJob, deployed: DeployedProtocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ecg_assets.models import classifier

    files = sorted(deployed.root.glob("features/*/*.parquet"))
    assert len(files) == 2  # as published, and corrected
    monkeypatch.setattr(classifier.EcgClassifier, "embed", _stay_away)
    result = job.materialize("protocol_features", partition="a|ptb-xl")
    (made,) = result.asset_materializations_for_node("protocol_features")
    assert made.metadata["reused"].value == 2
    assert not deployed.needs_features("a", "ptb-xl")
    assert not deployed.needs_features("b", "ptb-xl")


@pytest.mark.parametrize(
    ("asset", "partition", "calls"),
    [
        ("protocol_features", "a|ptb-xl", ["embed_source"] * 2),
        ("protocol_cell", "a/logistic|super/1", ["probe_embeddings"] * 2),
        ("protocol_cell", "a/linear|super/1", ["train_request", "score"] * 2),
    ],
)
def test_what_computes_is_launched_and_gives_the_same_bytes(
    job: SmallJob, deployed: DeployedProtocol, asset: str, partition: str, calls: list[str]
) -> None:
    """By ECG_LAUNCH, for both rules; finished trainings are found again."""
    mode = partition.partition("|")[0]
    places = {
        "protocol_features": "features/**/*.parquet",
        "protocol_cell": f"cells/super/{mode}/1/*/*",
    }
    before = {path: path.read_bytes() for path in deployed.root.glob(places[asset])}
    for path in before:
        path.unlink()
    LaunchesHere.asked.clear()
    replace(job, trainer=LaunchesHere()).materialize(asset, partition=partition)
    assert LaunchesHere.asked == calls
    assert before
    assert {path: path.read_bytes() for path in before} == before


def test_a_rerun_trains_nothing(job: SmallJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_assets_tests.defs.small_job.train_request", _stay_away)
    job.materialize("protocol_cell", partition=CELLS[0])


def test_tasks_of_a_source_share_its_signals(deployed: DeployedProtocol) -> None:
    """Recordings that a task does not use are in its manifest, so that signals are cached once."""
    protocol, stored = deployed.protocol, deployed.stored("ptb-xl")
    spec = deployed.model(protocol.cells[0], Rules.CORRECTED).find().spec
    data = {
        name: build_task_data(stored, task, rules, spec, splits=deployed.splits(task, rules))
        for name, task in protocol.tasks.items()
        for rules in [Rules.AS_PUBLISHED]
    }
    ids = {name: one.manifest.index["record_id"].tolist() for name, one in data.items()}
    assert ids["super"] == ids["form"]
    used = {name: (one.manifest.index["split"] != "unused").sum() for name, one in data.items()}
    assert used["form"] < used["super"] < len(ids["super"])


def test_recordings_without_a_label_are_dropped_or_negatives_as_the_rules_say(
    deployed: DeployedProtocol, table: pd.DataFrame
) -> None:
    rows = table[(table["task"] == "form") & (table["mode"] == "logistic")]
    n = dict(zip(rows["rules"], rows["n"], strict=True))
    labels = pq.read_table(deployed.stored("ptb-xl").table_path("split")).to_pandas()
    assert n[Rules.CORRECTED] == (labels["split"] == "test").sum()
    assert 0 < n[Rules.AS_PUBLISHED] < n[Rules.CORRECTED]


def test_the_table_has_every_cell_and_says_why_one_is_missing(
    deployed: DeployedProtocol, table: pd.DataFrame
) -> None:
    assert len(table) == 2 * len(deployed.protocol.cells)
    lacking = table[table["model"] == "b"]
    assert lacking["note"].str.contains("models.b has no checkpoint").all()
    undone = table[(table["task"] == "form") & (table["mode"] == "full") & (table["model"] == "a")]
    assert (undone["note"] == "not evaluated yet").all()
    done = table[(table["task"] == "super") & (table["model"] == "a")]
    assert done["value"].between(0.0, 1.0).all()
    published = done[done["rules"] == str(Rules.AS_PUBLISHED)].set_index("mode")["value"]
    assert published["full"] == published["linear"]  # what the deviation says it was
    full = done[done["mode"] == "full"]
    assert full["published"].tolist() == [0.5, 0.5]
    assert full["note"].str.startswith("Frozen in truth.").all()
    for file in (PAGE, TABLE, LATEX):
        assert (deployed.root / file).stat().st_size > 500
    text = protocol_text(deployed)
    assert "a                 full              1      0.500" in text
    assert str(deployed.root / PAGE) in text


def test_corrected_intervals_are_of_patients(
    deployed: DeployedProtocol, table: pd.DataFrame
) -> None:
    """A made PTB-XL has patients with several recordings; few patients have no interval."""
    cell = ProtocolCell("a", "logistic", "super", 1)
    scores = _stored(deployed, cell, Rules.CORRECTED).predictions
    row = table[
        (table["task"] == "super")
        & (table["mode"] == "logistic")
        & (table["rules"] == str(Rules.CORRECTED))
    ].to_dict("records")[0]
    n_patients = len(np.unique(scores.subject_ids))
    assert (row["n"], row["n_patients"]) == (len(scores), n_patients)
    assert (n_patients < 30) == bool(np.isnan(row["low"]))


def test_settings_that_contradict_the_protocol_are_refused(job: SmallJob) -> None:
    for change, said in (
        ({"source": "synthetic", "raw_root": ""}, "ECG_SOURCE is synthetic"),
        ({"split": "patients"}, "ECG_SPLIT"),
        ({"max_per_condition": "3"}, "ECG_MAX_PER_CONDITION"),
        ({"record_part": "all"}, "ECG_RECORD_PART"),
    ):
        with pytest.raises(SettingsError, match=said):
            protocol_of(job.settings_with(**change))


def test_a_protocol_brings_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_PROTOCOL", "ptb-xl-super-tiny")
    for name in ("ECG_SOURCE", "ECG_LABEL_SET", "ECG_LEADS", "ECG_STORED_LEADS", "ECG_SPLIT"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings()
    assert (settings.source, settings.label_set) == ("ptb-xl", "ptb-xl-super-drop")
    assert len(settings.leads) == len(settings.stored_leads) == 12
    assert settings.is_split_by_folds
    graph = build_definitions({"settings": settings}).resolve_asset_graph()
    assert dg.AssetKey("protocol_cell") in graph.get_all_asset_keys()


def test_without_a_protocol_there_are_no_assets_of_one(job: SmallJob) -> None:
    graph = build_definitions({"settings": job.settings_with(protocol="")}).resolve_asset_graph()
    assert not [k for k in graph.get_all_asset_keys() if k.to_user_string().startswith("protocol")]


def test_another_recipe_makes_a_cell_missing_not_wrong(job: SmallJob, tmp_path: Path) -> None:
    """The file of the same name asks for two epochs now."""
    other = tmp_path / "small.yaml"
    other.write_text(
        PROTOCOL.replace(
            "full: {method: full, changes: {epochs: 1}}",
            "full: {method: full, changes: {epochs: 2}}",
        )
    )
    deployed = deployed_protocol(job.settings_with(protocol=str(other)))
    found = deployed.find(ProtocolCell("a", "full", "super", 1), Rules.CORRECTED)
    assert isinstance(found, MissingCell)
    assert "materialize it again" in found.reason
    assert deployed.can_evaluate(ProtocolCell("a", "full", "super", 1))
    assert not deployed.can_evaluate(ProtocolCell("a", "logistic", "super", 1))


@pytest.mark.parametrize("changed", ["record_list", "machine_reports", "split", "signal_shards"])
def test_a_cell_of_other_data_is_missing_not_shown(
    job: SmallJob, tmp_path: Path, changed: str
) -> None:
    """The raw data changed and were stored anew: what was trained before is of the old ones."""
    shutil.copytree(job.settings.data_dir, tmp_path / "data")
    deployed = deployed_protocol(job.settings_with(data_dir=str(tmp_path / "data")))
    cell, root = ProtocolCell("a", "full", "super", 1), deployed.stored("ptb-xl").root
    assert isinstance(deployed.find(cell, Rules.CORRECTED), StoredCell)
    path = (
        next(path for path in root.glob(f"{changed}*/*.parquet"))
        if changed == ("signal_shards")
        else root / f"{changed}.parquet"
    )
    table = pq.read_table(path)
    pq.write_table(table.take(list(range(1, len(table)))), path)
    found = deployed.find(cell, Rules.CORRECTED)
    assert isinstance(found, MissingCell)
    assert f"before ptb-xl/{changed} changed" in found.reason
    assert deployed.can_evaluate(cell)
    path.unlink()  # and when the data are deleted, the cell is of what they were
    assert isinstance(deployed.find(cell, Rules.CORRECTED), StoredCell)


def test_another_least_duration_makes_a_cell_missing(job: SmallJob, tmp_path: Path) -> None:
    other = tmp_path / "small.yaml"
    other.write_text(PROTOCOL.replace("published_as: S}", "published_as: S, least_duration_s: 9}"))
    deployed = deployed_protocol(job.settings_with(protocol=str(other)))
    found = deployed.find(ProtocolCell("a", "full", "super", 1), Rules.CORRECTED)
    assert isinstance(found, MissingCell)


def test_another_file_of_a_split_makes_a_cell_missing(job: SmallJob, tmp_path: Path) -> None:
    """The file has the same name, and other recordings in test."""
    other = tmp_path / "small.yaml"
    other.write_text(
        PROTOCOL.replace("published_as: S}", "split: {kind: file, file: s.csv}, published_as: S}")
    )
    changes = {"protocol": str(other), "data_dir": str(tmp_path)}
    deployed = deployed_protocol(job.settings_with(**changes))
    cell = ProtocolCell("a", "full", "super", 1)
    deployed.split_folder.mkdir(parents=True)
    names = []
    for split in ("train", "test"):
        (deployed.split_folder / "s.csv").write_text(f"record_id,split\n1,{split}\n")
        names.append(deployed.name_data(cell, Rules.CORRECTED)["split files"])
    assert names[0] != names[1]


def test_a_checkpoint_of_other_signals_than_its_familys_is_fed_as_published(
    job: SmallJob, deployed: DeployedProtocol, tmp_path: Path
) -> None:
    """What the paper fed is the family's, but not what this checkpoint was trained on."""
    raw = _stored(deployed, ProtocolCell("a", "logistic", "super", 1), Rules.AS_PUBLISHED)
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    spec = SignalSpec.from_json(raw.facts.signal_spec)
    write_json(folder / SIGNAL_SPEC, spec.to_json())
    family = FAMILIES[PRESETS["merl-resnet18-tiny"].family].signal_spec(STANDARD_LEADS)
    assert spec.normalization != family.normalization
    models = {"a": {"preset": "merl-resnet18-tiny", "checkpoint": str(folder)}}
    published = {"signal": {"normalization": family.normalization}}
    protocol = deployed.protocol.changed(models=models, as_published=published)
    assert signal_of(protocol, "a", Rules.AS_PUBLISHED) != {}
    same = deployed.protocol.changed(as_published=published)
    assert signal_of(same, "a", Rules.AS_PUBLISHED) == {}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("label_set: ptb-xl-super-drop", "label_set: ptb-xl-super", "tasks.super has the label"),
        ("published_as: S}", "split: {kind: fold}, published_as: S}", "kind is 'fold'"),
    ],
)
def test_labels_and_splits_that_are_none_are_refused_before_any_run(
    job: SmallJob, tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(PROTOCOL.replace(old, new, 1))
    with pytest.raises(SettingsError, match=said):
        protocol_of(job.settings_with(protocol=str(path)))


def test_the_demo_leaves_cells_alone_whose_test_dataset_is_not_stored(
    job: SmallJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Materialized, they would end it with an error before there is a table."""
    path = tmp_path / "tested.yaml"
    other = "super: {title: Super, source: ptb-xl, test_source: code-test, label_set: "
    path.write_text(PROTOCOL.replace("super: {title: Super, source: ptb-xl, label_set: ", other))
    settings = job.settings_with(protocol=str(path))
    asked: list[str | None] = []

    def note(_: Demo, name: str, *, partition: str | None = None, **__: Any) -> None:
        if name == "protocol_cell_job":
            asked.append(partition)

    monkeypatch.setattr(Demo, "_job", note)
    monkeypatch.setattr("ecg_assets.defs.demo_run.protocol_text", lambda _: "")
    Demo(job.instance, settings)._run_protocol(deployed_protocol(settings).protocol)
    assert asked
    assert not [partition for partition in asked if "super" in str(partition)]


def test_a_patient_in_two_folds_stops_the_task(job: SmallJob, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_made("ptb-xl", raw, n_records=110, leaky=True)
    leaky = SmallJob.at(
        tmp_path,
        job.instance,
        **{
            **job.settings.model_dump(),
            "data_dir": str(tmp_path / "data"),
            "raw_root": str(raw),
        },
    )
    (tmp_path / "data").mkdir()
    root = tmp_path / "data" / "ptb-xl"
    root.mkdir()
    for name in ("record_list.parquet", "machine_reports.parquet", "signal_shards"):
        (root / name).symlink_to(job.settings.stored.root / name)
    deployed = deployed_protocol(leaky.settings)

    def train(request: FinetuneRequest) -> NoReturn:
        raise AssertionError(request)

    with pytest.raises(LeakageError):
        evaluate_cell(deployed, ProtocolCell("a", "full", "super", 1), Rules.CORRECTED, train)


def test_the_checks_say_what_could_not_be_compared(job: SmallJob) -> None:
    """A made dataset has other counts than the release that papers counted."""
    result = job.materialize("protocol_table")
    checks = {one.check_name: one for one in result.get_asset_check_evaluations()}
    labels = checks["labels_are_the_papers"]
    assert labels.passed
    reasons: Any = labels.metadata["not_compared"].value
    assert reasons["super, as published"] == "published of 21799 recordings, stored are 110"
    assert checks["test_splits_are_the_papers"].passed


def test_another_number_of_recordings_than_the_papers_is_warned_of(
    job: SmallJob, tmp_path: Path
) -> None:
    file = tmp_path / "small.yaml"
    text = PROTOCOL.replace("published_as: S}", "published_as: S, published_test_records: 2158}")
    file.write_text(text, encoding="utf-8")
    other = SmallJob(job.instance, job.settings_with(protocol=str(file)))
    result = other.materialize("protocol_table")
    checks = {one.check_name: one for one in result.get_asset_check_evaluations()}
    warned = checks["test_splits_are_the_papers"]
    assert not warned.passed
    assert warned.severity == dg.AssetCheckSeverity.WARN

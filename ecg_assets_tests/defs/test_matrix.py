"""The evaluation matrix through the graph: which cell reads what, and what is made once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import dagster as dg
import pyarrow.parquet as pq
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.execution.asset_backfill import AssetBackfillData

from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.design_models import Embedded, embed_source
from ecg_assets.defs.matrix import DeployedMatrix, collect_cells, evaluate_cell
from ecg_assets.defs.matrix_partitions import design_of, recipe_of
from ecg_assets.defs.settings import VARIABLES, Settings
from ecg_assets.errors import SettingsError
from ecg_assets.evaluation.matrix.design import Cell, MatrixDesign, MatrixModel
from ecg_assets.evaluation.matrix.stored import MissingCell, StoredCell, read_cell
from ecg_assets.models.checkpoint_folder import read_json
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets_tests.defs.small_job import SmallJob
from ecg_assets_tests.test_readme import ROOT, VARIABLE

EMBEDDINGS, CELL = dg.AssetKey("frozen_embeddings"), dg.AssetKey("matrix_cell")
DESIGN = """
models:
  a: {preset: tiny}
  b: {preset: tiny}
sources: [synthetic, ptb-xl]
label_sets: [ecg-fm-17, six-conditions]
"""


def _matrix(job: SmallJob, folder: Path, design: str) -> DeployedMatrix:
    """Give a matrix of its own to the job's data, below another folder."""
    data = folder / "data"
    data.mkdir()
    (data / "synthetic").symlink_to(job.settings.stored.root)
    (folder / "matrix.yaml").write_text(design, encoding="utf-8")
    settings = job.settings_with(data_dir=str(data), matrix=str(folder / "matrix.yaml"))
    return DeployedMatrix(settings, design_of(settings))


def _embed(matrix: DeployedMatrix, name: str, progress: Callable[[str], None]) -> Embedded:
    model = matrix.model(matrix.design.find_model(name))
    path = matrix.embeddings(name, "synthetic")
    return embed_source(progress, model, matrix.stored("synthetic"), path)


def _graph(folder: Path, job: SmallJob) -> AssetGraph:
    (folder / "matrix.yaml").write_text(DESIGN, encoding="utf-8")
    settings = job.settings_with(matrix=str(folder / "matrix.yaml"))
    return build_definitions({"settings": settings}).resolve_asset_graph()


@pytest.fixture
def unfinished(tmp_path: Path) -> SmallJob:
    """Settings of a job of which nothing is materialized."""
    return SmallJob.at(tmp_path, dg.DagsterInstance.ephemeral())


def _stay_away(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("this would run an encoder")


def test_a_cell_depends_on_the_embeddings_of_its_model_and_source_alone(
    tmp_path: Path, unfinished: SmallJob
) -> None:
    graph = _graph(tmp_path, unfinished)
    for row, column, parent in (
        ("a/logistic-regression", "ptb-xl/six-conditions", "a|ptb-xl"),
        ("b/full", "synthetic/ecg-fm-17", "b|synthetic"),
    ):
        cell = AssetKeyPartitionKey(CELL, f"{row}|{column}")
        with partition_loading_context(dynamic_partitions_store=unfinished.instance):
            found = graph.get_parents_partitions(*cell).parent_partitions
        assert {p.partition_key for p in found if p.asset_key == EMBEDDINGS} == {parent}
    for key in (EMBEDDINGS, CELL):
        assert graph.get(key).pools == {"gpu"}
        assert graph.get(key).backfill_policy == dg.BackfillPolicy.multi_run(1)


@pytest.mark.parametrize("is_anchored", [False, True])
def test_one_backfill_makes_the_whole_matrix(
    tmp_path: Path, unfinished: SmallJob, is_anchored: bool
) -> None:
    """All partitions of both assets, or those of the embeddings and what follows from them."""
    graph = _graph(tmp_path, unfinished)
    keys = graph.get(EMBEDDINGS).partitions_def
    assert keys is not None
    with partition_loading_context(dynamic_partitions_store=unfinished.instance):
        target = AssetBackfillData.from_asset_partitions(
            asset_graph=graph,
            partition_names=list(keys.get_partition_keys()) if is_anchored else None,
            asset_selection=[EMBEDDINGS, CELL],
            dynamic_partitions_store=unfinished.instance,
            backfill_start_timestamp=0.0,
            all_partitions=not is_anchored,
        ).target_subset
        targeted = list(target.iterate_asset_partitions())
    counts = [sum(one.asset_key == key for one in targeted) for key in (EMBEDDINGS, CELL)]
    assert counts == [4, 16]


def test_an_attention_probe_of_random_weights_says_so() -> None:
    models = (MatrixModel("random", "tiny"), MatrixModel("started", "ecg-fm-lead-i", "/a.pt"))
    design = MatrixDesign(
        models, ("synthetic",), {"own": "own"}, ("attention-probe",), {"layer_decay": 0.5}
    )
    random, started = (recipe_of(design, model, "attention-probe") for model in models)
    assert (random.method, random.random_encoder, random.layer_decay) == (
        "attention-probe",
        True,
        1.0,
    )
    assert (started.random_encoder, started.freeze_convolutions) == (False, True)
    full = recipe_of(design, models[0])
    assert (full.method, full.random_encoder, full.layer_decay) == ("full", False, 0.5)


def test_table_names_cells_that_were_not_evaluated_and_shows_the_others(
    finished: SmallJob,
) -> None:
    path = finished.settings.stored.root / "evaluation_matrix.parquet"
    table = pq.read_table(path).to_pandas()
    macro = table[(table["label"] == "macro") & (table["metric"] == "auroc")]
    assert len(macro) == 8
    assert macro["verdict"].eq("missing").sum() == 6
    assert macro["weights"].eq("random weights, seed 1").all()
    shown = finished.metadata("evaluation_matrix")
    assert len(shown["missing_cells"]) == 6
    assert shown["missing_cells"]["net1d/full by synthetic/ecg-fm-17"] == "not evaluated yet"
    assert "| net1d (random weights, seed 1) | full | missing | missing |" in shown["macro_auroc"]
    assert "data:image/png;base64," in shown["picture"]


def test_fine_tuned_cells_are_no_ordinary_checkpoints_and_never_see_test(
    finished: SmallJob,
) -> None:
    shown = finished.metadata("matrix_cell", "transformer/full|synthetic/ecg-fm-17")
    assert shown["checkpoint"] not in finished.checkpoints
    folder = finished.settings.store.matrix / "checkpoints" / shown["checkpoint"]
    run = read_json(folder / "run.json")
    assert set(run["splits"]) == {"train", "valid"}
    assert run["request"]["recipe"]["epochs"] == 1
    assert shown["seen_before"] == "random weights have seen nothing"


def test_methods_of_a_model_are_measured_on_the_same_recordings(finished: SmallJob) -> None:
    root = finished.settings.store.matrix / "cells"
    cells = [
        read_cell(root, Cell("transformer", method, "synthetic", "ecg-fm-17"))
        for method in ("logistic-regression", "full")
    ]
    probe, full = (cell.predictions for cell in cells if cell is not None)
    assert probe.record_ids.tolist() == full.record_ids.tolist()
    assert (probe.target == full.target).all()
    assert (probe.score != full.score).any()


def test_a_second_label_set_runs_no_encoder_and_leaves_the_embeddings_as_they_are(
    finished: SmallJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ecg_assets.models import classifier
    from ecg_assets.models.ecg_fm import model as ecg_fm

    before = finished.version("frozen_embeddings", "transformer|synthetic")
    monkeypatch.setattr(classifier.EcgClassifier, "embed", _stay_away)
    monkeypatch.setattr(ecg_fm.EcgFmForClassification, "embed", _stay_away)
    matrix = DeployedMatrix(finished.settings, design_of(finished.settings))
    cell = Cell("transformer", "logistic-regression", "synthetic", "six-conditions")
    stored = evaluate_cell(matrix, cell, _stay_away, n_resamples=50)
    assert len(stored.result.labels) == 6
    again = _embed(matrix, "transformer", _stay_away)
    assert again.is_reused
    assert again.inputs.sha256 == before
    assert again.inputs.encoder == stored.facts.weights_sha256


def test_a_checkpoint_reads_signals_by_its_own_spec_and_says_what_it_saw(
    finished: SmallJob, tmp_path: Path
) -> None:
    checkpoint = finished.settings.store.checkpoints / finished.checkpoints[0]
    design = f"""
models:
  trained: {{preset: ecg-fm-lead-i, checkpoint: {checkpoint}}}
  plain: {{preset: tiny}}
sources: [synthetic]
label_sets: [six-conditions]
"""
    matrix = _matrix(finished, tmp_path, design)
    embedded = _embed(matrix, "trained", lambda _: None)
    assert embedded.inputs.start["spec"] == read_json(checkpoint / "signal_spec.json")
    cell = Cell("trained", "logistic-regression", "synthetic", "six-conditions")
    stored = evaluate_cell(matrix, cell, _stay_away, n_resamples=50)
    assert stored.facts.weights == checkpoint.name
    n_patients = stored.result.n_patients
    assert f"saw 0 of {n_patients} test patients" in stored.facts.seen_before
    wanted: list[FinetuneRequest] = []

    def train(request: FinetuneRequest) -> NoReturn:
        wanted.append(request)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        evaluate_cell(
            matrix, Cell("trained", "full", "synthetic", "six-conditions"), train, n_resamples=50
        )
    assert wanted[0].pretrained == checkpoint
    assert wanted[0].recipe.objective == "multi-label"
    assert not wanted[0].recipe.reports_test


def test_a_cell_of_another_design_or_setting_is_missing_with_the_reason(
    finished: SmallJob, tmp_path: Path
) -> None:
    text = Path(finished.settings.matrix).read_text().replace("epochs: 1", "epochs: 2")
    (tmp_path / "matrix.yaml").write_text(text)
    settings = finished.settings_with(matrix=str(tmp_path / "matrix.yaml"))
    found = collect_cells(DeployedMatrix(settings, design_of(settings)))
    full = found[Cell("transformer", "full", "synthetic", "ecg-fm-17")]
    assert isinstance(full, MissingCell)
    assert full.reason.startswith("evaluated with another design")
    probe = found[Cell("transformer", "logistic-regression", "synthetic", "ecg-fm-17")]
    assert isinstance(probe, StoredCell)


@pytest.mark.parametrize(
    ("changes", "source", "message"),
    [
        ({}, "synthetic", "are not stored .* partition trained.synthetic, first"),
        ({"seed": 2}, "synthetic", "are not stored"),
        ({"leads": ["I", "V6"], "stored_leads": ["I", "V6"]}, "synthetic", "Set ECG_STORED_LEADS"),
        ({}, "ptb-xl", "has no shards. Materialize signal_shards with ECG_SOURCE=ptb-xl"),
    ],
)
def test_what_a_cell_lacks_is_said_with_what_to_do(
    finished: SmallJob, tmp_path: Path, changes: dict[str, Any], source: str, message: str
) -> None:
    design = "models: {trained: {preset: tiny}}\nsources: [synthetic, ptb-xl]\nlabel_sets: [own]\n"
    matrix = _matrix(finished, tmp_path, design.replace("own", "six-conditions"))
    settings = matrix.settings.model_copy(update=changes)
    cell = Cell("trained", "logistic-regression", source, "six-conditions")
    with pytest.raises(SettingsError, match=message):
        evaluate_cell(DeployedMatrix(settings, matrix.design), cell, _stay_away, n_resamples=50)


def test_without_a_file_a_tiny_preset_of_each_family_is_compared(unfinished: SmallJob) -> None:
    design = design_of(unfinished.settings)
    families = [PRESETS[model.preset].family for model in design.models]
    assert set(families) == {recipe.family for recipe in PRESETS.values()}
    assert len(families) == len(set(families))
    assert design.columns == ["synthetic/ecg-fm-17"]


@pytest.mark.parametrize(
    ("design", "message"),
    [
        (DESIGN.replace("b: {preset: tiny}", "b: {preset: ecg-fm-mimic}"), "models.b: preset"),
        (f"{DESIGN}changes: {{epochs: 0}}\n", "changes do not fit models.a, preset 'tiny': epochs"),
        (f"{DESIGN}changes: {{objective: exclusive}}\n", "unknown keys \\['objective'\\]"),
    ],
)
def test_a_design_that_cannot_be_trained_is_refused_at_loading(
    tmp_path: Path, unfinished: SmallJob, design: str, message: str
) -> None:
    path = tmp_path / "matrix.yaml"
    path.write_text(design, encoding="utf-8")
    with pytest.raises(SettingsError, match=message):
        build_definitions({"settings": unfinished.settings_with(matrix=str(path))})


def test_a_cells_files_hold_no_patient_but_its_predictions(finished: SmallJob) -> None:
    folder = Path(
        finished.metadata("matrix_cell", "transformer/logistic-regression|synthetic/ecg-fm-17")[
            "folder"
        ]
    )
    patients = pq.read_table(folder / "predictions.parquet")["subject_id"].to_pylist()
    for name in ("result.json", "cell.json"):
        text = json.dumps(read_json(folder / name))
        assert not any(f'"{patient}"' in text for patient in patients)


def test_the_page_shows_a_design_that_loads_and_partitions_that_are_there(
    tmp_path: Path, unfinished: SmallJob
) -> None:
    page = (ROOT / "docs" / "evaluation_matrix.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "matrix.yaml").write_text(block, encoding="utf-8")
    design = design_of(unfinished.settings_with(matrix=str(tmp_path / "matrix.yaml")))
    assert len(design.cells) == 24
    graph = unfinished.definitions.resolve_asset_graph()
    named = re.findall(r"--assets (\w+) --partition '(.*)'", page)
    assert [asset for asset, _ in named] == ["frozen_embeddings", "matrix_cell"]
    for asset, partition in named:
        partitions = graph.get(dg.AssetKey(asset)).partitions_def
        assert partitions is not None
        assert partition in [str(key) for key in partitions.get_partition_keys()]
    assert set(VARIABLE.findall(page)) <= set(VARIABLES)


def test_a_cell_asks_for_what_it_asked_for_in_earlier_versions() -> None:
    """Else all cells that users have stored would count as another design's."""
    settings = Settings(source="synthetic", preset="tiny", leads=["I"], stored_leads=["I"])
    matrix = DeployedMatrix(settings, design_of(settings))
    cell = Cell("tiny", "logistic-regression", "synthetic", "ecg-fm-17")
    former = "82c433b6f82e8f41941351e38e6e2f1e53317d642d8f535900d80ed823966bf2"
    assert matrix.identify(cell, 1000) == former
    assert matrix.identify(cell, 50) != former


def test_a_cell_depends_on_the_file_that_its_label_set_is_like(tmp_path: Path) -> None:
    base = "coding: scp-ecg\nunlabelled: drop\nlabels: {NORM: %s}\n"
    (tmp_path / "base.yaml").write_text(base % "NORM", encoding="utf-8")
    (tmp_path / "mine.yaml").write_text("like: base.yaml\nlikelihood: 50\n", encoding="utf-8")
    design = "models: {a: {preset: tiny}}\nsources: [ptb-xl]\nlabel_sets: [mine.yaml]\n"
    (tmp_path / "matrix.yaml").write_text(design, encoding="utf-8")
    settings = Settings(matrix=str(tmp_path / "matrix.yaml"))
    matrix = DeployedMatrix(settings, design_of(settings))
    cell = Cell("a", "logistic-regression", "ptb-xl", "mine")
    before = matrix.identify(cell, 50)
    (tmp_path / "base.yaml").write_text(base % "SR", encoding="utf-8")
    assert matrix.identify(cell, 50) != before

"""Small outputs, always of the same input, of the code behind each version of stored data.

Each function takes an empty folder and gives a value that `output_figures.describe` takes.
Weights follow a formula, so that no output depends on how torch draws random numbers, but for
those of training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ecg_assets.build import SignalCache, write_manifest
from ecg_assets.evaluation import build_leaderboard, compare_predictions, evaluate_checkpoint
from ecg_assets.evaluation.external.crosswalk import crosswalk_sources
from ecg_assets.evaluation.label_noise import ScoreCalibration, rank_label_noise
from ecg_assets.evaluation.leads import LEAD_SETS, compare_lead_sets
from ecg_assets.evaluation.matrix.stored import EmbeddingInputs, write_embeddings
from ecg_assets.evaluation.reference_metrics import write_reference_metrics
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.evaluation.sets import EvaluationSet, Part
from ecg_assets.evaluation.shift.drift import collect_quantities, group_by_origin, measure_drift
from ecg_assets.evaluation.shift.recording_facts import (
    align_facts,
    describe_recordings,
    describe_signals,
)
from ecg_assets.evaluation.shift.slices import evaluate_slices, group_recordings
from ecg_assets.evaluation.thresholds import Thresholds
from ecg_assets.export.fairseq_manifests import write_fairseq_manifest
from ecg_assets.export.lead1_pipeline import write_reference_files
from ecg_assets.export.mat import MatForm, export_mat_records
from ecg_assets.labels import ECG_FM_LABEL_SET, LabelTables, label_records, load_label_set
from ecg_assets.models.apply import apply_to_shards, write_applied
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.checkpoint_folder import VALIDATION_PREDICTIONS, read_json
from ecg_assets.models.ecg_fm.fairseq_export import export_fairseq
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.load import imported_folder
from ecg_assets.models.predictions import Predictions
from ecg_assets.models.scoring import predict_records
from ecg_assets.preprocess import (
    ShardDataset,
    SignalSpec,
    read_shard,
    signal_spec_of_kind,
    summarize_quality,
)
from ecg_assets.preprocess.signal_spec import KIND_FIELDS, SIGNAL_KINDS
from ecg_assets.sources import open_source
from ecg_assets.sources.condition_folders import CONDITION_FOLDER
from ecg_assets.sources.physionet2021 import SNOMED_CT
from ecg_assets.sources.ptb_xl import SCP_ECG
from ecg_assets.sources.schema import REPORT_TEXT
from ecg_assets.sources.synthetic.cohort import write_synthetic_cohort
from ecg_assets.sources.wfdb.reader import read_record
from ecg_assets.split import split_by_folds, split_by_patient, write_meta_split
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.starting_model import random_model
from ecg_assets_tests.build.cohort import SPEC, VOCABULARY, Cohort, make_cohort
from ecg_assets_tests.evaluation.simulation import (
    blur,
    simulate_predictions,
    simulate_validation,
)
from ecg_assets_tests.labels.reports import make_reports
from ecg_assets_tests.models.fairseq_checkpoints import random_classifier
from ecg_assets_tests.models.golden_ecg_lfm import tiny_lfm, write_lfm
from ecg_assets_tests.models.golden_net1d import tiny_founder, write_founder
from ecg_assets_tests.models.toy_recordings import SPEC as TOY_SPEC
from ecg_assets_tests.models.toy_recordings import VOCABULARY as TOY_LABELS
from ecg_assets_tests.models.toy_recordings import in_millivolts, toy_manifest, toy_signals
from ecg_assets_tests.preprocess.recordings import numbered
from ecg_assets_tests.training.finetune.toy_run import run_toy
from ecg_assets_tests.training.finetune.toy_run import toy_request as toy_finetuning
from ecg_assets_tests.training.pretrain.toy_cohort import in_millivolts as cohort_in_millivolts
from ecg_assets_tests.training.pretrain.toy_cohort import toy_cohort
from ecg_assets_tests.training.pretrain.toy_run import run as run_pretraining
from ecg_assets_tests.training.pretrain.toy_run import toy_request as toy_pretraining

STATEMENTS = (
    "Sinus rhythm",
    "Sinus bradycardia with 1st degree A-V block",
    "Sinus tachycardia",
    "Atrial fibrillation with rapid ventricular response",
    "Atrial flutter, possible atrial fibrillation",
    "No atrial fibrillation",
    "No evidence of infarct",
    "Cannot rule out inferior infarct - age undetermined",
    "Old anteroseptal myocardial infarct",
    "Probable left ventricular hypertrophy",
    "Right bundle branch block; left anterior fascicular block",
    "Bifascicular block",
    "Incomplete left bundle branch block",
    "Premature ventricular contractions",
    "Wandering atrial pacemaker",
    "Electronic ventricular pacemaker",
    "Ventricular pre-excitation (WPW)",
    "Prolonged QT interval",
    "ST-T changes may be due to myocardial ischemia",
    "Compared to previous tracing, atrial fibrillation is no longer present",
    "Poor data quality, interpretation may be adversely affected",
    "Normal ECG except for rate",
    "Statement that nobody has ever written",
)
"""One report each: stated, hedged, denied, remembered, combined, abbreviated, unknown."""

CODES = {
    SNOMED_CT: ("164889003", "426177001", "164934002", "1"),
    SCP_ECG: ("NORM", "AFIB", "IMI", "CLBBB", "PVC", "NOTHING"),
    "code-15": ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST"),
    CONDITION_FOLDER: ("NORMAL", "Atrial Fibrillation", "Right bundle branch block"),
}


_TINY = ("tiny", "ecg-founder-six-tiny", "ecg-lfm-tiny")  # a preset of each family

# Sources


def cohort_files(folder: Path) -> Any:
    """The synthetic cohort: its tables, and a recording in mV."""
    root = folder / "synthetic"
    write_synthetic_cohort(root, n_records=20, seed=5, n_shards=2)
    paths = sorted((root / "files").rglob("*.hea"))
    recordings = [read_record(path.with_suffix("")) for path in paths[:3]]
    return {
        "files": [path.relative_to(root).as_posix() for path in paths],
        "tables": {path.name: pd.read_csv(path) for path in sorted(root.glob("*.csv"))},
        # Samples are rounded floats: another machine may round one the other way.
        "signals": [one.signal.astype(np.float64) for one in recordings],
    }


def record_list(folder: Path) -> Any:
    return _open_synthetic(folder).read_records().table


def machine_reports(folder: Path) -> Any:
    source = _open_synthetic(folder)
    return source.read_reports(source.read_records().table).table


def _open_synthetic(folder: Path) -> Any:
    return open_source("synthetic", folder / "synthetic", n_records=20, seed=5)


# Labels and split


def labels(_: Path) -> Any:
    return {name: tables.labels for name, tables in _label_all()}


def label_evidence(_: Path) -> Any:
    return {name: tables.evidence for name, tables in _label_all()}


def unmatched_statements(_: Path) -> Any:
    return {name: tables.unmatched for name, tables in _label_all()}


def _label_all() -> Iterator[tuple[str, LabelTables]]:
    """Label every statement alone and all in one report, and the codes of each coding."""
    lines = {f"r{at:02}": (statement,) for at, statement in enumerate(STATEMENTS)}
    texts = make_reports({**lines, "all": STATEMENTS, "none": ()})
    yield REPORT_TEXT, label_records(texts)
    yield "any hedge", label_records(texts, threshold=0.0)
    yield "six conditions", label_records(texts, label_set=load_label_set("six-conditions"))
    for coding, codes in CODES.items():
        yield coding, label_records(make_reports({code: (code,) for code in codes}, coding))


def label_crosswalk(_: Path) -> Any:
    table = crosswalk_sources(ECG_FM_LABEL_SET)
    return dict(list(table.groupby("evaluation_source")))


def split(folder: Path) -> Any:
    names = [str(10_000 + 37 * at) for at in range(60)]
    records = pd.DataFrame({"record_id": [f"r{name}" for name in names], "subject_id": names})
    by_patient = split_by_patient(records, seed=3)
    write_meta_split(by_patient, folder / "meta_split.csv")
    folds = pd.Series(np.arange(60) % 10 + 1, index=records["record_id"])
    return {
        "by patient": by_patient,
        "by folds": split_by_folds(records, folds, train=range(1, 9), valid=[9], test=[10]),
        "file": pd.read_csv(folder / "meta_split.csv"),
    }


# Signals


def signal_shards(folder: Path) -> Any:
    cohort = make_cohort(folder)
    return {"signals": read_shard(cohort.shards / "a.parquet"), "rejects": folder / "rejects"}


def signal_quality(folder: Path) -> Any:
    shards = _shards_of(make_cohort(folder))
    rejects = {shard: folder / "rejects" / f"{shard}.parquet" for shard in shards}
    return summarize_quality(shards, rejects)


def signal_caches(folder: Path) -> Any:
    """The files of a cache for every kind of signal and resampling; a recording has 250 Hz."""
    cohort = make_cohort(folder)
    index = cohort.manifest().index
    found = {}
    for kind in SIGNAL_KINDS:
        for resampling in ("linear", "polyphase"):
            spec = replace(
                signal_spec_of_kind(kind, leads=("I", "II"), resampling=resampling),
                record_s=4.0,
                segment_s=2.0,
            )
            cache = SignalCache.open(index, cohort.shards, spec, folder / kind / resampling)
            found[f"{kind}, {resampling}"] = cache.folder
    return found


def mat_records(folder: Path) -> Any:
    """The .mat files of a shard in each layout: of one lead, and of two with missing samples."""
    cohort = make_cohort(folder)
    two = SignalSpec(leads=("I", "II"), n_channels=2, record_s=4.0, segment_s=2.0)
    exports = {"fairseq": (SPEC, MatForm()), "reference": (two, MatForm("reference", True, True))}
    records = numbered(cohort.records).assign(study_id=range(100, 100 + len(cohort.records)))
    for name, (spec, form) in exports.items():
        signals = read_shard(cohort.shards / "a.parquet", leads=spec.leads)
        export_mat_records(signals, spec, records, folder / "mat" / name, form=form)
    return folder / "mat"


# Build


def manifests(folder: Path) -> Any:
    write_manifest(make_cohort(folder / "cohort").manifest(), folder / "manifests")
    return folder / "manifests"


def fairseq_manifests(folder: Path) -> Any:
    cohort = make_cohort(folder)
    folders = {}
    for shard in ("a", "b"):
        folders[shard] = folder / "mat_records" / shard
        signals = read_shard(cohort.shards / f"{shard}.parquet", leads=SPEC.leads)
        export_mat_records(signals, SPEC, numbered(cohort.records), folders[shard])
    target = folder / "fairseq_manifests"
    write_fairseq_manifest(
        cohort.manifest(),
        cohort.records,
        cohort.reports,
        folders,
        target,
        mat_root=folder / "mat_records",
        raw_root=folder / "raw",
    )
    return target


def computed_labels(folder: Path) -> Any:
    cohort, target = make_cohort(folder), folder / "computed_labels"
    write_reference_files(
        cohort.labels, cohort.records, cohort.split, target, vocabulary=VOCABULARY
    )
    return target


def _shards_of(cohort: Cohort) -> ShardDataset:
    return ShardDataset({shard: cohort.shards / f"{shard}.parquet" for shard in ("a", "b")})


# Models


def fill_by_formula(model: nn.Module) -> Any:
    """Give a model weights that are equal on every machine; its head spreads the scores."""
    with torch.no_grad():
        for number, (name, value) in enumerate(model.state_dict().items()):
            if value.is_floating_point():
                value.copy_(_waves(number, name, value))
    return model.eval()


def _waves(number: int, name: str, value: Tensor) -> Tensor:
    waves = np.cos(0.37 * np.arange(value.numel()) ** 1.1 + number).reshape(tuple(value.shape))
    if value.ndim >= 2:
        waves = 2 * waves / np.sqrt(np.prod(value.shape[1:]))
    elif name.endswith(("weight", "running_var")):  # scales of norms
        waves = 1 + 0.3 * waves
    return torch.from_numpy(np.asarray(0.1 * waves if value.ndim < 2 and "bias" in name else waves))


def _models() -> dict[str, TrainedModel]:
    """A small model of each family, which reads 12 leads or one repeated."""
    found = {}
    for preset in _TINY:
        recipe = PRESETS[preset]
        spec = _spec_of(recipe.family)
        model = fill_by_formula(random_model(recipe, spec, TOY_LABELS))
        found[recipe.family] = TrainedModel(model, spec, TOY_LABELS)
    return found


def _spec_of(family: str) -> SignalSpec:
    """Toy recordings, said to be signals of the kind that a family reads."""
    kind = FAMILIES[family].signal_spec(TOY_SPEC.leads)
    return replace(TOY_SPEC, **{field: getattr(kind, field) for field in KIND_FIELDS})


def _toy_data(family: str, n_records: int) -> TrainingData:
    manifest = replace(toy_manifest(n_records), spec=_spec_of(family))
    signals = toy_signals(manifest)
    if manifest.spec.needs_millivolts:
        signals = in_millivolts(signals, manifest.spec)
    return TrainingData(manifest, signals)


def predictions(_: Path) -> Any:
    found = {}
    for family, trained in _models().items():
        data = _toy_data(family, 8)
        predictions = predict_records(
            trained, data.manifest, data.signals, np.arange(8), device="cpu"
        )
        found[family] = predictions.to_table()
    return found


def embeddings(folder: Path) -> Any:
    return {family: pq.read_table(paths[0]) for family, paths in _apply(folder)}


def record_scores(folder: Path) -> Any:
    return {family: pq.read_table(paths[1]) for family, paths in _apply(folder)}


def _apply(folder: Path) -> Iterator[tuple[str, tuple[Path, Path]]]:
    shards = _shards_of(make_cohort(folder))
    for family, trained in _models().items():
        paths = folder / f"{family} embeddings.parquet", folder / f"{family} scores.parquet"
        write_applied(apply_to_shards(trained, shards, device="cpu"), TOY_LABELS, *paths)
        yield family, paths


def embedding_file(folder: Path) -> Any:
    """Stored features of the matrix: the file, and what each family makes of recordings."""
    shards, path = _shards_of(make_cohort(folder)), folder / "embeddings.parquet"
    inputs = EmbeddingInputs({"family": "any"}, "encoder", "signals", "fp32")
    found = {}
    for family, trained in _models().items():
        write_embeddings(apply_to_shards(trained, shards, device="cpu"), inputs, path)
        found[family] = pq.read_table(path)
    return {**found, "made_from": sorted(asdict(inputs))}


def imports(folder: Path) -> Any:
    """Files of each family's authors, imported: weights by name, meaning and report."""
    export_fairseq(fill_by_formula(random_classifier()), folder / "a.pt")
    files = {
        "fairseq-signals": folder / "a.pt",
        "ecg-founder": write_founder(folder / "b.pth", fill_by_formula(tiny_founder(12, 150))),
        "ecg-lfm": write_lfm(folder / "c.pt", fill_by_formula(tiny_lfm(12, n_labels=1))),
    }
    return {
        family: _describe_folder(imported_folder(path, folder / "cache"))
        for family, path in files.items()
    }


def _describe_folder(folder: Path) -> Any:
    report = read_json(folder / "import_report.json")
    del report["import_version"], report["source"]
    others = ("signal_spec.json", "label_vocabulary.json")
    meaning = {name: read_json(folder / name) for name in others if (folder / name).is_file()}
    return {"report": report, **meaning, "weights": describe_weights(folder)}


def describe_weights(folder: Path) -> Any:
    """Names and shapes of all weights, and of each its size and its sum over a wave."""
    weights = dict(sorted(load_file(folder / "model.safetensors").items()))
    flat = [tensor.double().flatten().numpy() for tensor in weights.values()]
    return {
        "names": [f"{name} {tuple(tensor.shape)}" for name, tensor in weights.items()],
        "rms": np.array([np.sqrt(np.mean(one**2)) for one in flat]),
        "on a wave": np.array(
            [np.cos(1.1 * np.arange(one.size)) @ one / np.sqrt(one.size) for one in flat]
        ),
    }


def finetuning(folder: Path) -> Any:
    """Losses of an epoch of a few steps, and the scores after it, of each family's tiny recipe."""
    found = {}
    for preset in _TINY:
        data = _toy_data(PRESETS[preset].family, 40)
        recipe = PRESETS[preset].changed(epochs=1, batch_size=16)
        request = toy_finetuning(folder).changed(preset=preset, recipe=recipe)
        found[preset] = _describe_training(run_toy(request, data)[0])
    return found


def pretraining(folder: Path) -> Any:
    """Losses of an epoch of a few steps of each family's tiny pre-training."""
    cohorts = {
        "tiny-pretrain": toy_cohort(40),
        "ecg-lfm-tiny-pretrain": cohort_in_millivolts(toy_cohort(40, leads=("I",))),
    }
    found = {}
    for preset, data in cohorts.items():
        request = toy_pretraining(folder, preset=preset, epochs=1)
        found[preset] = _describe_training(run_pretraining(request, data)[0])
    return found


def _describe_training(folder: Path) -> Any:
    """Losses, and where there are labels the scores: what weights do, not their last bits.

    An optimizer turns a gradient that is nearly 0 into a step of either sign.
    """
    history = pd.read_csv(folder / "history.csv")
    losses = ("loss", "contrastive", "diversity", "penalty", "cmsc", "rate")
    scores = folder / VALIDATION_PREDICTIONS
    return {
        "history": history[[name for name in history.columns if name.endswith(losses)]],
        "scores": pq.read_table(scores) if scores.is_file() else None,
    }


# Evaluation


def eval_metrics(folder: Path) -> Any:
    found = simulate_predictions(150, seed=4)
    result = _evaluate(found, "one", unmapped={"label 2": "no code"})
    write_reference_metrics(found, folder / "reference.csv")
    return {"result": result.to_json(), "reference": pd.read_csv(folder / "reference.csv")}


def leaderboard(_: Path) -> Any:
    best = simulate_predictions(150, seed=4)
    scored = {"best": best, "near": blur(best, noise=0.05), "worse": blur(best, noise=1)}
    results = {name: _evaluate(one, name) for name, one in scored.items()}
    differences = {
        (results[name].evaluation_set, name): compare_predictions(one, best, n_resamples=50, seed=0)
        for name, one in scored.items()
        if name != "best"
    }
    return build_leaderboard(list(results.values()), differences)


def _evaluate(found: Predictions, name: str, **more: Any) -> EvaluationResult:
    return evaluate_checkpoint(
        simulate_validation(80, seed=1),
        found,
        checkpoint=name,
        evaluation_set=EvaluationSet("synthetic", Part.TEST),
        signal_spec={},
        lineage={},
        n_resamples=50,
        **more,
    )


def lead_degradation(_: Path) -> Any:
    full = simulate_predictions(150, seed=4)
    names = [lead_set.name for lead_set in LEAD_SETS]
    scored = {names[0]: full, names[2]: blur(full, noise=0.2), names[3]: blur(full, noise=0.5)}
    return compare_lead_sets(scored, {names[1]: "no lead aVF"}, n_resamples=50, seed=3)


def label_noise(_: Path) -> Any:
    found = simulate_predictions(60, seed=2, decimals=4)
    calibration = ScoreCalibration.from_validation(simulate_validation(400, seed=1, decimals=4))
    names = found.vocabulary.names
    table = pd.DataFrame(
        {
            "record_id": np.repeat(found.record_ids, len(names)),
            "label": np.tile(names, len(found)),
            "value": found.target.ravel(),
            "probability": found.target.ravel().astype(float),
        }
    )
    stated = table[table["value"] == 1].drop(columns="value")
    evidence = stated.assign(
        line_index=0, line="It says " + stated["label"], matched=stated["label"], rule="stated"
    )
    return rank_label_noise(calibration, found, table, evidence)


def slice_metrics(folder: Path) -> Any:
    """Groups of the small cohort, and the numbers of two groups of simulated recordings."""
    cohort = make_cohort(folder)
    reports = make_reports(dict.fromkeys(cohort.records["record_id"], ("Sinus rhythm",)))
    facts, lacking = align_facts(
        cohort.records["record_id"].tolist(),
        describe_recordings(_with_patients(cohort.records), reports, cohort.labels),
        describe_signals(_shards_of(cohort), ("I",)),
    )
    found = simulate_predictions(150, seed=4)
    groups = pd.DataFrame({"all": "all recordings", "sex": np.where(np.arange(150) % 3, "M", "F")})
    thresholds = Thresholds.from_validation(simulate_validation(80, seed=1))
    return {
        "lacking": lacking,
        "groups": group_recordings(facts),
        "metrics": evaluate_slices(found, thresholds, groups, n_resamples=50, seed=0),
    }


def drift(folder: Path) -> Any:
    """Quantities of the small cohort, and the drift of made-up ones."""
    cohort = make_cohort(folder)
    records = _with_patients(cohort.records)
    at = np.arange(300)
    quantities = pd.DataFrame(
        {"age": 40.0 + at * 7 % 41, "label/AF": (at % 11 == 0).astype(float), "signal/x": at % 23.0}
    )
    quantities.loc[at % 13 == 0, "age"] = np.nan
    groups = pd.DataFrame(
        {
            "split": np.array(["train", "valid", "test"])[at * at % 3],
            "shard": np.array(["p0", "p1"])[at // 180],
            "year": np.array(["2001", "2002"])[at % 2],
        }
    )
    return {
        "quantities": collect_quantities(
            records, describe_signals(_shards_of(cohort)), cohort.labels, VOCABULARY
        ).reset_index(),
        "groups": group_by_origin(records, cohort.split),
        "drift": measure_drift(quantities, groups, (at // 2).astype(str)),
    }


def _with_patients(records: pd.DataFrame) -> pd.DataFrame:
    """Give the small cohort ages, sexes and times; some are unknown."""
    at = np.arange(len(records))
    times = pd.to_datetime("2001-05-01") + pd.to_timedelta(at * 200, unit="D")
    return records.assign(
        age=np.where(at % 5 == 0, np.nan, 30.0 + 4 * at),
        sex=np.array(["F", "M", None], dtype=object)[at % 3],
        ecg_time=times,
    )

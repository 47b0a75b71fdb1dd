"""Fine-tuning by fairseq-signals from the asset graph, with a stand-in and with the real one."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.resources import FairseqSignalsResource, Trainer
from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets_tests.defs.small_job import SmallJob
from ecg_assets_tests.training.finetune.fairseq_stand_in import write_stand_in

TRAINER = {"trainer": "fairseq-signals", "preset": "ecg-fm-lead-i"}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, finished: SmallJob) -> Iterator[SmallJob]:
    """The finished job, free to be changed."""
    with finished.copied_to(tmp_path_factory.mktemp("fairseq")) as job:
        yield job


@pytest.fixture
def stand_in(job: SmallJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the stand-in, whose training copies a small exported model."""
    python = write_stand_in(tmp_path)
    _write_checkpoint(tmp_path / "clone" / "trained.pt")
    monkeypatch.setenv("FAIRSEQ_SIGNALS_PYTHON", str(python))
    return tmp_path / "clone"


def _write_checkpoint(path: Path) -> None:
    """Write a .pt file of a small model of random weights with 17 labels."""
    from ecg_assets.models.ecg_fm.config import ecg_fm_config_of
    from ecg_assets.models.ecg_fm.fairseq_export import export_fairseq
    from ecg_assets.models.ecg_fm.model import EcgFmForClassification

    values = {
        "hidden_size": 48,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "conv_dim": (16,) * 4,
        "conv_kernel": (2,) * 4,
        "conv_stride": (2,) * 4,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 4,
        "conv_bias": False,
    }
    config = ecg_fm_config_of(values, n_channels=12, n_labels=17)
    export_fairseq(EcgFmForClassification(config), path)


def _train(job: SmallJob, pretrained: Path | str, **config: Any) -> None:
    values = {**TRAINER, "pretrained": str(pretrained), **config}
    job.materialize("finetuned_checkpoint", config={"finetuned_checkpoint": {"config": values}})


def test_checkpoint_of_fairseq_signals_is_one_like_any_other(job: SmallJob, stand_in: Path) -> None:
    known = set(job.checkpoints)
    _train(replace(job, trainer=Trainer()), stand_in / "trained.pt", epochs=3)
    (name,) = set(job.checkpoints) - known
    assert name.startswith("ecg-fm-lead-i-fairseq-")
    folder = job.settings.store.checkpoints / name
    run = json.loads((folder / "run.json").read_text())
    history = pd.read_csv(folder / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["valid_loss"].tolist() == pytest.approx(
        [loss * math.log(2) for loss in (1.2, 1.0, 1.1)]
    )
    assert (run["best_epoch"], run["epochs_trained"]) == (2, 3)
    assert run["fairseq_signals"]["versions"]["fairseq_signals"] == "1.0.0a0"
    assert run["fairseq_signals"]["logged_valid_loss"] == pytest.approx(math.log(2))
    assert "base 2" in run["fairseq_signals"]["history"]
    assert {"fairseq_manifests", "pretrained", "manifests"} <= set(run["inputs"])
    shown = job.metadata("finetuned_checkpoint")
    assert shown["valid_loss"] == run["valid_loss"] != pytest.approx(math.log(2), rel=1e-3)
    assert shown["best_epoch"] == 2
    assert "data:image/png;base64," in shown["curves"]
    assert not list(job.settings.store.checkpoints.glob(".training-*"))
    _require_call(job, stand_in)
    job.materialize("checkpoint", "predictions", "eval_metrics", partition=name)
    assert job.metadata("eval_metrics", name)["source"] == "synthetic"
    (stand_in / "call.json").unlink()
    _train(job, stand_in / "trained.pt", epochs=3)
    assert not (stand_in / "call.json").exists(), "a finished checkpoint was trained again"


def _require_call(job: SmallJob, stand_in: Path) -> None:
    """Compare what the child was called with to what lies on disk."""
    call = json.loads((stand_in / "call.json").read_text())["arguments"]
    folder = job.settings.stored.folder("fairseq_manifests")
    assert call[:2] == ["--config-dir", str(next(stand_in.rglob("diagnosis.yaml")).parent)]
    assert f"task.data={folder}" in call
    assert "optimization.max_epoch=3" in call
    assert "+model.encoder_embed_dim=48" in call
    weights = next(token for token in call if token.startswith("+criterion.pos_weight="))
    expected = json.loads((folder / "pos_weight.txt").read_text())
    assert json.loads(weights.split("=")[1]) == expected


def test_failure_shows_cause_and_last_lines(job: SmallJob, stand_in: Path) -> None:
    (stand_in / "fail.txt").write_text("torch.OutOfMemoryError: CUDA out of memory.")
    with pytest.raises(EcgAssetsError, match="Lower batch_size") as error:
        _train(job, stand_in / "trained.pt", epochs=4)
    assert "torch.OutOfMemoryError" in str(error.value)
    assert "log.txt" in str(error.value)


def test_signals_of_another_kind_never_reach_fairseq_signals(job: SmallJob, stand_in: Path) -> None:
    other = SmallJob(job.instance, job.settings_with(signal_kind="raw"))
    try:
        _export(other)
        with pytest.raises(EcgAssetsError, match="ECG_SIGNAL_KIND=ecg-fm"):
            _train(other, stand_in / "trained.pt", epochs=7)
        assert not (stand_in / "call.json").exists()
    finally:
        _export(job)


def _export(job: SmallJob) -> None:
    """Make again what training reads."""
    job.materialize("mat_records", shards=job.shards)
    job.materialize("manifests", "fairseq_manifests")


def test_a_finished_training_is_not_repeated_when_what_follows_fails(
    job: SmallJob, stand_in: Path
) -> None:
    start = stand_in / "start.pt"
    shutil.copy(stand_in / "trained.pt", start)
    (stand_in / "trained.pt").write_bytes(b"no checkpoint")
    with pytest.raises(EcgAssetsError, match="is not a checkpoint"):
        _train(job, start, epochs=6)
    (trained,) = job.settings.store.checkpoints.glob(".training-*/history.json")
    shutil.copy(start, trained.parent / "checkpoints" / "checkpoint_best.pt")
    (stand_in / "call.json").unlink()
    known = set(job.checkpoints)
    _train(job, start, epochs=6)
    assert len(set(job.checkpoints) - known) == 1
    assert not (stand_in / "call.json").exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to look for processes")
def test_training_ends_with_the_run_that_started_it(job: SmallJob, stand_in: Path) -> None:
    """Its watcher is told by end of file that the run is gone, and ends its group."""
    (stand_in / "fail.txt").touch()
    with pytest.raises(EcgAssetsError):
        _train(job, stand_in / "trained.pt", epochs=5)
    (stand_in / "fail.txt").unlink()
    (stand_in / "call.json").unlink()
    (stand_in / "hang.txt").touch()
    requests = (job.settings.store.requests).glob("*.json")
    request = max(requests, key=lambda path: path.stat().st_mtime_ns)
    watcher = subprocess.Popen(
        [sys.executable, "-m", "ecg_assets.defs.child", "fairseq", str(request)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _wait_until((stand_in / "call.json").exists)
    time.sleep(0.2)  # until it is written
    training = json.loads((stand_in / "call.json").read_text())["pid"]
    assert _is_running(training)
    assert watcher.stdin is not None
    watcher.stdin.close()
    assert watcher.wait(timeout=30) == -signal.SIGKILL
    _wait_until(lambda: not _is_running(training))


def _wait_until(arrived: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not arrived():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_running(process: int) -> bool:
    """Whether it is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_is_missing_is_said_before_anything_is_launched(
    job: SmallJob, stand_in: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=r"starts from a \.pt file"):
        _train(job, tmp_path)
    with pytest.raises(SettingsError, match="ecg-fm-lead-i or ecg-fm-mimic"):
        _train(job, stand_in / "trained.pt", preset="tiny")
    with pytest.raises(SettingsError, match=r"\['compile', 'tf32'\], which only the native"):
        _train(job, stand_in / "trained.pt", tf32=True, compile="off")
    manifests = job.settings.stored.folder("fairseq_manifests")
    aside = manifests.with_name("aside")
    manifests.rename(aside)
    try:
        with pytest.raises(SettingsError, match="Materialize mat_records"):
            _train(job, stand_in / "trained.pt")
    finally:
        aside.rename(manifests)
    assert not (stand_in / "call.json").exists()


def test_manifests_of_another_split_are_refused(job: SmallJob, stand_in: Path) -> None:
    """Otherwise patients of the test split could be trained on."""
    other = SmallJob(job.instance, job.settings_with(leads=["I"], label_set="six-conditions"))
    try:
        other.materialize("labels", "label_evidence", "unmatched_statements")
        other.materialize("manifests")
        with pytest.raises(SettingsError, match="fairseq_manifests"):
            _train(other, stand_in / "trained.pt")
    finally:
        job.materialize("labels", "label_evidence", "unmatched_statements")
        job.materialize("manifests")


CPU = """
import runpy, sys
import torch
# It asks for the GPU's number even where there is none; nothing else keeps it from a CPU.
torch.cuda.current_device = lambda: torch.device("cpu")
sys.argv = sys.argv[1:]
if sys.argv[0] == "-m":
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


class CpuJob(SmallJob):
    """Takes fairseq-signals without a GPU."""

    @property
    def definitions(self) -> dg.Definitions:
        resource = FairseqSignalsResource(needs_gpu=False, n_workers=0)
        return build_definitions({"settings": self.settings, "fairseq_signals": resource})


@pytest.mark.fairseq
@pytest.mark.reference
def test_the_real_one_trains_and_its_logged_loss_is_that_of_the_converted_model(
    job: SmallJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference_data: Path
) -> None:
    """On a CPU, by one changed function of torch; call, code and files are as on a GPU."""
    real = os.environ.get("FAIRSEQ_SIGNALS_PYTHON")
    if not real:
        pytest.skip("FAIRSEQ_SIGNALS_PYTHON names no interpreter with fairseq-signals")
    (tmp_path / "cpu.py").write_text(CPU)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{real}" "{tmp_path / "cpu.py"}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("FAIRSEQ_SIGNALS_PYTHON", str(python))
    known = set(job.checkpoints)
    start = reference_data / "fairseq_golden" / "pretrained_tiny.pt"
    on_cpu = CpuJob(job.instance, job.settings)
    _train(on_cpu, start, epochs=2, batch_size=32)
    (name,) = set(job.checkpoints) - known
    found = json.loads((job.settings.store.checkpoints / name / "run.json").read_text())[
        "fairseq_signals"
    ]
    # It logs three decimals, in base 2.
    assert found["valid_loss_of_converted_model"] == pytest.approx(
        found["logged_valid_loss"], abs=0.0006 * math.log(2)
    )
    job.evaluate(name)

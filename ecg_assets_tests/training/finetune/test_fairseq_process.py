from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
import yaml

from ecg_assets.errors import CheckpointError, EcgAssetsError
from ecg_assets.training.fairseq_signals import process
from ecg_assets.training.fairseq_signals.finetune import find_best
from ecg_assets.training.fairseq_signals.install import FairseqInstall, probe_fairseq
from ecg_assets.training.fairseq_signals.process import (
    run_training,
    training_command,
    training_environment,
)
from ecg_assets.training.fairseq_signals.request import FairseqOptions, override_tokens
from ecg_assets.training.finetune.presets import PRESETS

INSTALL = FairseqInstall(
    python="/env/bin/python",
    root=Path("/clone"),
    config_folder=Path("/clone/config"),
    versions={},
    gpus=(),
)


def test_it_is_run_by_module_with_its_configuration() -> None:
    assert training_command(INSTALL, ["a=1"]) == [
        "/env/bin/python",
        "-m",
        "fairseq_cli.hydra_train",
        "--config-dir",
        "/clone/config",
        "--config-name",
        "diagnosis",
        "a=1",
    ]


def test_its_own_packages_come_before_plain_fairseq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/plain/fairseq")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    environment = training_environment(INSTALL, "auto")
    assert environment["PYTHONPATH"] == os.pathsep.join(["/clone", "/plain/fairseq"])
    assert "CUDA_VISIBLE_DEVICES" not in environment


def test_a_chosen_gpu_is_the_only_one_it_sees() -> None:
    assert training_environment(INSTALL, "cuda:2")["CUDA_VISIBLE_DEVICES"] == "2"


def _run(program: str, work: Path, lines: list[str]) -> None:
    run_training(
        [sys.executable, "-c", program], environment=os.environ, work=work, on_line=lines.append
    )


def test_every_line_is_read_and_kept(tmp_path: Path) -> None:
    lines: list[str] = []
    _run("import sys; print('out'); print('err', file=sys.stderr)", tmp_path, lines)
    assert sorted(lines) == ["err\n", "out\n"]
    assert sorted((tmp_path / "log.txt").read_text().splitlines()) == ["err", "out"]


def test_failure_tells_cause_last_lines_and_log(tmp_path: Path) -> None:
    with pytest.raises(EcgAssetsError, match=r"status 1.*trains only on CUDA") as error:
        _run("raise RuntimeError('Found no NVIDIA driver on your system.')", tmp_path, [])
    assert "RuntimeError: Found no NVIDIA driver" in str(error.value)
    assert str(tmp_path / "log.txt") in str(error.value)


def test_it_does_not_outlive_a_reader_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_GRACE_S", 1.0)
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    pids: list[int] = []

    def fail(line: str) -> None:
        pids.append(int(line))
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        run_training(
            [sys.executable, "-c", program], environment=os.environ, work=tmp_path, on_line=fail
        )
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_best_checkpoint_is_found_under_either_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="without a checkpoint"):
        find_best(tmp_path)
    for loss in ("1.61", "0.96", "1.05"):
        (tmp_path / f"checkpoint.best_loss_{loss}.pt").touch()
    assert find_best(tmp_path).name == "checkpoint.best_loss_0.96.pt"
    (tmp_path / "checkpoint_best.pt").touch()
    assert find_best(tmp_path).name == "checkpoint_best.pt"


@pytest.mark.fairseq
def test_the_real_configuration_takes_every_option_as_it_is_meant(tmp_path: Path) -> None:
    python = os.environ.get("FAIRSEQ_SIGNALS_PYTHON")
    if not python:
        pytest.skip("FAIRSEQ_SIGNALS_PYTHON names no interpreter with fairseq-signals")
    install = probe_fairseq(python, needs_gpu=False)
    recipe = PRESETS["ecg-fm-mimic"].changed(
        gradient_accumulation=4,
        max_gradient_norm=1.5,
        weight_decay=0.01,
        patience=5,
    )
    options = FairseqOptions.from_recipe(recipe, pos_weight=(26.5, 0.25), seed=7)
    data = Path("/my data/a=b,c's")
    tokens = override_tokens(
        options,
        data=data,
        labels=data / "y.npy",
        pretrained=Path("/p.pt"),
        save_folder=Path("/out"),
        encoder_width=64,
    )
    lines: list[str] = []
    run_training(
        [*training_command(install, tokens), "--cfg", "job"],
        environment=training_environment(install, "auto"),
        work=tmp_path,
        on_line=lines.append,
    )
    start = next(at for at, line in enumerate(lines) if re.fullmatch(r"\w+:.*\n", line))
    found = yaml.safe_load("".join(lines[start:]))
    assert found["task"]["data"] == str(data)
    assert found["task"]["label_file"] == str(data / "y.npy")
    assert found["criterion"]["pos_weight"] == [26.5, 0.25]
    assert found["optimization"]["lr"] == [1e-6]
    assert found["optimization"]["update_freq"] == [4]
    assert found["optimization"]["clip_norm"] == 1.5
    assert found["optimizer"]["adam_betas"] == [0.9, 0.98]
    assert found["optimizer"]["weight_decay"] == 0.01
    assert found["checkpoint"]["patience"] == 5
    assert found["common"]["seed"] == 7
    assert found["dataset"]["valid_subset"] == "valid"
    assert found["model"]["encoder_embed_dim"] == 64

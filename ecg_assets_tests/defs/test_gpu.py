"""A GPU that is not there is told when the definitions load."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from ecg_assets.defs import gpu
from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.gpu import require_computable
from ecg_assets.errors import SettingsError


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file system like that of a machine with two GPUs, and a torch that is built for them."""
    for number in range(2):
        (tmp_path / "proc/driver/nvidia/gpus" / f"0000:0{number}:00.0").mkdir(parents=True)
    monkeypatch.setattr(gpu, "version", lambda package: "2.13.0")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_what_is_there_is_taken(machine: Path, device: str) -> None:
    for precision in ("fp32", "bf16") if device == "cpu" else ("fp32", "bf16", "fp16"):
        require_computable(device, precision, root=machine)


@pytest.mark.parametrize("file", gpu.DRIVERS)
def test_any_driver_will_do(machine: Path, tmp_path: Path, file: str) -> None:
    (other := tmp_path / "other" / file).mkdir(parents=True)
    require_computable("cuda", "fp16", root=tmp_path / "other")
    other.rmdir()
    with pytest.raises(SettingsError, match="ECG_DEVICE is 'cuda', but this machine has no GPU"):
        require_computable("cuda", "fp32", root=tmp_path / "other")


def test_a_gpu_beyond_those_there_is_refused(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="'cuda:2', but this machine has 2 GPUs"):
        require_computable("cuda:2", "fp32", root=machine)
    # Parts of a GPU have names of their own there.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1,MIG-2,MIG-3")
    require_computable("cuda:2", "fp32", root=machine)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(SettingsError, match="CUDA_VISIBLE_DEVICES hides every GPU"):
        require_computable("cuda", "fp32", root=machine)


def test_half_precision_needs_a_gpu(machine: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="fp16', which needs a GPU, and ECG_DEVICE is cpu"):
        require_computable("cpu", "fp16", root=machine)
    (tmp_path / "bare").mkdir()
    with pytest.raises(SettingsError, match=r"fp16', .* no GPU driver\. Set fp32 or bf16"):
        require_computable("auto", "fp16", root=tmp_path / "bare")


def test_definitions_do_not_load_with_a_torch_of_other_hardware(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu, "version", lambda package: "2.13.0+cpu")
    monkeypatch.setenv("ECG_DEVICE", "cuda")
    with pytest.raises(SettingsError, match="'cuda', but the installed torch is built for CPUs"):
        build_definitions()
    # On a cluster it is another machine that computes.
    monkeypatch.setattr("ecg_assets.defs.build.choose_executor", lambda *_: dg.in_process_executor)
    for elsewhere in ("ray", "k8s"):
        monkeypatch.setenv("ECG_EXECUTOR", elsewhere)
        build_definitions()
    monkeypatch.setenv("ECG_EXECUTOR", "processes")
    monkeypatch.setenv("ECG_LAUNCH", "srun --gres=gpu:1")
    build_definitions()

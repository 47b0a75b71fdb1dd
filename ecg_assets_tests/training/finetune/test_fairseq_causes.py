"""The lines are those that fairseq-signals, torch and hydra print."""

from __future__ import annotations

import pytest

from ecg_assets.training.fairseq_signals.causes import find_cause

PRINTED = [
    ("RuntimeError: Found no NVIDIA driver on your system. Please check", "trains only on CUDA"),
    ("AssertionError: Torch not compiled with CUDA enabled", "trains only on CUDA"),
    ("AssertionError: world size is 2 but have 0 available devices", "more GPUs"),
    (
        "ValueError: mutable default <class 'hydra.conf.JobConf.JobConfig.OverrideDirname'> for "
        "field override_dirname is not allowed: use default_factory",
        "Python 3.9 or 3.10",
    ),
    (
        "ImportError: Please build Cython components with: `python setup.py build_ext --inplace`",
        "Cython extension is not built",
    ),
    (
        "ImportError: cannot import name 'apply_chunking_to_forward' from "
        "'transformers.modeling_utils' (/e/transformers/modeling_utils.py)",
        "transformers is too new",
    ),
    ("FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/x.pt'", "ECG_PRETRAINED"),
    (
        "FileNotFoundError: [Errno 2] No such file or directory: '/d/p1000/mimic_iv_ecg_1_1.mat'",
        "Materialize mat_records",
    ),
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.", "Lower batch"),
    (
        "WeightsUnpickler error: Unsupported global: GLOBAL numpy._core.multiarray._reconstruct "
        "was not an allowed global by default: Weights only load failed.",
        "refused the pretrained file",
    ),
    (
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (6x64 and 768x17)",
        "another width",
    ),
    (
        "ValueError: Target size (torch.Size([6, 17])) must be the same as input size "
        "(torch.Size([6, 16]))",
        "fairseq_manifests",
    ),
    (
        "hydra.errors.ConfigCompositionException: Could not override 'model.nonsense'.",
        "another set of options",
    ),
    ("ModuleNotFoundError: No module named 'sacrebleu'", "a package is missing"),
    ("OSError: [Errno 28] No space left on device", "disk is full"),
]


@pytest.mark.parametrize(("line", "cause"), PRINTED, ids=[cause for _, cause in PRINTED])
def test_cause_is_named_wherever_its_line_stands(line: str, cause: str) -> None:
    around = ["Traceback (most recent call last):", line, "terminate called", ""]
    assert cause in find_cause(around)


def test_a_process_ended_by_the_system_says_so() -> None:
    assert "signal 9" in find_cause(["training"], status=-9)


def test_an_unknown_failure_is_called_unknown() -> None:
    assert "none that is known" in find_cause(["Segmentation fault"], status=1)

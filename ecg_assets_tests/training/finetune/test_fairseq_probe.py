"""What a broken environment lacks is said before anything is launched."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.training.fairseq_signals.install import CONFIG_FOLDER, FairseqInstall, probe_fairseq
from ecg_assets_tests.training.finetune.fairseq_stand_in import write_stand_in


@pytest.fixture
def python(tmp_path: Path) -> str:
    return str(write_stand_in(tmp_path))


def test_versions_gpus_and_places_are_reported(python: str, tmp_path: Path) -> None:
    install = probe_fairseq(python)
    clone = tmp_path / "clone"
    assert (install.root, install.config_folder) == (clone, clone / CONFIG_FOLDER)
    assert install.gpus == ("Stand-in GPU",)
    expected = {"python": "3.10.99", "torch": "2.0", "cuda": "11.8", "fairseq_signals": "1.0.0a0"}
    assert expected.items() <= install.versions.items()
    assert FairseqInstall(**json.loads(install.model_dump_json())) == install


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("fairseq_signals", None, "pip install --editable"),
        ("fairseq_cli", None, "there is no fairseq_cli"),
        ("fairseq_signals/data/data_utils_fast.so", None, "build_ext --inplace"),
        (f"{CONFIG_FOLDER.as_posix()}/diagnosis.yaml", None, "FAIRSEQ_SIGNALS_CONFIG"),
        ("hydra.py", "import no_such_package", "hydra cannot be imported .*no_such_package"),
        (
            "fairseq_signals/__init__.py",
            "raise ImportError(\"cannot import name 'x' from 'transformers.modeling_utils' (y)\")",
            "transformers is too new",
        ),
        (
            "sitecustomize.py",
            "import platform\nplatform.python_version = lambda: '3.11.2'",
            "Python 3.9 or 3.10",
        ),
        (
            "torch.py",
            "from types import SimpleNamespace as S\n__version__ = '2.0'\nversion = S(cuda=None)\n"
            "cuda = S(is_available=lambda: False)",
            "trains only on CUDA",
        ),
    ],
)
def test_each_fault_is_named_with_what_to_do(
    python: str, tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    path = tmp_path / "clone" / name
    if text is not None:
        path.write_text(text)
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(SettingsError, match=message) as error:
        probe_fairseq(python)
    assert str(error.value).count("\n- ") == 1, error.value


def test_all_faults_are_listed_at_once(python: str, tmp_path: Path) -> None:
    for name in ("hydra.py", "torch.py", "fairseq_signals/data/data_utils_fast.so"):
        (tmp_path / "clone" / name).unlink()
    (tmp_path / "clone" / "hydra.py").write_text("raise ImportError('gone')")
    (tmp_path / "clone" / "torch.py").write_text("raise ImportError('gone')")
    with pytest.raises(SettingsError) as error:
        probe_fairseq(python)
    assert str(error.value).count("\n- ") == 3


def test_a_cpu_is_enough_when_told_so(python: str, tmp_path: Path) -> None:
    torch = tmp_path / "clone" / "torch.py"
    torch.write_text(torch.read_text().replace("lambda: True", "lambda: False"))
    assert probe_fairseq(python, needs_gpu=False).gpus == ()


def test_a_configuration_elsewhere_is_taken(python: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diagnosis.yaml").touch()
    assert probe_fairseq(python, str(tmp_path / "mine")).config_folder == tmp_path / "mine"


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("", "FAIRSEQ_SIGNALS_PYTHON is not set"),
        ("/nowhere/python", "cannot be run"),
        ("/bin/false", "did not say what it holds"),
    ],
)
def test_no_interpreter_is_refused(python: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        probe_fairseq(python)


@pytest.mark.fairseq
def test_the_real_one_is_found() -> None:
    python = os.environ.get("FAIRSEQ_SIGNALS_PYTHON")
    if not python:
        pytest.skip("FAIRSEQ_SIGNALS_PYTHON names no interpreter with fairseq-signals")
    install = probe_fairseq(python, needs_gpu=False)
    assert (install.config_folder / "diagnosis.yaml").is_file()
    assert {"fairseq_signals", "hydra", "omegaconf", "torch"} <= set(install.versions)

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ecg_assets
from ecg_assets.models.families import FAMILIES

PACKAGE = Path(ecg_assets.__file__).parent
FLOOR = {
    *("entry_points", "errors", "figures", "frozen_model", "known", "lineage", "made_with"),
    *("storage", "store", "tables", "yaml_file"),
}
_DATA = {"sources", "labels", "split", "preprocess", "build"}
MAY_IMPORT = {
    "sources": set(),
    "labels": {"sources"},
    "split": {"sources"},
    "preprocess": {"sources"},
    "build": {"sources", "labels", "split", "preprocess"},
    "metrics": set(),
    "models": _DATA | {"metrics"},
    "training": _DATA | {"metrics", "models"},
    "evaluation": _DATA | {"metrics", "models"},
    "dropped": {"labels", "preprocess", "models"},
    "export": _DATA | {"metrics", "models", "evaluation"},
    "protocols": _DATA | {"metrics", "models", "evaluation"},
    "api": _DATA | {"metrics", "models", "evaluation"},
}
FOLDERS = sorted(path.parent.name for path in PACKAGE.glob("models/*/family.py"))
OF_A_FAMILY = re.compile(rf"ecg_assets\.models\.(token_|fairseq_|(?:{'|'.join(FOLDERS)})\b)")
"""Modules of a single family."""
TORCH_FAMILY = {"torch", "transformers", "accelerate", "safetensors", "peft"}


def _imports(path: Path) -> set[str]:
    """Full names that a module imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            if node.module == "ecg_assets":
                names |= {f"ecg_assets.{alias.name}" for alias in node.names}
    return names


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_imports_run_one_way(path: Path) -> None:
    room = _room(path)
    if room in {"defs", "definitions", "__init__"}:
        return
    rooms = {name.split(".")[1] for name in _imports(path) if name.startswith("ecg_assets.")}
    allowed = FLOOR | {room} | MAY_IMPORT.get(room, set())
    assert rooms <= allowed, f"{room} imports {sorted(rooms - allowed)}"


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_dagster_stays_in_defs_and_torch_in_its_rooms(path: Path) -> None:
    top = {name.split(".")[0] for name in _imports(path)}
    room = _room(path)
    assert not any(name.startswith("fairseq") for name in top)
    if room not in {"defs", "definitions"}:
        assert not any(name.startswith("dagster") for name in top)
    loaders = {"evaluation/predict.py", "api/torch_dataset.py"}
    if room not in {"models", "training"} and _name(path) not in loaders:
        assert not top & TORCH_FAMILY


def test_definitions_load_without_the_room_export(tmp_path: Path) -> None:
    using = [
        _name(path)
        for path in _modules()
        if any(name.startswith("ecg_assets.export") for name in _imports(path))
    ]
    assert {name for name in using if _room(PACKAGE / name) != "export"} == {
        "defs/assets/export.py"
    }
    shutil.copytree(PACKAGE, tmp_path / "ecg_assets")
    shutil.rmtree(tmp_path / "ecg_assets" / "export")
    (tmp_path / "ecg_assets" / "defs" / "assets" / "export.py").unlink()
    program = (
        "import ecg_assets.definitions as d\n"
        "d.defs.resolve_all_job_defs()\n"
        "keys = d.defs.resolve_asset_graph().get_all_asset_keys()\n"
        "names = {key.to_user_string() for key in keys}\n"
        "assert 'mat_records' not in names and 'signal_shards' in names, sorted(names)\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=tmp_path)


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_models_and_presets_alone_name_a_family(path: Path) -> None:
    # fairseq-signals' own trainer trains one architecture, and reads and writes its files.
    if _room(path) == "models" or _name(path).startswith("training/fairseq_signals/"):
        return
    of_a_family = [name for name in _imports(path) if OF_A_FAMILY.match(name)]
    assert not of_a_family
    if path.name != "presets.py" and _room(path) != "preprocess":  # which has a filter so named
        named = {family.name for family in FAMILIES.values()}
        named |= {family.title for family in FAMILIES.values()}
        values = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not values & named


def test_every_package_says_what_belongs_there() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        docstring = ast.get_docstring(ast.parse(path.read_text()))
        assert docstring and "Placeholder" not in docstring, path


SLOW_TO_IMPORT = {
    *TORCH_FAMILY,
    *("ecgbench", "matplotlib.figure", "scipy.signal", "scipy.stats", "sklearn"),
}
"""What no process that merely loads the definitions should wait for; functions import it."""


def test_loading_the_definitions_is_quick_and_touches_no_data(tmp_path: Path) -> None:
    program = (
        "import sys, ecg_assets.definitions as d\n"
        "d.defs.resolve_all_job_defs()\n"
        f"assert not {SLOW_TO_IMPORT!r} & set(sys.modules), sorted(sys.modules)\n"
    )
    environment = {
        "PATH": "/usr/bin:/bin",
        "ECG_SOURCE": "mimic-iv-ecg",
        "ECG_RAW_ROOT": "/nowhere",
        "ECG_DATA_DIR": str(tmp_path / "data"),
    }
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []

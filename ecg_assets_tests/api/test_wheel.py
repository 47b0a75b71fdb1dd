"""The wheel: all of the package and nothing else, usable where there is no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

import ecg_assets
from ecg_assets_tests.api.conftest import Cohort

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ecg_assets"


def _files_of_package() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build in a copy: setuptools leaves folders beside what it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(PACKAGE, source / "ecg_assets", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "ecg_assets_tests").mkdir()
    (source / "ecg_assets_tests" / "__init__.py").touch()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", *options, str(source)]
    subprocess.run(command, check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_every_file_of_the_package_is_in_the_wheel_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        held = {name for name in file.namelist() if ".dist-info/" not in name}
    assert held == _files_of_package()
    kinds = {Path(name).suffix for name in held}
    assert {".py", ".yaml", ".csv", ".json", ".html", ".md", ".typed"} <= kinds


PROGRAM = """
import importlib, pkgutil, sys
from importlib.metadata import version
import numpy as np
import ecg_assets

site, checkpoint = sys.argv[1:]
assert ecg_assets.__file__.startswith(site), ecg_assets.__file__
walked = pkgutil.walk_packages(ecg_assets.__path__, "ecg_assets.")
names = [one.name for one in walked if not one.name.endswith("__main__")]
for name in names:
    module = importlib.import_module(name)
    assert module.__file__.startswith(site), module.__file__
model = ecg_assets.from_pretrained(checkpoint, device="cpu")
noise = np.random.default_rng(0).standard_normal((1, 5000))
found = model.predict(noise, sample_rate_hz=500, leads=["II"])
print(len(names), *found.round(6).tolist())
"""


def test_the_installed_wheel_imports_all_and_predicts_what_the_checkout_does(
    wheel: Path, cohort: Cohort, tmp_path: Path
) -> None:
    place = tmp_path / "venv"
    venv.create(place, with_pip=False)
    (site,) = place.glob("lib/python*/site-packages")
    python = place / "bin" / "python"
    options = ["--no-deps", "--no-index", "--quiet", "--no-compile"]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(wheel)]
    # Nor does pip take the checkout for what is installed.
    subprocess.run(pip, check=True, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"})
    # The dependencies of here; what is installed editable here is not found by such a line.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    elsewhere = tmp_path / "empty"
    elsewhere.mkdir()
    checkpoint = cohort.checkpoint("first")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(elsewhere)}
    result = subprocess.run(
        [str(python), "-c", PROGRAM, str(site), str(checkpoint)],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    n_modules, *scores = result.stdout.split()
    assert int(n_modules) > 300
    model = ecg_assets.from_pretrained(checkpoint, device="cpu")
    noise = np.random.default_rng(0).standard_normal((1, 5000))
    expected = model.predict(noise, sample_rate_hz=500, leads=["II"])
    assert [float(score) for score in scores] == pytest.approx(expected.tolist(), abs=2e-6)
    assert list(elsewhere.iterdir()) == []

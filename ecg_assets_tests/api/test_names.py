"""What ``import ecg_assets`` names."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import ecg_assets


def test_the_import_loads_nothing_heavy() -> None:
    heavy = {"torch", "pandas", "numpy", "pyarrow", "matplotlib", "dagster", "scipy"}
    program = f"import sys, ecg_assets; assert not {heavy!r} & set(sys.modules), sys.modules.keys()"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_opening_and_reading_need_neither_torch_nor_dagster() -> None:
    program = (
        "import sys, ecg_assets\n"
        "ecg_assets.open_source, ecg_assets.open_shards, ecg_assets.read_recording\n"
        "assert not {'torch', 'dagster', 'sklearn'} & set(sys.modules)\n"
        "ecg_assets.from_pretrained, ecg_assets.evaluate\n"
        "assert 'torch' in sys.modules and 'dagster' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", ecg_assets.__all__)
def test_every_name_leads_somewhere_and_is_documented(name: str) -> None:
    value = getattr(ecg_assets, name)
    assert name in dir(ecg_assets)
    if name == "__version__":
        return
    assert inspect.getdoc(value)
    if inspect.isclass(value):
        own = {k: v for k, v in vars(value).items() if not k.startswith("_")}
        methods = {k: v for k, v in own.items() if inspect.isfunction(v)}
        assert all(inspect.getdoc(one) for one in methods.values()), name


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(ecg_assets.__file__).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {
        (alias.name, f"{node.module}".removeprefix("ecg_assets."))
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == {(name, module) for name, module in ecg_assets._MODULE_OF.items()}
    assert {name for name, _ in typed} | {"__version__"} == set(ecg_assets.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'open_sources'"):
        ecg_assets.open_sources  # noqa: B018

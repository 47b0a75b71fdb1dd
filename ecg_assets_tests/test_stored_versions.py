"""A version that keeps stored data valid is raised when the output that it stands for changes."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ecg_assets
from ecg_assets_tests import stored_versions as module
from ecg_assets_tests.output_figures import describe, find_differences
from ecg_assets_tests.stored_versions import (
    NOT_PINNED,
    StoredVersion,
    asset_versions,
    find_fault,
    main,
    read_stored,
    stem_of,
    stored_versions,
)

PACKAGE = Path(ecg_assets.__file__).parent
OF_A_VERSION = re.compile(r"^[A-Za-z_]*(VERSION|version|_LAYOUT)$")


@pytest.mark.parametrize("name", sorted(stored_versions()))
def test_an_output_changes_only_with_its_version(name: str) -> None:
    one = stored_versions()[name]
    fault = find_fault(one, read_stored().get(name), one.output())
    assert not fault, fault


def test_nothing_is_stored_that_has_no_version() -> None:
    assert set(read_stored()) == set(stored_versions())


def test_every_asset_is_pinned_or_has_a_reason_why_not() -> None:
    pinned = set(stored_versions()) & set(asset_versions())
    assert pinned | set(NOT_PINNED) == set(asset_versions())
    assert not pinned & set(NOT_PINNED)


def test_every_constant_that_is_a_version_is_pinned() -> None:
    """Plain numbers whose name says so, of modules and classes."""
    found = {
        f"{owner}.{name}" if owner else name
        for path in PACKAGE.rglob("*.py")
        for owner, name in _number_constants(ast.parse(path.read_text(encoding="utf-8")))
        if OF_A_VERSION.match(name)
    }
    assert found == set(stored_versions()) - set(asset_versions())


def _number_constants(tree: ast.Module) -> list[tuple[str, str]]:
    """Names that a module, or a class in it, gives a number, each with its class."""
    bodies = [("", tree.body)]
    bodies += [(node.name, node.body) for node in tree.body if isinstance(node, ast.ClassDef)]
    return [
        (owner, target.id)
        for owner, body in bodies
        for node in body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(node.value.value, int) and isinstance(target, ast.Name)
    ]


def _version_of(value: object, version: str = "1", inputs: tuple[str, ...] = ()) -> StoredVersion:
    return StoredVersion("x", version, "X in x.py", lambda _: value, 1e-6, inputs)


def test_the_message_says_what_to_raise_and_what_to_run() -> None:
    stored = {"version": "1", "output": describe({"a": 1.0, "b": "text"})}
    assert find_fault(_version_of(0), stored, describe({"a": 1.0, "b": "text"})) == ""
    fault = find_fault(_version_of(0), stored, describe({"a": 1.001, "b": "text"}))
    assert fault == (
        "The output of x changed (x/a) and its version 1 did not: stored results of the old code "
        "would stay in use. Raise X in x.py, then run `python -m ecg_assets_tests.stored_versions`."
    )
    of_inputs = find_fault(_version_of(0, inputs=("y",)), stored, describe({"a": 2.0}))
    assert "x/a, x/b (missing)" in of_inputs and "--same-version x" in of_inputs


@pytest.mark.parametrize(("value", "change"), [(1.0, "did not change"), (2.0, "changed")])
def test_a_raised_version_that_is_not_stored_is_told(value: float, change: str) -> None:
    fault = find_fault(_version_of(0, "2"), {"version": "1", "output": 1.0}, value)
    assert fault.startswith("The version of x is 2, stored_versions.json has 1; its output")
    assert change in fault


def test_only_a_raised_version_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "STORED", tmp_path / "stored.json")

    def rewrite(one: StoredVersion, *arguments: str) -> int:
        monkeypatch.setattr(module, "stored_versions", lambda: {"x": one})
        return main(arguments)

    assert rewrite(_version_of("old")) == 0
    assert rewrite(_version_of("new")) == 1
    assert "Raise X in x.py" in capsys.readouterr().err
    assert read_stored()["x"] == {"version": "1", "output": "old"}
    assert rewrite(_version_of("new"), "--same-version", "x") == 0
    assert read_stored()["x"] == {"version": "1", "output": "new"}
    assert rewrite(_version_of("newer", "2")) == 0
    assert read_stored()["x"] == {"version": "2", "output": "newer"}


def test_suffixes_of_a_code_version_are_not_raised_by_people() -> None:
    assert [stem_of(version) for version in ("2-abc-def", "2+abc", "2")] == ["2", "2", "2"]


def test_last_bits_are_no_difference_and_a_changed_sample_is() -> None:
    signal = np.random.default_rng(0).normal(size=(3, 500)).astype(np.float32)
    stored = describe(signal)
    assert not list(find_differences(stored, describe(np.nextafter(signal, 9)), 1e-4))
    changed = [signal * 1.001, np.roll(signal, 1), signal.T, signal.astype(np.float64)]
    one_sample = signal.copy()
    one_sample[1, 77] += 0.5
    unknown = np.where(signal > 3, np.nan, signal).astype(np.float32)
    for other in (*changed, one_sample, unknown):
        assert list(find_differences(stored, describe(other), 1e-4)) == ["output"]


def test_a_changed_order_type_or_number_is_a_difference() -> None:
    same: dict[str, Any] = {"a": np.arange(40), "b": ["x"] * 20, "c": 1, "d": True}
    stored = describe(same)
    others: list[dict[str, Any]] = [
        {"a": np.arange(40)[::-1]},
        {"a": np.arange(40).astype(np.int16)},
        {"b": ["x"] * 19 + ["y"]},
        {"c": 2},
        {"d": None},
    ]
    assert not list(find_differences(stored, describe(dict(same)), 0.1))
    for other in others:
        assert len(list(find_differences(stored, describe(same | other), 0.1))) == 1


def test_a_pin_makes_its_output_in_an_empty_folder_that_is_gone_then() -> None:
    seen: list[Path] = []

    def make(folder: Path) -> list[str]:
        seen.append(folder)
        return [path.name for path in folder.iterdir()]

    assert replace(_version_of(0), make=make).output() == []
    assert not seen[0].exists()

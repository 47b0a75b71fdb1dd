"""Files of other forms than a checkpoint folder: safetensors, and objects of known classes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ecg_assets.errors import CheckpointError, UnsafeCheckpoint
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.published_file import find_published_file, read_published_file
from ecg_assets_tests.models.golden_published import families_that_recognize

NAME = f"{__name__}.Settings"


class Settings:
    """Stands for a class of a model's authors; reading must not call it."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise AssertionError("code of the class was run")

    def __init__(self, width: int) -> None:
        self.width = width


@pytest.fixture
def names_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family names the class."""
    family = FAMILIES["hubert-ecg"]
    assert family.files is not None
    files = replace(family.files, classes=(NAME,))
    monkeypatch.setitem(FAMILIES, family.name, replace(family, files=files))


@pytest.mark.reference
def test_no_two_families_take_one_file_for_theirs(reference_data: Path) -> None:
    n_read = 0
    for path in sorted(reference_data.rglob("*")):
        if path.suffix not in (".pt", ".pth", ".ckpt", ".safetensors"):
            continue
        try:
            found = families_that_recognize(path)
        except CheckpointError:  # of no form that is read
            continue
        n_read += 1
        assert len(found) <= 1, f"{path}: {found}"
    assert n_read > 20


@pytest.mark.usefixtures("names_settings")
def test_an_object_of_a_named_class_is_read_as_its_attributes(tmp_path: Path) -> None:
    torch.save({"settings": Settings(3), "a": torch.ones(2)}, tmp_path / "a.pt")
    content = read_published_file(tmp_path / "a.pt")
    assert content["settings"] == {"width": 3}
    assert content["a"].equal(torch.ones(2))


def test_an_object_of_another_class_is_refused(tmp_path: Path) -> None:
    torch.save({"settings": Settings(3)}, tmp_path / "a.pt")
    with pytest.raises(UnsafeCheckpoint, match="Settings"):
        read_published_file(tmp_path / "a.pt")


class _Called:
    """Asks to call the named class with arguments, as a pickle can."""

    def __reduce__(self) -> tuple[object, ...]:
        return Settings, (3,)


@pytest.mark.usefixtures("names_settings")
def test_a_named_class_is_never_called(tmp_path: Path) -> None:
    torch.save({"settings": _Called()}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_published_file(tmp_path / "a.pt")


@pytest.mark.usefixtures("names_settings")
def test_attributes_count_as_content(tmp_path: Path) -> None:
    """Ten lists of ten times the list before: few bytes, many values."""
    value: list[Any] = [0] * 10
    for _ in range(6):
        value = [value] * 10
    settings = Settings(3)
    vars(settings)["many"] = value
    torch.save({"settings": settings}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="many times over"):
        read_published_file(tmp_path / "a.pt")


def test_safetensors_come_with_the_configuration_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(2)}, path)
    assert read_published_file(path)["config"] == {}
    assert find_published_file(tmp_path) is None
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "another"}))
    content = read_published_file(path)
    assert content["config"] == {"model_type": "another"}
    assert content["state_dict"]["a"].equal(torch.ones(2))
    assert find_published_file(tmp_path) == path
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "ecg-founder"}))
    assert find_published_file(tmp_path) is None


@pytest.mark.parametrize(("text", "message"), [("{", "is no JSON"), ("[]", "no JSON object")])
def test_a_damaged_configuration_is_named(text: str, message: str, tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        read_published_file(tmp_path / "model.safetensors")


def test_damaged_safetensors_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(CheckpointError, match="No checkpoint file"):
        read_published_file(path)
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        read_published_file(path)

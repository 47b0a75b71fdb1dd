"""Named recipes, and what each wants of the data unless the user says otherwise.

Those of a family are a file of `ecg_assets/training/presets`: of each name the ``recipe``'s fields,
the ``label_set`` that it is made for, and the preset that it is ``like`` in all other fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from ecg_assets.entry_points import load_entry_points
from ecg_assets.frozen_model import FrozenModel
from ecg_assets.labels.label_set import ECG_FM_17
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.family import ModelFamily
from ecg_assets.training.finetune.recipe import Recipe
from ecg_assets.yaml_file import parse_yaml

GROUP = "ecg_assets.presets"
"""Group of the entry points by which other packages bring recipes."""

_DEFAULT = "tiny"


class Preset(FrozenModel):
    """An entry of a file of presets; see the module."""

    recipe: dict[str, Any]
    label_set: str = ECG_FM_17
    like: str = ""


def _read_presets() -> dict[str, Preset]:
    folder = files("ecg_assets.training").joinpath("presets")
    texts = {file.name: file.read_text("utf-8") for file in folder.iterdir()}
    found: dict[str, Preset] = {}
    for name in sorted(texts):
        for preset, value in parse_yaml(texts[name], of_package=True).items():
            if preset in found:
                raise ValueError(f"presets/{name} names {preset} a second time.")
            found[preset] = Preset(**value)
    return found


def _fields(name: str, presets: Mapping[str, Preset]) -> dict[str, Any]:
    """Give the fields of a preset's recipe, those of what it is like included."""
    preset = presets[name]
    return {**(_fields(preset.like, presets) if preset.like else {}), **preset.recipe}


_SHIPPED = _read_presets()

PRESETS: dict[str, Recipe] = {name: Recipe(**_fields(name, _SHIPPED)) for name in _SHIPPED}
"""Recipe by preset name."""

for _name, _recipe in load_entry_points(GROUP, Recipe).items():
    PRESETS.setdefault(_name, _recipe)  # no package replaces a built-in one


def label_set_of_preset(preset: str) -> str:
    """Give the label set that a preset is made for; ECG-FM's 17 labels where it names none.

    >>> label_set_of_preset("ecg-founder-six")
    'six-conditions'
    """
    return _SHIPPED[preset].label_set if preset in _SHIPPED else ECG_FM_17


def tiny_presets() -> dict[str, str]:
    """Give each family's preset for two cores and some hundred recordings: family → preset.

    It is the first one of the family whose name ends with ``tiny`` and that trains random weights.

    >>> tiny_presets()["ecg_fm"]
    'tiny'
    """
    found: dict[str, str] = {}
    for name, recipe in PRESETS.items():
        if name.endswith("tiny") and not recipe.needs_pretrained:
            found.setdefault(recipe.family, name)
    return found


def family_of_preset(preset: str) -> ModelFamily:
    """Give the family of models that a preset trains; that of ``tiny`` for an unknown preset.

    >>> family_of_preset("ecg-founder-six").signal_kind
    'ecg-founder'
    """
    return FAMILIES[PRESETS.get(preset, PRESETS[_DEFAULT]).family]

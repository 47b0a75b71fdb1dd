"""A matrix as a user writes it, and what is refused with the key and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.evaluation.matrix.design import Cell, MatrixDesign, name_label_set, read_design

GOOD = """
models:
  small: {preset: tiny}
  other: {preset: wide, checkpoint: weights/other}
sources: [ptb-xl, code-15]
label_sets: [ecg-fm-17, labels.yaml]
methods: [logistic-regression]
changes: {epochs: 3}
"""


def _read(folder: Path, text: str) -> MatrixDesign:
    path = folder / "matrix.yaml"
    path.write_text(text, encoding="utf-8")
    return read_design(
        path,
        presets=("tiny", "wide"),
        sources=("ptb-xl", "code-15"),
        recipe_fields=("epochs", "batch_size"),
    )


def test_each_combination_is_a_cell_and_paths_are_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").touch()
    design = _read(tmp_path, GOOD)
    assert design.rows == ["small/logistic-regression", "other/logistic-regression"]
    assert design.columns == [
        *("ptb-xl/ecg-fm-17", "ptb-xl/labels"),
        *("code-15/ecg-fm-17", "code-15/labels"),
    ]
    assert len(design.cells) == 8
    assert design.cells[0] == Cell("small", "logistic-regression", "ptb-xl", "ecg-fm-17")
    assert design.find_cell("other/logistic-regression", "code-15/labels").label_set == "labels"
    assert design.find_model("other").checkpoint == str(tmp_path / "weights" / "other")
    assert design.label_sets["labels"] == str(tmp_path / "labels.yaml")
    assert design.changes == {"epochs": 3}


def test_methods_and_changes_may_be_left_out(tmp_path: Path) -> None:
    text = "models: {a: {preset: tiny}}\nsources: [ptb-xl]\nlabel_sets: [own]\n"
    design = _read(tmp_path, text)
    assert design.methods == ("logistic-regression", "full")
    assert design.changes == {}


def test_a_model_may_be_on_the_hub_and_an_attention_probe_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").touch()
    text = GOOD.replace("[logistic-regression]", "[attention-probe, full]")
    design = _read(tmp_path, text.replace("weights/other", "hf:lab/ecg:start.pt"))
    assert "hf:lab/ecg:start.pt" in {model.checkpoint for model in design.models}
    assert design.methods == ("attention-probe", "full")
    with pytest.raises(SettingsError, match=r"models\.other\.checkpoint: 'hf:lab'.*expected hf:"):
        _read(tmp_path, text.replace("weights/other", "hf:lab"))


def test_a_design_of_an_earlier_version_is_the_same_design(tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").touch()
    former = GOOD.replace("logistic-regression", "linear-probe")
    assert _read(tmp_path, former) == _read(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("models:", "model:", "the file has unknown keys ['model'] and lacks ['models']"),
        ("preset: tiny", "preset: huge", "models.small.preset is 'huge'; allowed: tiny, wide."),
        ("preset: tiny", "recipe: tiny", "models.small has unknown keys ['recipe']"),
        ("{preset: tiny}", "tiny", "models.small is 'tiny'; expected a mapping"),
        ("weights/other", "3", "models.other.checkpoint is 3; expected a path."),
        ("small:", "a/b:", "models: ['a/b'] cannot name partitions"),
        ("other:", "small:", "['small'] stand there more than once"),
        ("[ptb-xl, code-15]", "[mimic]", "sources: ['mimic'] are unknown; allowed: ptb-xl"),
        ("[ptb-xl, code-15]", "[]", "sources is []; expected a list of names"),
        ("labels.yaml", "six", "label_sets: 'six' is neither one of ecg-fm-17, "),
        ("labels.yaml", "ecg-fm-17", "label_sets: 'ecg-fm-17' stands twice."),
        ("[logistic-regression]", "[lora]", "methods: ['lora'] are unknown; allowed: logistic-reg"),
        ("[logistic-regression]", "[full, full]", "methods: ['full'] stand twice."),
        ("epochs: 3", "epoch: 3", "changes has unknown keys ['epoch']"),
        ("models:", "models: [", "cannot be read: this is no YAML"),
    ],
)
def test_what_is_not_allowed_is_named(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    (tmp_path / "labels.yaml").touch()
    with pytest.raises(SettingsError, match=re.escape(message)) as found:
        _read(tmp_path, GOOD.replace(before, after, 1))
    assert "matrix.yaml" in str(found.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ECG_MATRIX is .*nowhere\.yaml"):
        read_design(tmp_path / "nowhere.yaml", presets=(), sources=(), recipe_fields=())


def test_a_cell_or_model_of_another_design_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").touch()
    design = _read(tmp_path, GOOD)
    with pytest.raises(SettingsError, match="no model 'third'; it has small, other"):
        design.find_model("third")
    with pytest.raises(SettingsError, match="no cell small/full by ptb-xl/own"):
        design.find_cell("small/full", "ptb-xl/own")


def test_the_name_of_any_file_can_be_a_partitions() -> None:
    assert name_label_set("/data/etiketten (neu)..v2.yaml") == "etiketten-neu-v2"
    assert name_label_set("/data/…") == "labels"

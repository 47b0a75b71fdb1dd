from __future__ import annotations

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData

from ecg_assets.models.card_metadata import CardResult, card_metadata, licence_id
from ecg_assets.models.families import FAMILIES

TITLE = "macro AUROC: 95 % interval [0.8, 0.9] # über"
RESULT = CardResult("ptb-xl", "test", "ptb-xl, test split", "auroc", TITLE, 0.85)


def _read(text: str) -> ModelCardData:
    card = ModelCard(text + "# a model\n")
    assert card.text.strip() == "# a model"
    assert isinstance(card.data, ModelCardData)
    return card.data


def test_a_card_says_what_is_known_and_leaves_out_the_rest() -> None:
    data = _read(card_metadata("tiny-1", family="net: 1d"))
    expected = {"library_name": "ecg-assets", "tags": ["ecg", "electrocardiogram", "net: 1d"]}
    assert yaml.safe_load(data.to_yaml()) == expected


def test_results_are_read_back_by_the_hubs_own_library() -> None:
    text = card_metadata(
        "1e5",
        family="x",
        licence="mit",
        trained_on="ptb-xl",
        base_model="lab/ecg",
        results=[RESULT],
    )
    data = _read(text)
    assert (data.license, data.datasets, data.base_model) == ("mit", ["ptb-xl"], "lab/ecg")
    assert (data.model_name, data.metrics) == ("1e5", ["auroc"])
    assert data.eval_results is not None
    (found,) = data.eval_results
    assert (found.dataset_type, found.dataset_split) == ("ptb-xl", "test")
    assert (found.metric_type, found.metric_name, found.metric_value) == ("auroc", TITLE, 0.85)


def test_a_name_cannot_add_fields() -> None:
    data = _read(card_metadata("x\n---\nlicense: mit", family="f\nlicense: mit", results=[RESULT]))
    assert data.license is None
    assert data.model_name == "x\n---\nlicense: mit"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("code and weights MIT", "mit"),
        ("code and weights CC BY-NC 4.0: no commercial use", "cc-by-nc-4.0"),
        ("code and weights CC BY-NC 4.0: no commercial use; nothing may be distributed", None),
        ("code MIT; for the weights no licence is stated", None),
        ("", None),
    ],
)
def test_a_licence_is_named_where_it_is_stated_of_the_weights_without_more(
    statement: str, expected: str | None
) -> None:
    assert licence_id(statement) == expected


def test_some_families_licences_are_known_to_the_hub() -> None:
    known = {licence_id(family.licence) for family in FAMILIES.values()}
    assert {"mit", "apache-2.0", "cc-by-nc-4.0"} <= known

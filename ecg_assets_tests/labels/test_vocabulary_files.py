"""The tables of words and codes hold together, and say what they should."""

from __future__ import annotations

import pytest

from ecg_assets.labels import ECG_FM_LABELS
from ecg_assets.labels.codings import find_coding
from ecg_assets.labels.concepts import Knowledge, load_knowledge
from ecg_assets.labels.lexicon import Kind, Lexicon, Meaning, load_lexicon
from ecg_assets.labels.words import Spelling

SCORED_CODES = {
    "164889003": {"Atrial fibrillation"},
    "164890007": {"Atrial flutter"},
    "6374002": set(),
    "426627000": {"Bradycardia"},
    "733534002": {"Left bundle branch block"},
    "164909002": {"Left bundle branch block"},
    "713427006": {"Right bundle branch block"},
    "59118001": {"Right bundle branch block"},
    "270492004": {"1st degree atrioventricular block", "Atrioventricular block"},
    "713426002": set(),
    "39732003": set(),
    "445118002": set(),
    "251146004": set(),
    "698252002": set(),
    "426783006": {"Sinus rhythm"},
    "284470004": set(),
    "63593006": set(),
    "10370003": {"Electronic pacemaker"},
    "365413008": set(),
    "427172004": {"Premature ventricular contraction"},
    "17338001": {"Premature ventricular contraction"},
    "164947007": {"1st degree atrioventricular block", "Atrioventricular block"},
    "111975006": set(),
    "164917005": set(),
    "47665007": set(),
    "427393009": {"Sinus rhythm"},
    "426177001": {"Sinus rhythm", "Bradycardia"},
    "427084000": {"Sinus rhythm", "Tachycardia"},
    "164934002": set(),
    "59931005": set(),
}
"""The 30 codes that the PhysioNet/CinC Challenge 2021 scored, with the labels they imply."""


@pytest.mark.parametrize("code", SCORED_CODES)
def test_scored_code_implies_its_labels(code: str) -> None:
    implied = load_knowledge().implied[find_coding("snomed-ct").codes[code]]
    assert set(implied) & set(ECG_FM_LABELS.names) == SCORED_CODES[code]


def test_every_label_is_a_concept_with_words() -> None:
    lexicon = load_lexicon()
    for name in ECG_FM_LABELS.names:
        assert [span.meaning for span in lexicon.find_spans(name)] == [Meaning(Kind.CONCEPT, name)]


def test_certainties_are_probabilities_and_order_as_they_should() -> None:
    certainty = load_knowledge().uncertainty
    assert all(0 < p <= 1 for p in certainty.values())
    assert certainty["unlikely"] < certainty["possible"] < certainty["probable"] < 1.0
    assert certainty["definite"] == 1.0


def test_implication_takes_the_weakest_link_of_the_strongest_path() -> None:
    knowledge = Knowledge(
        wordings={name: (name,) for name in "abcd"},
        parents={
            "a": {"b": "weak", "c": "definite"},
            "b": {"d": "definite"},
            "c": {"d": "fair"},
            "d": {},
        },
        combinations=(),
        groups={},
        uncertainty={"weak": 0.1, "fair": 0.5, "definite": 1.0},
    )
    assert knowledge.implied["a"] == {
        "a": "definite",
        "b": "weak",
        "c": "definite",
        "d": "fair",
    }


def test_circle_and_unknown_names_are_refused() -> None:
    words = {"a": ("a",), "b": ("b",)}
    with pytest.raises(ValueError, match="circle"):
        Knowledge(
            words, {"a": {"b": "definite"}, "b": {"a": "definite"}}, (), {}, {"definite": 1.0}
        )
    with pytest.raises(ValueError, match="concept"):
        Knowledge(words, {"a": {"c": "definite"}, "b": {}}, (), {}, {"definite": 1.0})
    with pytest.raises(ValueError, match="certainty"):
        Knowledge(words, {"a": {"b": "maybe"}, "b": {}}, (), {}, {"definite": 1.0})


def test_a_phrase_has_one_meaning_and_the_longest_phrase_wins() -> None:
    spelling = Spelling({}, {})
    block, left = Meaning(Kind.CONCEPT, "block"), Meaning(Kind.CONCEPT, "left block")
    lexicon = Lexicon(spelling, [("block", block), ("left, block", left)])
    spans = lexicon.find_spans("left block, blocks")
    assert [span.meaning for span in spans if span.kind is Kind.CONCEPT] == [left, block]
    with pytest.raises(ValueError, match="may mean one"):
        Lexicon(spelling, [("block", block), ("Blocks", left)])

from __future__ import annotations

import pytest

from ecg_assets.evaluation.report.numbers import NumberMarker, TextMarker, find_wrong_numbers

DOCUMENT = {
    "macro": {"auroc": 0.97149, "auprc": None},
    "n": 80023,
    "label": "1st degree atrioventricular block",
    "group": "2019",
    "range": "40-59",
    "version": "2.4.6",
}
NUMBER = NumberMarker(DOCUMENT)
TEXT = TextMarker(DOCUMENT)


def _find(body: str) -> list[str]:
    return find_wrong_numbers(f"<html><style>a {{ width: 5px }}</style><p>{body}</p>", DOCUMENT)


@pytest.mark.parametrize(
    "body",
    [
        NUMBER("/macro/auroc"),
        NUMBER("/macro/auroc", "percent"),
        NUMBER("/macro/auprc"),
        NUMBER("/n", "count"),
        TEXT("/group"),
        "a 95 % interval of 1st degree atrioventricular block, F1, group 40-59 with numpy 2.4.6",
        '<img alt="1st degree atrioventricular block">',
    ],
)
def test_what_the_document_says_is_no_fault(body: str) -> None:
    assert _find(body) == []


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (str(NUMBER("/macro/auroc")).replace(">0.971<", ">0.972<"), "0.972"),
        (str(NUMBER("/macro/auroc")).replace('value="0.97149"', 'value="0.98"'), "0.98"),
        (str(NUMBER("/macro/auroc")).replace("/macro/auroc", "/macro/auroc2"), "Nothing stands"),
        (str(NUMBER("/n", "count")).replace("/n", "/label"), "expected a number"),
        ('<data value="0.971">0.971</data>', "0.971"),
        ("the AUROC is 0.971", "0.971"),
        ("<b>85</b> recordings", "85"),
        ("in the year 2019", "2019"),
        ('<abbr title="above 0.971">AUROC</abbr>', "above 0.971"),
        ("<code>0.971</code>", "0.971"),
        (str(TEXT("/group")).replace(">2019<", ">2020<"), "2020"),
        ('<span data-text="/nothing">2019</span>', "Nothing stands"),
    ],
)
def test_planted_number_is_found(body: str, named: str) -> None:
    faults = _find(body)
    assert len(faults) == 1
    assert named in faults[0]


def test_marker_refuses_what_is_no_number() -> None:
    with pytest.raises(TypeError, match="expected a number or null"):
        NUMBER("/label")
    with pytest.raises(LookupError, match="/macro/f1"):
        NUMBER("/macro/f1")

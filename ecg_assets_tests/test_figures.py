from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import ecg_assets
from ecg_assets.figures import draw_interval, draw_shares, make_figure, to_png

PACKAGE = Path(ecg_assets.__file__).parent


def test_a_value_without_interval_is_hollow() -> None:
    _, [[axes]] = make_figure(2, 2)
    draw_interval(axes, 0, (0.8, 0.7, 0.9), "#123456")
    assert [line.get_markerfacecolor() for line in axes.lines] == ["#123456", "#123456"]
    assert list(axes.lines[0].get_xdata()) == [0.7, 0.9]
    draw_interval(axes, 1, (0.8, np.nan, np.nan), "#123456")
    assert len(axes.lines) == 3
    assert axes.lines[2].get_markerfacecolor() == "white"


def test_texts_of_a_heat_map_can_be_read() -> None:
    _, [[axes]] = make_figure(2, 2, has_frame=True)
    share = np.array([[0.9, 0.1], [np.nan, 0.0]])
    texts = np.array([["a", "b"], ["c", ""]], object)
    draw_shares(axes, share, texts, ["r", "s"], ["t", "u"])
    colors = {text.get_text(): text.get_color() for text in axes.texts}
    assert colors == {"a": "white", "b": "#1f2933", "c": "#1f2933"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["r", "s"]


@pytest.mark.parametrize("lines", ["", "both"])
def test_same_picture_gives_the_same_bytes(lines: str) -> None:
    def draw() -> bytes:
        figure, [[axes]] = make_figure(2, 2, lines=lines)  # type: ignore[arg-type]
        axes.plot([0, 1], [0, 1])
        return to_png(figure)

    assert draw() == draw()


def test_figures_are_made_in_one_place() -> None:
    made = re.compile(r"\bFigure\(|\bsavefig\(|pyplot|spines\[\[")
    makers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if made.search(re.sub(r'""".*?"""', "", path.read_text(encoding="utf-8"), flags=re.S))
    }
    assert makers == {"figures.py"}

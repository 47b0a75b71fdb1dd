from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray

from ecg_assets.training.engine.history import draw_curves


def _draw(folder: Path, auroc: list[float], test_loss: list[float]) -> NDArray[np.float32]:
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "train_loss": [0.9, 0.7, 0.5],
            "valid_loss": [0.9, 0.6, 0.8],
            "valid_macro_auroc": auroc,
            "test_loss": test_loss,
            "test_macro_auroc": auroc,
        }
    )
    draw_curves(history, folder / "curves.png")
    picture: NDArray[np.float32] = imread(folder / "curves.png")
    return picture


NONE = [np.nan, np.nan, np.nan]


@pytest.mark.parametrize(("auroc", "n_panels"), [([0.6, 0.8, 0.7], 2), (NONE, 1)])
def test_curves_are_a_picture_of_what_was_measured(
    auroc: list[float], n_panels: int, tmp_path: Path
) -> None:
    picture = _draw(tmp_path, auroc, NONE)
    assert round(picture.shape[1] / picture.shape[0] / (4.5 / 3.6)) == n_panels
    assert picture[..., :3].std() > 0.01


def test_the_test_split_has_a_curve_where_it_was_measured(tmp_path: Path) -> None:
    orange = (0xC2 / 255, 0x57 / 255, 0x1A / 255)

    def has_orange(test_loss: list[float]) -> bool:
        picture = _draw(tmp_path, [0.6, 0.8, 0.7], test_loss)
        return bool((np.abs(picture[..., :3] - orange).max(axis=-1) < 0.01).any())

    assert has_orange([0.9, 0.8, 0.7])
    assert not has_orange(NONE)

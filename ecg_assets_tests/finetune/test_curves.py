from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from ecg_assets.finetune.curves import draw_curves


@pytest.mark.parametrize("auroc", [[0.6, 0.8, 0.7], [np.nan, np.nan, np.nan]])
def test_curves_are_a_picture_that_is_not_blank(auroc: list[float], tmp_path: Path) -> None:
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "train_loss": [0.9, 0.7, 0.5],
            "valid_loss": [0.9, 0.6, 0.8],
            "valid_macro_auroc": auroc,
        }
    )
    draw_curves(history, tmp_path / "curves.png")
    picture = imread(tmp_path / "curves.png")
    assert picture.shape[1] > 2 * picture.shape[0]
    assert picture[..., :3].std() > 0.01

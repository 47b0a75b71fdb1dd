from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecg_assets.preprocess.lead_statistics import MIN_PLATEAU_SAMPLES, measure_leads
from ecg_assets.sources import MISSING


def _plateau(length: int, height: int) -> NDArray[np.int16]:
    signal = np.arange(-40, 60)
    signal[50 : 50 + length] = height
    return signal.astype(np.int16).reshape(1, 1, -1)


@given(
    st.lists(st.sampled_from([MISSING, -32767, -3, -2, 0, 1, 32767]), min_size=1, max_size=60),
    st.integers(1, 3),
)
def test_statistics_equal_those_of_python_integers(values: list[int], n_records: int) -> None:
    found = measure_leads(np.tile(np.array(values, np.int16), (n_records, 2, 1)))
    present = [value for value in values if value != MISSING]
    for at in np.ndindex(n_records, 2):
        assert found.sum[at] == sum(present)
        assert found.sum_sq[at] == sum(value * value for value in present)
        assert found.n_missing[at] == len(values) - len(present)
        assert found.min[at] == min(present, default=MISSING)
        assert found.max[at] == max(present, default=MISSING)
        assert found.is_flat[at] == (len(set(present)) <= 1)


@pytest.mark.parametrize("height", [-500, 500])
def test_plateau_at_an_extreme_is_clipped_from_ten_samples_on(height: int) -> None:
    assert measure_leads(_plateau(MIN_PLATEAU_SAMPLES - 1, height)).n_clipped == 0
    assert measure_leads(_plateau(MIN_PLATEAU_SAMPLES, height)).n_clipped == MIN_PLATEAU_SAMPLES


def test_plateau_between_the_extremes_is_not_clipped() -> None:
    assert measure_leads(_plateau(30, 0)).n_clipped == 0


def test_missing_sample_breaks_a_plateau_and_flat_lead_has_none() -> None:
    broken = _plateau(MIN_PLATEAU_SAMPLES, 500)
    broken[0, 0, 54] = MISSING
    assert measure_leads(broken).n_clipped == 0
    assert measure_leads(np.full((1, 1, 50), 7, np.int16)).n_clipped == 0

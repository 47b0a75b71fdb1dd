"""Published numbers stand in the cells of their task, model and mode, and all of them are there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ecg_assets.protocols.protocol import ProtocolCell, PublishedCell, load_protocol

BENCHMARK = "ecg-fm-benchmark"
CELLS = ("task", "model", "mode")


@pytest.mark.parametrize(
    ("protocol", "task", "row", "numbers"),
    [
        (BENCHMARK, "ptb-xl-all", "ecg-founder/finetuned", (0.933841, 0.900474, 0.936752)),
        (BENCHMARK, "ptb-xl-all", "ecg-cpc/finetuned", (0.949262, 0.916238, 0.951069)),
        (BENCHMARK, "ptb-xl-all", "merl/linear", (0.88305, 0.853338, 0.889539)),
        (BENCHMARK, "ptb-xl-diag", "s4/supervised", (0.94284, 0.906175, 0.94793)),
        (BENCHMARK, "ptb-xl-super", "ecg-fm/finetuned", (0.915573, 0.90765, 0.922936)),
        (BENCHMARK, "ptb-xl-sub", "st-mem/finetuned", (0.915932, 0.887019, 0.924545)),
        (BENCHMARK, "ptb-xl-sub", "st-mem/linear", (0.916065, 0.882861, 0.924588)),
        (BENCHMARK, "ptb-xl-form", "net1d/supervised", (0.89309, 0.849015, 0.910171)),
        (BENCHMARK, "ptb-xl-rhythm", "hubert-ecg/frozen", (0.916925, 0.851069, 0.933912)),
        (BENCHMARK, "ningbo", "ecg-founder/finetuned", (0.974123, 0.938555, 0.975536)),
        (BENCHMARK, "cpsc-2018", "ecg-founder/finetuned", (0.965856, 0.95567, 0.975098)),
        (BENCHMARK, "cpsc-extra", "ecg-founder/finetuned", (0.905515, 0.839566, 0.91939)),
        (BENCHMARK, "code-15", "ecg-jepa/finetuned", (0.991267, 0.986489, 0.994862)),
        (BENCHMARK, "zzu-pecg", "ecg-cpc/finetuned", (0.891553, 0.83517, 0.890796)),
        (BENCHMARK, "echonext", "ecg-fm/finetuned", (0.771617, 0.759428, 0.783717)),
        ("ptb-xl-keep", "ptb-xl-all", "ecg-fm/linear", (0.841461, 0.814916, 0.851035)),
        ("ptb-xl", "all", "xresnet1d101/supervised", (0.925, 0.918, 0.932)),
        ("ptb-xl", "form", "xresnet1d101/supervised", (0.896, 0.884, 0.908)),
        ("ptb-xl-rhythm", "rhythm", "xresnet1d101/supervised", (0.957, 0.938, 0.976)),
        ("mimic-iv-ecg-ext-icd", "ed", "s4/supervised", (0.7743, None, None)),
    ],
)
def test_a_number_stands_in_its_cell(
    protocol: str, task: str, row: str, numbers: tuple[float, float | None, float | None]
) -> None:
    model, mode = row.split("/")
    found = load_protocol(protocol).published_of(ProtocolCell(model, mode, task, 1))
    assert found is not None
    assert (found.value, found.low, found.high) == numbers


def _numbers(name: str) -> dict[tuple[str, str, str], PublishedCell]:
    published = load_protocol(name).published
    found = {(cell.task, cell.model, cell.mode): cell for cell in published}
    assert len(found) == len(published)
    return found


@pytest.mark.parametrize(
    ("name", "model", "task", "value"),
    [
        ("ptb-xl", "inception1d", "form", 0.899),
        ("ptb-xl", "resnet1d_wang", "super", 0.930),
        ("ptb-xl", "lstm", "diag", 0.927),
        ("ptb-xl", "xresnet1d101", "ICBEB2018", 0.974),
        ("echonext", "EchoNext-Mini", "SHD", 0.820),
        ("mimic-iv-ecg-ext-icd", "S4", "ALL to ALL", 0.7506),
    ],
)
def test_numbers_without_a_cell_here_are_kept(
    name: str, model: str, task: str, value: float
) -> None:
    assert _numbers(name)[task, model, "supervised"].value == value


def test_every_cell_of_the_benchmark_has_its_number() -> None:
    for name in (BENCHMARK, "ptb-xl-keep"):
        protocol = load_protocol(name)
        found = {cell: protocol.published_of(cell) for cell in protocol.cells}
        assert None not in found.values()
        assert len({id(number) for number in found.values()}) == len(found)


def test_the_papers_own_faults_are_in_its_numbers() -> None:
    found = _numbers(BENCHMARK).values()
    assert len(found) == 728
    table = pd.DataFrame([cell.model_dump() for cell in found])
    is_outside = (table["value"] < table["low"]) | (table["value"] > table["high"])
    assert is_outside.sum() == 16
    assert set(table.loc[is_outside, "task"]) == {"ZZU pECG"}
    below, above = table["value"] - table["low"], table["high"] - table["value"]
    assert (below > 2 * above).sum() == 291
    st_mem = table[table["model"].eq("ST-MEM")].pivot(index="task", columns="mode", values="value")
    assert (st_mem["Finetuning"] - st_mem["Linear"]).abs().median() < 0.001


@pytest.mark.reference
def test_all_numbers_of_the_benchmark_are_the_published_ones(reference_data: Path) -> None:
    path = reference_data.parent / "reference" / "published_table.csv"
    if not path.is_file():
        pytest.skip(f"no table of published numbers at {path}")
    expected = pd.read_csv(path).rename(columns={"point": "value"}).set_index(list(CELLS))
    found = pd.DataFrame([cell.model_dump() for cell in _numbers(BENCHMARK).values()])
    pd.testing.assert_frame_equal(
        found.set_index(list(CELLS)).sort_index(),
        expected.sort_index(),
        check_exact=True,
        check_like=True,
    )

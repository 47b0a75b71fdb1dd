"""A made ptbxl_database.csv of 21,799 rows whose statements have the published label counts."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ecg_assets.sources.synthetic.made.ptb_xl import DIAGNOSES, write_statements

N_RECORDS, N_TEST, N_VALID = 21799, 2198, 2183

# Published positives in all recordings and in the test fold.
SUPER = {
    "NORM": (9514, 963),
    "MI": (5469, 550),
    "STTC": (5235, 521),
    "CD": (4898, 496),
    "HYP": (2649, 262),
}
SUB = {
    "NORM": (9514, 963),
    **{"IMI": (3271, 327), "AMI": (3078, 306), "LMI": (201, 20), "PMI": (17, 2)},
    **{"STTC": (2239, 222), "NST_": (767, 77), "ISC_": (1272, 128), "ISCA": (941, 93)},
    **{"ISCI": (397, 40), "LAFB/LPFB": (1797, 179), "IRBBB": (1118, 112), "ILBBB": (77, 8)},
    **{"CRBBB": (541, 54), "CLBBB": (536, 54), "IVCD": (787, 79), "_AVB": (823, 82)},
    **{"WPW": (79, 8), "LVH": (2132, 214), "RVH": (126, 12), "LAO/LAE": (426, 42)},
    **{"RAO/RAE": (99, 10), "SEHYP": (29, 2)},
}
FORM = {
    **{"ABQRS": (3327, 322), "NDT": (1825, 182), "PVC": (1143, 114), "STD_": (1009, 101)},
    **{"VCLVH": (875, 87), "NST_": (767, 77), "QWAVE": (548, 55), "LOWT": (438, 44)},
    **{"NT_": (423, 42), "PAC": (398, 40), "LPR": (340, 34), "INVT": (294, 29)},
    **{"LVOLT": (182, 18), "DIG": (181, 18), "LNGQT": (117, 11), "HVOLT": (62, 6)},
    **{"TAB_": (35, 3), "STE_": (28, 3), "PRC(S)": (10, 1)},
}
RHYTHM = {
    **{"SR": (16748, 1674), "AFIB": (1514, 152), "STACH": (826, 82), "SARRH": (772, 77)},
    **{"SBRAD": (637, 64), "PACE": (294, 28), "SVARR": (157, 14), "BIGU": (82, 8)},
    **{"AFLT": (73, 7), "SVTAC": (27, 3), "PSVT": (24, 2), "TRIGU": (20, 2)},
}
OF_TASK = {  # recordings with a label of the task: train, valid, test
    "diag": (17084, 2146, 2158),
    "form": (7197, 901, 880),
    "rhythm": (16832, 2100, 2098),
}

_IN_FORM, _LIKELIHOODS = ("NDT", "DIG", "LNGQT"), (100, 0, 15, 80, 0, 35, 50)


def write_ptb_xl(root: Path) -> None:
    """Write ptbxl_database.csv and scp_statements.csv below a root, with an empty records500."""
    (root / "records500").mkdir(parents=True)
    write_statements(root / "scp_statements.csv")
    with (root / "ptbxl_database.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["ecg_id", "patient_id", "scp_codes", "strat_fold", "filename_hr"])
        for number, (codes, fold) in enumerate(_recordings(), start=1):
            name = f"records500/{number // 1000:02}000/{number:05}_hr"
            rows.writerow([number, f"{number}.0", str(codes), fold, name])


def _recordings() -> Iterator[tuple[dict[str, float], int]]:
    """Give statements and fold of each recording."""
    for part in (False, True):
        n = N_TEST if part else N_RECORDS - N_TEST
        codes = _plant(n, is_test=part)
        valid = np.zeros(n, bool) if part else _choose_valid(codes)
        for at, found in enumerate(codes):
            fold = 10 if part else 9 if valid[at] else at % 8 + 1
            # A diagnosis may be as likely as 0; of form and rhythm nothing is ever said.
            yield (
                {code: float(_LIKELIHOODS[at % 7]) if code in _CODES else 0.0 for code in found},
                fold,
            )


def _plant(n: int, *, is_test: bool) -> list[list[str]]:
    """Give each of n recordings its statements: with a diagnosis the first, with a rhythm the last.

    Labels of a class follow one another around the recordings that have it, so that each of these
    has one at least, and some have several.
    """
    sizes = {name: (c[2] if is_test else c[0] + c[1]) for name, c in OF_TASK.items()}
    count = {
        kind: {name: c[1] if is_test else c[0] - c[1] for name, c in counts.items()}
        for kind, counts in (("super", SUPER), ("sub", SUB), ("form", FORM), ("rhythm", RHYTHM))
    }
    found: list[list[str]] = [[] for _ in range(n)]
    of_super = _around(range(sizes["diag"]), count["super"])
    for name, members in of_super.items():
        subs = _around(members, {sub: count["sub"][sub] for sub in DIAGNOSES[name]})
        for sub, rows in subs.items():
            if sub == "STTC":
                of_code = _around(rows, {code: count["form"][code] for code in _IN_FORM})
                others = [row for row in rows if row not in set().union(*of_code.values())]
                of_code |= {"ANEUR": others[::2], "EL": others[1::2]}
            else:
                codes = DIAGNOSES[name][sub]
                of_code = {code: rows[i :: len(codes)] for i, code in enumerate(codes)}
                if len(codes) > 1:  # two of one subclass count once
                    of_code[codes[0]] = [*of_code[codes[0]], *of_code[codes[1]][::9]]
            _add(found, of_code)
    in_both = {*_IN_FORM, "NST_"}
    has_form = [row for row in range(n) if in_both & set(found[row])]
    free = [row for row in range(n) if not in_both & set(found[row])]
    rows = free[-(sizes["form"] - len(has_form)) :]
    _add(found, _around(rows, {k: v for k, v in count["form"].items() if k not in in_both}))
    _add(found, _around(range(n - sizes["rhythm"], n), count["rhythm"]))
    return found


def _around(rows: Sequence[int], counts: Mapping[str, int]) -> dict[str, list[int]]:
    """Give each name as many rows as it counts, one name after the other, around and around."""
    start, found = 0, {}
    for name, n in counts.items():
        found[name] = [rows[i % len(rows)] for i in range(start, start + n)]
        start += n
    return found


def _add(found: list[list[str]], of_code: Mapping[str, Sequence[int]]) -> None:
    for code, rows in of_code.items():
        for row in rows:
            found[row].append(code)


_CODES = {code for subs in DIAGNOSES.values() for codes in subs.values() for code in codes}


def _choose_valid(codes: list[list[str]]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Choose fold 9 among train and valid so that it has its share of each task."""
    kinds = (_CODES, set(FORM), set(RHYTHM))
    has = np.array([[bool(kind & set(found)) for kind in kinds] for found in codes])
    wanted = np.array([OF_TASK[name][1] for name in ("diag", "form", "rhythm")])
    lacking = N_VALID - wanted
    chosen = np.zeros(len(codes), bool)
    for kind in (0, 2):  # those without a diagnosis, then those without a rhythm
        chosen[np.flatnonzero(~has[:, kind])[: lacking[kind]]] = True
    is_whole = has[:, 0] & has[:, 2]
    n_form = wanted[1] - has[chosen, 1].sum()
    chosen[np.flatnonzero(is_whole & has[:, 1])[:n_form]] = True
    n_left = N_VALID - chosen.sum()
    chosen[np.flatnonzero(is_whole & ~has[:, 1])[:n_left]] = True
    return chosen

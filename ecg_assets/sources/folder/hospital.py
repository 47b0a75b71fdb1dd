"""Read recordings as hospitals have them: DICOM waveforms, XML of Philips, GE and HL7, SCP-ECG.

ecgdatakit takes the files apart, in a child process. Here is what it leaves open: what may be
read, exact units and rates, which part is the recording, and what of the patient is kept.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecg_assets.errors import BadRecord, SettingsError
from ecg_assets.sources.file_limits import (
    MOST_HOSPITAL_BYTES,
    require_inside_root,
    require_regular_file,
)
from ecg_assets.sources.reader_process import call_in_child
from ecg_assets.sources.record import MISSING, Record
from ecg_assets.sources.schema import MEASUREMENT_BOUNDS

HOSPITAL_ENDINGS = ("dcm", "xml", "scp")
"""Endings of the files, in small or capital letters."""

_LIBRARIES = ("ecgdatakit", "pydicom")
_SNIFFED_BYTES = 4096


@dataclass(frozen=True)
class HospitalFacts:
    """What a file says beside its signal; no name, no date, no number of a patient.

    Attributes
    ----------
    patient
        Pseudonym, as `name_patient` makes it; None where the file has no number of a patient.
    age
        Years at the recording, None where not stated.
    sex
        F or M, None where not stated.
    lines
        Statements in their order: the machine's own, or a physician's where only these are there.
    is_machine
        Whether the lines are the machine's own.
    measurements
        By name of `MEASUREMENTS`, in ms and degrees, within `MEASUREMENT_BOUNDS`.
    """

    patient: str | None = None
    age: float | None = None
    sex: str | None = None
    lines: tuple[str, ...] = ()
    is_machine: bool = True
    measurements: Mapping[str, float] = field(default_factory=dict)


def is_hospital_file(path: str) -> bool:
    """Say whether a path ends as the files do that are read here.

    >>> [is_hospital_file(name) for name in ("a/1.XML", "a/1.dcm", "a/1.csv", "xml")]
    [True, True, False, False]
    """
    stem, dot, ending = path.rpartition(".")
    return bool(stem and dot) and ending.lower() in HOSPITAL_ENDINGS


def read_hospital_recording(path: Path, part: str, leads: Sequence[str] | None) -> Record:
    """Read the named leads of a file; None reads all, and those that follow from I and II.

    The recording itself is read, never the median beat. III, aVR, aVL and aVF that a file does
    not hold, as GE's and most of SCP-ECG, are computed from its I and II: without rounding
    where these have one gain.

    Parameters
    ----------
    path
        The file; what it is tells its content.
    part
        Of no meaning: a file holds one recording.
    leads
        Names in any spelling, in the order wanted.

    Raises
    ------
    BadRecord
        ``missing_file``, ``unreadable``, ``checksum_mismatch``, ``missing_lead``,
        ``mixed_sample_rates``, ``unknown_unit``, ``bad_header`` for two leads of one name, or
        those of `store_millivolts`.
    SettingsError
        When the extra ``hospital`` is not installed.
    """
    require_hospital_reader()
    require_regular_file(path, MOST_HOSPITAL_BYTES)
    return call_in_child(_read_record, path, None if leads is None else tuple(leads))


def read_hospital_facts(path: Path, *, root: Path | None = None) -> HospitalFacts:
    """Read what a file says of the patient and what its machine found.

    Raises
    ------
    BadRecord
        As `read_hospital_recording`, and ``outside_root``.
    SettingsError
        When the extra ``hospital`` is not installed.
    """
    require_hospital_reader()
    require_inside_root(path, root)
    require_regular_file(path, MOST_HOSPITAL_BYTES)
    return call_in_child(_read_facts, path)


def require_hospital_reader() -> None:
    """Say what to install before the first file is read.

    Raises
    ------
    SettingsError
        When the libraries are not there.
    """
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"Files of hospitals (.dcm, .xml, .scp) need {' and '.join(missing)}; install the "
            "extra: pip install --constraint constraints.txt '.[hospital]'."
        )


# In the child: take a file apart.


def _parse(path: Path) -> Any:
    from ecgdatakit.exceptions import ChecksumWarning
    from ecgdatakit.parsing.parsers.dicom_waveform import DICOMWaveformParser
    from ecgdatakit.parsing.parsers.ge_muse_xml import GEMuseXMLParser
    from ecgdatakit.parsing.parsers.hl7_aecg import HL7aECGParser
    from ecgdatakit.parsing.parsers.scp_ecg import SCPECGParser
    from ecgdatakit.parsing.parsers.sierra_xml import SierraXMLParser

    parsers = (DICOMWaveformParser, SierraXMLParser, GEMuseXMLParser, HL7aECGParser, SCPECGParser)
    with path.open("rb") as file:
        start = file.read(_SNIFFED_BYTES)
    parser = next((parser for parser in parsers if parser.can_parse(path, start)), None)
    if parser is None:
        raise BadRecord(
            "unreadable",
            f"{path.name[:80]} is no DICOM file, no ECG in XML of Philips Sierra, GE MUSE or HL7 "
            "aECG, and no SCP-ECG",
        )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found = parser().parse(path)
        except Exception as error:  # what a spoilt file makes of a library is beyond listing
            reason = str(error).replace(str(path), path.name)
            raise BadRecord(
                "unreadable", f"{path.name}: {type(error).__name__}: {reason}"[:200]
            ) from error
    if any(issubclass(warning.category, ChecksumWarning) for warning in said):
        raise BadRecord("checksum_mismatch", f"{path.name[:80]}: its checksum is of other bytes")
    if not found.leads:
        raise BadRecord("unreadable", f"{path.name[:80]} holds no rhythm, or a median beat alone")
    return found


# The signal.


_PER_MV = {"nV": 1e6, "uV": 1e3, "mV": 1.0, "V": 1e-3}


@dataclass(frozen=True)
class _Lead:
    """Counts ``(sample,)`` of a lead, NaN where missing, and what makes mV of them."""

    counts: npt.NDArray[np.float64]
    gain: float
    baseline: float
    unit: str

    @property
    def is_exact(self) -> bool:
        """Whether 16-bit integers store it as it is."""
        present = self.counts[~np.isnan(self.counts)]
        return bool(
            self.gain > 0
            and self.baseline == round(self.baseline)
            and np.all(present == np.rint(present))
            and np.all(np.abs(present + 0.5) < -MISSING)
        )


def _read_record(path: Path, wanted: tuple[str, ...] | None) -> Record:
    from ecg_assets.sources.folder.arrays import find_named_leads, store_millivolts

    found = _parse(path)
    names = _lead_names(found)
    values = _crop_calibration(_align(found), found)
    leads = [_scale(lead, row) for lead, row in zip(found.leads, values, strict=True)]
    for name, lead in _derive_limb_leads(names, leads).items():
        names.append(name)
        leads.append(lead)
    rows = find_named_leads(names, wanted)
    chosen = [leads[row] for row in rows]
    for row in rows:
        if not leads[row].unit:
            raise BadRecord("unknown_unit", f"lead {names[row]} has no unit that is a voltage")
    counts = np.array([lead.counts for lead in chosen])
    gain = np.array([lead.gain for lead in chosen])
    baseline = np.array([lead.baseline for lead in chosen])
    if all(lead.is_exact for lead in chosen):
        signal = np.where(np.isnan(counts), MISSING, counts).astype(np.int16)
        offset = baseline.astype(np.int64)
    else:
        signal, gain, offset = store_millivolts((counts - baseline[:, None]) / gain[:, None])
    return Record(
        signal=signal,
        gain=gain,
        baseline=offset,
        units=tuple(lead.unit for lead in chosen),
        sample_rate=_sample_rate(found),
        lead_names=tuple(names[row] for row in rows),
    )


def _lead_names(found: Any) -> list[str]:
    """Name the leads; the library numbers the second of a name (II_2), which hides that it is."""
    from ecg_assets.sources.wfdb.header import normalize_lead_name

    labels = [lead.label for lead in found.leads]
    plain = [re.sub(r"_\d+$", "", label) for label in labels]
    return [
        normalize_lead_name(one if one in labels else label)
        for one, label in zip(plain, labels, strict=True)
    ]


def _align(found: Any) -> npt.NDArray[np.float64]:
    """Put the leads side by side, ``(lead, sample)``: in SCP-ECG they may start and end apart."""
    from ecg_assets.sources.folder.arrays import require_array

    starts = [int(lead.annotations.get("start_sample", 1)) - 1 for lead in found.leads]
    ends = [start + len(lead.samples) for start, lead in zip(starts, found.leads, strict=True)]
    if len(set(ends)) > 1 and found.source_format != "scp_ecg":
        raise BadRecord("truncated_file", f"leads of {min(ends)} and of {max(ends)} samples")
    if len({lead.sampling_rate for lead in found.leads}) > 1:
        raise BadRecord("mixed_sample_rates", "leads have different sample rates")
    require_array(np.dtype(np.float64), len(starts), max(ends))
    values = np.full((len(starts), max(ends)), np.nan)
    for row, start, lead in zip(values, starts, found.leads, strict=True):
        row[start : start + len(lead.samples)] = lead.samples
    return values[:, min(starts) :]


def _crop_calibration(values: npt.NDArray[np.float64], found: Any) -> npt.NDArray[np.float64]:
    """Cut off the calibration pulse of 1 mV that Philips' carts append to every lead.

    Some do and some do not (https://github.com/BIVectors/BRAVEHEART/issues/5). No ECG is it: I,
    II and III are equal only where all are 0.
    """
    if found.source_format != "sierra_xml" or len(values) < 3:
        return values
    differs = np.flatnonzero((values != values[0]).any(axis=0))
    start = int(differs[-1]) + 1 if len(differs) else 0
    first = found.leads[0]
    unit_mv = _PER_MV.get(first.resolution_unit or "", np.nan) / (first.resolution or np.nan)
    return values[:, :start] if start and set(values[0, start:]) == {0.0, unit_mv} else values


def _scale(lead: Any, counts: npt.NDArray[np.float64]) -> _Lead:
    """Take what the library says of a lead: (counts × resolution + offset) in its unit."""
    unit = (lead.resolution_unit if lead.is_raw else lead.units) or ""
    if unit not in _PER_MV or not np.isfinite(lead.resolution) or not lead.resolution:
        return _Lead(counts, np.nan, 0.0, "")
    baseline = 0.0 - lead.offset / lead.resolution
    # 0.3 µV at 0.1 µV a count is 3 counts but for arithmetic.
    whole = float(round(baseline))
    is_whole = abs(baseline - whole) < 1e-9 * max(1.0, abs(whole))
    return _Lead(counts, _PER_MV[unit] / lead.resolution, whole if is_whole else baseline, unit)


def _derive_limb_leads(names: Sequence[str], leads: Sequence[_Lead]) -> dict[str, _Lead]:
    """Compute the limb leads that are not there from I and II (Einthoven, Goldberger)."""
    if names.count("I") != 1 or names.count("II") != 1:
        return {}
    one, two = leads[names.index("I")], leads[names.index("II")]
    if not one.unit or not two.unit:
        return {}
    if one.gain == two.gain:
        gain, i, ii = one.gain, one.counts - one.baseline, two.counts - two.baseline
    else:
        gain, i, ii = 1.0, *((lead.counts - lead.baseline) / lead.gain for lead in (one, two))
    # aVR, aVL and aVF are halves of what is computed: their gain is twice that of I and II.
    found = {
        "III": _Lead(ii - i, gain, 0.0, one.unit),
        "aVR": _Lead(-(i + ii), 2 * gain, 0.0, one.unit),
        "aVL": _Lead(2 * i - ii, 2 * gain, 0.0, one.unit),
        "aVF": _Lead(2 * ii - i, 2 * gain, 0.0, one.unit),
    }
    return {name: lead for name, lead in found.items() if name not in names}


def _sample_rate(found: Any) -> float:
    """Find the exact rate, which the library rounds to a whole number of Hz."""
    rounded, meta = found.leads[0].sampling_rate, found.raw_metadata
    interval = meta.get("rhythm_sample_interval_us")
    if interval:  # SCP-ECG has whole microseconds: 1667 stands for 600 Hz
        return float(rounded if round(1e6 / rounded) == interval else 1e6 / interval)
    stated = [meta.get("rhythm_time", {}).get("sampling_rate_exact")]
    stated += [group["sampling_frequency"] for group in meta.get("multiplex_groups", ())]
    exact = [rate for rate in stated if rate and round(rate) == rounded]
    return round(float(exact[0]), 6) if exact else float(rounded)


# What is said beside the signal.


_STATED_WAVES = {
    "median_p_onset_ms": "p_onset",
    "median_p_offset_ms": "p_end",
    "median_qrs_onset_ms": "qrs_onset",
    "median_qrs_offset_ms": "qrs_end",
    "median_t_offset_ms": "t_end",
}


def _read_facts(path: Path) -> HospitalFacts:
    found = _parse(path)
    patient = found.patient
    lines, is_machine = _find_lines(found)
    return HospitalFacts(
        patient=name_patient(patient.patient_id),
        age=None if patient.age is None else float(patient.age),
        sex=patient.sex if patient.sex in ("F", "M") else None,
        lines=tuple(remove_people(lines, _find_people(found))),
        is_machine=is_machine,
        measurements=_find_measurements(found),
    )


def _find_lines(found: Any) -> tuple[list[str], bool]:
    """Find the machine's own statements, before anyone edited them; else what the file has.

    Philips writes the criterion to the right of its statement (``not LBBB``), which is none.
    """
    original = found.annotations.get("machine_interpretation", "")
    if original:
        return [line.partition(" | ")[0] for line in original.split("\n")], True
    statements = found.interpretation.statements
    return [left or right for left, right in statements], found.interpretation.source == "machine"


def _find_measurements(found: Any) -> dict[str, float]:
    """Collect what the schema has; an RR interval that is not stated follows from the rate."""
    stated = found.measurements
    values = {"rr_interval": stated.rr_interval, "p_axis": stated.p_axis}
    values |= {"qrs_axis": stated.qrs_axis, "t_axis": stated.t_axis}
    if not stated.rr_interval and stated.heart_rate:
        values["rr_interval"] = 60_000 / stated.heart_rate
    for annotation, name in _STATED_WAVES.items():
        values[name] = found.annotations.get(annotation)
    known = {name: float(value) for name, value in values.items() if value is not None}
    bounds = MEASUREMENT_BOUNDS
    return {n: v for n, v in known.items() if bounds[n][0] <= v <= bounds[n][1]}


# Whom it is of: a pseudonym, and no names or dates in texts.


_NOBODY = re.compile(r"[\W0x_]*|unk(?:nown)?|anon[a-z]*|de-?identified|none|null|nan|n/?a")
_PSEUDONYM = "patient-"


def name_patient(number: str) -> str | None:
    """Make a pseudonym of a patient's number; None where it is none, as ``0`` or ``ANONYMOUS``.

    The first 64 bits of SHA-256. Blanks, case and leading zeros, in which two systems of a
    hospital may write one number, make no other patient.

    >>> name_patient("00123") == name_patient(" 123 ") != name_patient("124")
    True
    >>> [name_patient(number) for number in ("", "---", "0000", "Anonymous", "xxxxxx")]
    [None, None, None, None, None]
    >>> name_patient("ANON0001") == name_patient("ANON0002")
    False
    """
    plain = "".join(number.split()).casefold()
    if _NOBODY.fullmatch(plain):
        return None
    return _PSEUDONYM + hashlib.sha256(plain.lstrip("0").encode()).hexdigest()[:16]


_BY_SOMEBODY = re.compile(
    r"\b(?:confirmed|reviewed|over-?read|edited|verified|referred|ordered|requested|interpreted"
    r"|signed|acquired|validated|authori[sz]ed|bestätigt|befundet|confirm[ée]|valid[ée]|confirmado"
    r"|confermato|refertato|bevestigd)\b.*?(?:\bby\b|\bvon\b|\bdurch\b|\bpar\b|\bpor\b|\bda\b"
    r"|\bdoor\b|:)|\b(?:physician|technician|m\.?d\.?)\s*:",
    re.I,
)
_MONTH = r"(?:\d{1,2}|[A-Za-z]{3,9})"
_DATE = re.compile(
    rf"\b\d{{1,2}}([-./ ]){_MONTH}\1\d{{4}}\b|\b\d{{4}}([-./]){_MONTH}\2\d{{1,2}}\b"
    rf"|\b\d{{1,2}}([-./]){_MONTH}\3\d{{2}}\b"
    r"|\b(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?:\s*[ap]m)?\b",
    re.I,
)


def remove_people(lines: Iterable[str], people: Sequence[str] = ()) -> list[str]:
    """Take names, dates and times out of statements, as far as they can be told.

    Parameters
    ----------
    lines
        Statements.
    people
        Names and numbers that the file states elsewhere.

    Returns
    -------
    list of str
        A line that says by whom something was confirmed, ordered or the like, or that has all
        words of a name, is left out. Of a date or time ``___`` stands there, as in MIMIC-IV.

    >>> remove_people(["Sinus rhythm", "Confirmed by DOE MD, JANE (7) on 3/4/2020 9:15:00 AM"])
    ['Sinus rhythm']
    >>> remove_people(["When compared with ECG of 12-JAN-2020 10:11,", "2:1 AV block"])
    ['When compared with ECG of ___ ___,', '2:1 AV block']
    """
    names = [set(_words(name)) for name in people]
    kept = []
    for line in lines:
        words = set(_words(line))
        if _BY_SOMEBODY.search(line) or any(name and name <= words for name in names):
            continue
        kept.append(" ".join(_DATE.sub("___", line).split()))
    return [line for line in kept if line]


def _words(text: str) -> list[str]:
    return re.findall(r"\w{2,}", text.casefold())


def _find_people(found: Any) -> list[str]:
    patient, recording = found.patient, found.recording
    whole = [
        *(f"{patient.first_name} {patient.last_name}", recording.technician),
        *(recording.referring_physician, found.interpretation.interpreter),
    ]
    # One word alone may be that of a finding: of a patient Block nothing else would be left.
    names = [name for name in whole if len(_words(name)) > 1]
    return [*names, *([patient.patient_id] if len(patient.patient_id) > 3 else [])]

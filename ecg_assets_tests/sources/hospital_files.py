"""Files of hospitals that tests write, each dialect from the facts of its format."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
PATIENT = {"number": "00471123", "family": "Doenitz", "given": "Janina", "born": "1961-07-04"}
PEOPLE = ("Doenitz", "Janina", "471123", "1961", "Ruprecht", "Kessler", "2019", "14:55")
"""What of the files' people and dates must never be stored."""

Counts = Mapping[str, NDArray[np.int16]]


def made_counts(leads: Sequence[str] = EIGHT, n_samples: int = 600) -> dict[str, NDArray[np.int16]]:
    """Make smooth integers of each lead; III, aVR, aVL, aVF are those of I and II, rounded down."""
    random = np.random.default_rng(5)
    walk = np.cumsum(random.integers(-9, 10, (8, n_samples)), axis=1).astype(np.int16)
    found = dict(zip(EIGHT, walk, strict=True))
    one, two = found["I"].astype(int), found["II"].astype(int)
    found["III"] = (two - one).astype(np.int16)
    found["aVR"] = (-((one + two) // 2)).astype(np.int16)
    found["aVL"] = ((2 * one - two) // 2).astype(np.int16)
    found["aVF"] = ((2 * two - one) // 2).astype(np.int16)
    return {lead: found[lead] for lead in leads}


@dataclass(frozen=True)
class Ecg:
    """What a test writes into a file: 5 µV a count and 500 Hz where the format lets it choose."""

    counts: Counts = field(default_factory=made_counts)
    statements: Sequence[str] = ("Sinus rhythm", "Left bundle branch block")
    number: str = PATIENT["number"]
    uv_per_count: float = 5.0
    unit: str = ""
    rate: float = 500.0
    rr_ms: int = 800

    @property
    def median(self) -> dict[str, NDArray[np.int16]]:
        """A beat of another length and other values: whoever takes it for the recording is seen."""
        return {lead: np.full(60, 777, np.int16) for lead in self.counts}


def _b64(values: NDArray[np.int16] | bytes) -> str:
    raw = values if isinstance(values, bytes) else values.astype("<i2").tobytes()
    return base64.b64encode(raw).decode()


# GE MUSE.


def write_muse(
    path: Path, ecg: Ecg | None = None, *, original: Sequence[str] = (), head: str = ""
) -> Path:
    """Write a RestingECG of MUSE: the median first, as MUSE does, and eight leads."""
    ecg = ecg or Ecg()
    waves = "".join(
        f"<Waveform><WaveformType>{kind}</WaveformType><SampleBase>{ecg.rate:g}</SampleBase>"
        "<SampleExponent>0</SampleExponent>"
        + "".join(
            f"<LeadData><LeadByteCountTotal>{2 * len(v)}</LeadByteCountTotal>"
            f"<LeadSampleCountTotal>{len(v)}</LeadSampleCountTotal>"
            f"<LeadAmplitudeUnitsPerBit>{ecg.uv_per_count:g}</LeadAmplitudeUnitsPerBit>"
            f"<LeadAmplitudeUnits>{ecg.unit or 'MICROVOLTS'}</LeadAmplitudeUnits>"
            f"<LeadSampleSize>2</LeadSampleSize><LeadDataCRC32>{binascii.crc32(v.astype('<i2').tobytes())}"
            f"</LeadDataCRC32><WaveFormData>{_b64(v)}</WaveFormData><LeadID>{lead}</LeadID>"
            "</LeadData>"
            for lead, v in counts.items()
        )
        + "</Waveform>"
        for kind, counts in (("Median", ecg.median), ("Rhythm", ecg.counts))
    )

    def diagnosis(tag: str, lines: Sequence[str]) -> str:
        made = (
            "<DiagnosisStatement><StmtFlag>ENDSLINE</StmtFlag>"
            f"<StmtText>{escape(line)}</StmtText></DiagnosisStatement>"
            for line in lines
        )
        return f"<{tag}>{''.join(made)}</{tag}>"

    path.write_text(
        f'<?xml version="1.0" encoding="ISO-8859-1"?>{head}<RestingECG>'
        f"<PatientDemographics><PatientID>{ecg.number}</PatientID><PatientAge>58</PatientAge>"
        "<AgeUnits>YEARS</AgeUnits><DateofBirth>07-04-1961</DateofBirth><Gender>FEMALE</Gender>"
        f"<PatientLastName>{PATIENT['family']}</PatientLastName>"
        f"<PatientFirstName>{PATIENT['given']}</PatientFirstName></PatientDemographics>"
        "<TestDemographics><AcquisitionTime>14:55:01</AcquisitionTime><AcquisitionDate>11-30-2019"
        "</AcquisitionDate><OverreaderLastName>Kessler</OverreaderLastName><OverreaderFirstName>"
        "Ruprecht</OverreaderFirstName></TestDemographics>"
        "<RestingECGMeasurements><VentricularRate>75</VentricularRate><PAxis>41</PAxis><RAxis>-12"
        "</RAxis><TAxis>999</TAxis><POnset>181</POnset></RestingECGMeasurements>"
        f"{diagnosis('OriginalDiagnosis', original) if original else ''}"
        f"{diagnosis('Diagnosis', ecg.statements)}{waves}</RestingECG>",
        encoding="latin-1",
    )
    return path


# Philips Sierra: XLI, and Einthoven's residuals.


def lzw(data: bytes, bits: int = 10) -> bytes:
    """Compress by LZW of codes of a fixed width, most significant bit first."""
    codes = {bytes([value]): value for value in range(256)}
    text, found = b"", []
    for byte in data:
        longer = text + bytes([byte])
        if longer in codes:
            text = longer
            continue
        found.append(codes[text])
        if len(codes) < (1 << bits) - 1:
            codes[longer] = len(codes)
        text = longer[-1:]
    found += [codes[text]] if text else []
    stream = "".join(f"{code:0{bits}b}" for code in found)
    stream += "0" * (-len(stream) % 8)
    return int(stream, 2).to_bytes(len(stream) // 8, "big")


def xli(leads: Sequence[NDArray[Any]]) -> bytes:
    """Compress each lead: differences of the second order, high bytes before low, LZW."""
    made = b""
    for lead in leads:
        x = np.append(lead.astype(int), [0])
        bend = 2 * x[1:-1] - x[:-2] - x[2:]  # of samples 1 … n − 1
        bend[-1] = 0
        codes = np.concatenate([x[:2], bend[1:] + 64]).astype(np.int16).view(np.uint16)
        packed = lzw(np.concatenate([codes >> 8, codes & 255]).astype(np.uint8).tobytes())
        made += struct.pack("<IHh", len(packed), 0, int(bend[0])) + packed
    return made


def write_sierra(
    path: Path,
    ecg: Ecg | None = None,
    *,
    compressed: bool = True,
    version: str = "1.04",
    calibration: bool = False,
    head: str = "",
) -> Path:
    """Write a restingecgdata of Philips, all twelve leads, the statement's criterion beside it."""
    ecg = ecg or Ecg(made_counts(LEADS))
    counts = {lead: values.astype(int) for lead, values in ecg.counts.items()}
    if calibration:
        pulse = np.r_[np.zeros(50), np.full(100, 1000 / ecg.uv_per_count), np.zeros(50)].astype(int)
        counts = {lead: np.append(values, pulse) for lead, values in counts.items()}
    n_samples = len(counts["I"])
    i, ii, iii = counts["I"], counts["II"], counts["III"]
    stored = dict(counts)
    if compressed:
        stored |= {"III": ii - i - iii, "aVR": -counts["aVR"] - (i + ii) // 2}
        stored |= {"aVL": (i - iii) // 2 - counts["aVL"], "aVF": (ii + iii) // 2 - counts["aVF"]}
    values = list(stored.values())
    wave = _b64(xli(values) if compressed else np.concatenate(values).astype(np.int16))
    method = ' compressflag="True" compressmethod="XLI"' if compressed else ""
    statements = "".join(
        f"<statement><leftstatement>{escape(line)}</leftstatement><rightstatement>QRSd &gt;120, "
        "not RBBB, old MI</rightstatement></statement>"
        for line in ecg.statements
    )
    beats = "".join(
        f'<repbeat leadname="{lead}"><waveform duration="60">{_b64(values)}</waveform></repbeat>'
        for lead, values in ecg.median.items()
    )
    path.write_text(
        f'<?xml version="1.0" encoding="UTF-16"?>{head}<restingecgdata>'
        "<documentinfo><documenttype>SierraECG</documenttype>"
        f"<documentversion>{version}</documentversion></documentinfo>"
        '<dataacquisition date="2019-11-30" time="14:55:01"><signalcharacteristics>'
        f"<samplingrate>{ecg.rate:g}</samplingrate><signalresolution>{ecg.uv_per_count:g}"
        "</signalresolution><acquisitiontype>STD-12</acquisitiontype><numberchannelsallocated>12"
        "</numberchannelsallocated></signalcharacteristics></dataacquisition>"
        f"<patient><generalpatientdata><patientid>{ecg.number}</patientid><name><lastname>"
        f"{PATIENT['family']}</lastname><firstname>{PATIENT['given']}</firstname></name><age>"
        f"<dateofbirth>{PATIENT['born']}</dateofbirth></age><sex>Female</sex></generalpatientdata>"
        "</patient><interpretations><interpretation><globalmeasurements><rrint>"
        f"{ecg.rr_ms}</rrint></globalmeasurements>{statements}</interpretation></interpretations>"
        '<waveforms><repbeats dataencoding="Base64" samplespersec="1000" resolution="1.25">'
        f'{beats}</repbeats><parsedwaveforms dataencoding="Base64"{method} durationperchannel='
        f'"{n_samples / ecg.rate * 1000:g}">{wave}</parsedwaveforms></waveforms></restingecgdata>',
        encoding="utf-16",
    )
    return path


# HL7 aECG.


def write_aecg(path: Path, ecg: Ecg | None = None, *, head: str = "") -> Path:
    """Write an AnnotatedECG: leads by their MDC codes, digits with origin and scale."""
    ecg = ecg or Ecg()

    def series(counts: Counts) -> str:
        sequences = "".join(
            f'<component><sequence><code code="MDC_ECG_LEAD_{lead.upper()}"/><value xsi:type='
            f'"SLIST_PQ"><origin value="0" unit="{ecg.unit or "uV"}"/><scale value='
            f'"{ecg.uv_per_count:g}" unit="{ecg.unit or "uV"}"/><digits>'
            f"{' '.join(map(str, values.tolist()))}</digits></value></sequence></component>"
            for lead, values in counts.items()
        )
        return (
            '<component><sequenceSet><component><sequence><code code="TIME_ABSOLUTE"/><value '
            'xsi:type="GLIST_TS"><head value="20191130145501"/><increment value="'
            f'{1 / ecg.rate!r}" unit="s"/></value></sequence></component>{sequences}</sequenceSet>'
            "</component>"
        )

    said = "".join(
        '<component><annotation><code code="MDC_ECG_INTERPRETATION_STATEMENT"/><value '
        f'xsi:type="ST">{escape(line)}</value></annotation></component>'
        for line in ecg.statements
    )
    said += (
        '<component><annotation><code code="MDC_ECG_TIME_PD_RR"/><value xsi:type="PQ" '
        f'value="{ecg.rr_ms}" unit="ms"/></annotation></component>'
    )
    path.write_text(
        f'<?xml version="1.0" encoding="UTF-8"?>{head}<AnnotatedECG xmlns="urn:hl7-org:v3" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><componentOf><timepointEvent>'
        "<componentOf><subjectAssignment><subject><trialSubject>"
        f'<id root="1.2.3" extension="{ecg.number}"/><subjectDemographicPerson><name><family>'
        f"{PATIENT['family']}</family><given>{PATIENT['given']}</given></name>"
        '<administrativeGenderCode code="F"/><birthTime value="19610704"/>'
        "</subjectDemographicPerson></trialSubject></subject></subjectAssignment></componentOf>"
        "</timepointEvent></componentOf><component><series><code code="
        '"RHYTHM"/><effectiveTime><low value="20191130145501"/></effectiveTime>'
        f'{series(ecg.counts)}<derivation><derivedSeries><code code="REPRESENTATIVE_BEAT"/>'
        f"{series(ecg.median)}</derivedSeries></derivation><subjectOf><annotationSet>{said}"
        "</annotationSet></subjectOf></series></component></AnnotatedECG>",
        encoding="utf-8",
    )
    return path


# SCP-ECG.


_SCP_CODES = {lead: number for number, lead in enumerate(EIGHT, start=1)}
_SCP_CODES |= {"III": 61, "aVR": 62, "aVL": 63, "aVF": 64}


def huffman(values: NDArray[Any]) -> bytes:
    """Write integers by the default table of EN 1064."""
    bits = []
    for value in values.tolist():
        size = abs(value)
        if size <= 8:
            bits.append("1" * size + ("0" + str(int(value < 0)) if size else "0"))
        elif -128 <= value < 128:
            bits.append("1111111110" + f"{value & 0xFF:08b}")
        else:
            bits.append("1111111111" + f"{value & 0xFFFF:016b}")
    stream = "".join(bits)
    stream += "0" * (-len(stream) % 16)
    return int(stream, 2).to_bytes(len(stream) // 8, "big")


def write_scp(
    path: Path,
    ecg: Ecg | None = None,
    *,
    differences: int = 2,
    starts: Mapping[str, int] | None = None,
    subtracted: Sequence[int] = (),
) -> Path:
    """Write SCP-ECG: sections 0, 1, 3, 6, 7 and 8, and 2 where the values are differences.

    The median beat is subtracted, and stands in sections 4 and 5, around the samples named.
    """
    ecg = ecg or Ecg()
    starts = starts or {}

    def section(number: int, body: bytes) -> bytes:
        body += b"\0" * (len(body) % 2)
        rest = struct.pack("<HIBB6x", number, len(body) + 16, 20, 20) + body
        return struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest

    def tag(number: int, value: bytes) -> bytes:
        return struct.pack("<BH", number, len(value)) + value

    def encode(counts: Counts) -> bytes:
        streams = []
        for values in counts.values():
            x = values.astype(int)
            made = x if differences < 2 else np.r_[x[:2], x[2:] - 2 * x[1:-1] + x[:-2]]
            streams.append(huffman(made) if differences else x.astype("<i2").tobytes())
        head = struct.pack("<HH", round(ecg.uv_per_count * 1000), round(1e6 / ecg.rate))
        sizes = b"".join(struct.pack("<H", len(stream)) for stream in streams)
        return head + bytes([differences, 0]) + sizes + b"".join(streams)

    beat, half = ecg.median, len(ecg.median["I"]) // 2
    counts = {lead: values.copy() for lead, values in ecg.counts.items()}
    for at in subtracted:
        for lead, values in counts.items():
            values[at - half : at + half] -= beat[lead]
    zones = b"".join(struct.pack("<HIII", 0, at - half + 1, at, at + half) for at in subtracted)
    length_ms = round(2 * half / ecg.rate * 1000)
    people = [
        (0, PATIENT["family"]),
        (1, PATIENT["given"]),
        (2, ecg.number),
        (22, "Ruprecht Kessler"),
    ]
    lead_table = bytes([len(ecg.counts), 4 | len(ecg.counts) << 3 | bool(subtracted)])
    for lead, values in ecg.counts.items():
        first = starts.get(lead, 1)
        lead_table += struct.pack("<IIB", first, first + len(values) - 1, _SCP_CODES[lead])
    sections = {
        1: b"".join(tag(number, text.encode() + b"\0") for number, text in people)
        + tag(4, struct.pack("<HB", 58, 1))
        + tag(5, struct.pack("<HBB", 1961, 7, 4))
        + tag(8, b"\x02")
        + tag(25, struct.pack("<HBB", 2019, 11, 30))
        + tag(26, bytes([14, 55, 1]))
        + b"\xff\0\0",
        2: struct.pack("<H", 19999) if differences else b"",
        3: lead_table,
        4: struct.pack("<HHH", length_ms, half, len(subtracted)) + zones if subtracted else b"",
        5: encode(beat) if subtracted else b"",
        6: encode(counts),
        7: bytes([1, 0])
        + struct.pack("<HH", ecg.rr_ms, 0)
        + struct.pack("<5H3h", 100, 190, 250, 344, 29999, 41, -12, 999),
        8: struct.pack("<BHBBBBBB", 0, 2019, 11, 30, 14, 55, 1, len(ecg.statements))
        + b"".join(
            struct.pack("<BH", number, len(line.encode()) + 1) + line.encode() + b"\0"
            for number, line in enumerate(ecg.statements, start=1)
        ),
    }
    made_sections = {number: section(number, body) for number, body in sections.items() if body}
    at = 6 + 16 + 12 * 10 + 1
    pointers = struct.pack("<HII", 0, 16 + 12 * 10, 7)
    for number in range(1, 12):
        size = len(made_sections.get(number, b""))
        pointers += struct.pack("<HII", number, size, at if size else 0)
        at += size
    whole = section(0, pointers) + b"".join(made_sections.values())
    rest = struct.pack("<I", len(whole) + 6) + whole
    path.write_bytes(struct.pack("<H", binascii.crc_hqx(rest, 0xFFFF)) + rest)
    return path


# DICOM.


def write_dicom(path: Path, ecg: Ecg | None = None, *, scheme: str = "MDC") -> Path:
    """Write a 12-lead ECG object: the median as the first multiplex group, RHYTHM as the second."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage, generate_uid

    ecg = ecg or Ecg()

    def code(value: str, scheme: str, meaning: str) -> list[Dataset]:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
        return [item]

    def source(lead: str) -> list[Dataset]:
        number = _SCP_CODES[lead]
        if scheme == "MDC":
            return code(f"2:{number}", "MDC", f"Lead {lead}")
        return code(f"5.6.3-9-{number}", "SCPECG", f"Lead {lead} (Einthoven)")

    def group(label: str, counts: Counts) -> Dataset:
        made = Dataset()
        made.MultiplexGroupLabel, made.WaveformOriginality = label, "ORIGINAL"
        made.NumberOfWaveformChannels = len(counts)
        made.NumberOfWaveformSamples = len(next(iter(counts.values())))
        made.SamplingFrequency = ecg.rate
        made.WaveformBitsAllocated, made.WaveformSampleInterpretation = 16, "SS"
        channels = []
        for lead in counts:
            channel = Dataset()
            channel.ChannelSourceSequence = source(lead)
            channel.ChannelSensitivity = ecg.uv_per_count
            unit = ecg.unit or "uV"
            channel.ChannelSensitivityUnitsSequence = code(unit, "UCUM", unit)
            channel.ChannelSensitivityCorrectionFactor, channel.ChannelBaseline = 1, 0
            channel.WaveformBitsStored = 16
            channels.append(channel)
        made.ChannelDefinitionSequence = channels
        made.WaveformData = np.array(list(counts.values())).T.astype("<i2").tobytes()
        return made

    def annotation(**values: Any) -> Dataset:
        item = Dataset()
        item.ReferencedWaveformChannels = [2, 0]
        for name, value in values.items():
            setattr(item, name, value)
        return item

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = TwelveLeadECGWaveformStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole = Dataset()
    whole.file_meta = meta
    whole.SOPClassUID, whole.SOPInstanceUID = TwelveLeadECGWaveformStorage, generate_uid()
    whole.Modality = "ECG"
    whole.PatientName, whole.PatientID = f"{PATIENT['family']}^{PATIENT['given']}", ecg.number
    whole.PatientBirthDate, whole.PatientSex, whole.PatientAge = "19610704", "F", "058Y"
    whole.AcquisitionDateTime, whole.OperatorsName = "20191130145501", "Kessler^Ruprecht"
    whole.WaveformSequence = [group("MEDIAN BEAT", ecg.median), group("RHYTHM", ecg.counts)]
    whole.WaveformAnnotationSequence = [
        *(annotation(UnformattedTextValue=line) for line in ecg.statements),
        annotation(
            ConceptNameCodeSequence=code("2:16168", "MDC", "RR interval"),
            NumericValue=ecg.rr_ms,
            MeasurementUnitsCodeSequence=code("ms", "UCUM", "ms"),
        ),
    ]
    whole.save_as(path, enforce_file_format=True)
    return path


WRITERS: dict[str, tuple[str, Callable[[Path, Ecg], Path]]] = {
    "muse": ("xml", write_muse),
    "sierra-xli": ("xml", write_sierra),
    "sierra-1.03-plain": (
        "XML",
        lambda path, ecg: write_sierra(path, ecg, compressed=False, version="1.03"),
    ),
    "aecg": ("xml", write_aecg),
    "scp-huffman": ("scp", write_scp),
    "scp-beats": ("scp", lambda path, ecg: write_scp(path, ecg, subtracted=(100, 300, 520))),
    "scp-plain": ("SCP", lambda path, ecg: write_scp(path, ecg, differences=0)),
    "dicom-mdc": ("dcm", write_dicom),
    "dicom-scpecg": ("DCM", lambda path, ecg: write_dicom(path, ecg, scheme="SCPECG")),
}
"""Ending and writer of each dialect."""


def real_dicom() -> Path:
    """Find the recording of a real cart that pydicom ships: twelve leads, 10 s at 1000 Hz."""
    from pydicom.data import get_testdata_file

    return Path(str(get_testdata_file("waveform_ecg.dcm", download=False)))


def write_file(folder: Path, dialect: str, ecg: Ecg | None = None, stem: str = "") -> Path:
    """Write a file of a dialect; Philips' have all twelve leads."""
    ending, write = WRITERS[dialect]
    leads = LEADS if dialect.startswith("sierra") else EIGHT
    return write(folder / f"{stem or dialect}.{ending}", ecg or Ecg(made_counts(leads)))

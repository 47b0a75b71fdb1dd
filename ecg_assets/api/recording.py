"""One recording in mV, its leads by name, and its picture."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecg_assets.errors import BadRecord
from ecg_assets.sources.record import Record
from ecg_assets.sources.recording import read_recording as read_stored
from ecg_assets.sources.wfdb.header import normalize_lead_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_MV, LEAST_MV = 50.0, 0.02
"""Sizes beyond which samples are of another unit: R waves are 0.5 to 5 mV high."""


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Recording:
    """An electrocardiogram.

    Parameters
    ----------
    signal_mv
        In mV, ``(lead, sample)``; NaN, or masked, is a missing sample. It is kept as a read-only
        float32 array: filter a copy of it, and make another `Recording` of that.
    leads
        Names of the leads, e.g. ``("I", "II")``; spellings such as ``AVR`` are made standard ones.
    sample_rate_hz
        Samples a second.
    record_id
        Its name, for titles and errors.

    Raises
    ------
    ValueError
        When shape, leads and sample rate do not fit one another, or a sample is infinite.

    Warns
    -----
    UserWarning
        When the samples can hardly be mV: a model would score them all the same.

    >>> recording = Recording(np.zeros((2, 5000)), ["I", "II"], 500)
    >>> recording
    Recording('', 2 leads, 10 s at 500 Hz)
    >>> recording["II"].shape
    (5000,)
    """

    signal_mv: NDArray[np.float32]
    leads: tuple[str, ...]
    sample_rate_hz: float
    record_id: str
    _stored: Record | None = field(init=False)

    def __init__(
        self,
        signal_mv: ArrayLike,
        leads: Sequence[str],
        sample_rate_hz: float,
        record_id: str = "",
        *,
        _stored: Record | None = None,
    ) -> None:
        masked = np.ma.MaskedArray(signal_mv, dtype=np.float32, copy=True)
        signal: NDArray[np.float32] = masked.filled(np.float32(np.nan))
        signal.flags.writeable = False
        names = name_leads(leads)
        if signal.ndim != 2 or len(names) != len(signal):
            raise ValueError(
                f"signal_mv has shape {signal.shape} and leads are {list(names)}; expected "
                "(lead, sample), and a name for each lead."
            )
        if len(set(names)) != len(names):
            raise ValueError(f"leads are {list(names)}; expected distinct names.")
        if np.isinf(signal).any():
            raise ValueError("signal_mv has infinite samples; a missing sample is NaN.")
        if not 0 < sample_rate_hz < np.inf:
            raise ValueError(f"sample_rate_hz is {sample_rate_hz}; expected a number above 0.")
        if _stored is None:
            _warn_of_another_unit(signal)
        values = (signal, names, float(sample_rate_hz), record_id, _stored)
        for one, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, one.name, value)

    @classmethod
    def of_record(cls, record: Record, record_id: str = "") -> Recording:
        """Take stored integers, which a model then reads without a detour over mV."""
        return cls(
            record.physical(), record.lead_names, record.sample_rate, record_id, _stored=record
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy is read-only, too: a model reads the stored integers, not what is changed there.
        self.__dict__.update(state)
        self.signal_mv.flags.writeable = False

    @property
    def n_samples(self) -> int:
        """Samples of each lead."""
        return int(self.signal_mv.shape[1])

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return self.n_samples / self.sample_rate_hz

    def __getitem__(self, lead: str) -> NDArray[np.float32]:
        """Give one lead in mV, ``(sample,)``; raise `KeyError` where there is no such lead."""
        return np.asarray(self.signal_mv[self._place(lead)])

    def __repr__(self) -> str:
        n = len(self.leads)
        return (
            f"Recording({self.record_id!r}, {n} lead{'s' if n != 1 else ''}, "
            f"{self.duration_s:g} s at {self.sample_rate_hz:g} Hz)"
        )

    def to_frame(self) -> pd.DataFrame:
        """Give a table with a column a lead, in mV, by time in seconds from the start."""
        time = pd.Index(np.arange(self.n_samples) / self.sample_rate_hz, name="time_s")
        return pd.DataFrame(self.signal_mv.T, index=time, columns=list(self.leads))

    def plot(
        self,
        *,
        start_s: float = 0.0,
        layout: str = "auto",
        rhythm_lead: str = "II",
        speed_mm_s: float = 25.0,
        gain_mm_mv: float = 10.0,
    ) -> Figure:
        """Draw it on ECG paper, at its true size when it is printed without scaling.

        Each lead is shifted so that its median lies on its line; nothing is filtered.

        Parameters
        ----------
        start_s
            The second that the picture starts at; it shows 10 s, or what there is.
        layout
            ``3x4``: the twelve leads in four columns of 2.5 s, one after the other in time, and a
            rhythm strip below. ``rows``: each lead a row. ``auto``: the first where there are
            twelve standard leads and 10 s, the second elsewhere.
        rhythm_lead
            Of the rhythm strip.
        speed_mm_s
            Of the paper, in mm a second: 25, or 50.
        gain_mm_mv
            Of the paper, in mm a mV: 10, or 5.

        Returns
        -------
        matplotlib.figure.Figure
            A notebook shows it; ``figure.savefig("ecg.pdf")`` writes it.

        Raises
        ------
        ValueError
            When an argument is out of its range, or leads of the layout are missing.
        """
        from ecg_assets.api.ecg_paper import draw_on_paper

        return draw_on_paper(
            self,
            start_s=start_s,
            layout=layout,
            rhythm_lead=normalize_lead_name(rhythm_lead),
            speed_mm_s=speed_mm_s,
            gain_mm_mv=gain_mm_mv,
        )

    def _place(self, lead: str) -> int:
        name = normalize_lead_name(lead)
        if name not in self.leads:
            raise KeyError(f"no lead {lead!r}; there are {', '.join(self.leads)}")
        return self.leads.index(name)

    def _take(self, leads: Sequence[str]) -> NDArray[np.intp]:
        """Find leads by name; raise `BadRecord` where one is missing."""
        missing = [lead for lead in leads if lead not in self.leads]
        if missing:
            raise BadRecord(
                "missing_lead",
                f"{self.record_id or 'the recording'} has the leads {', '.join(self.leads)}, "
                f"not {', '.join(missing)}",
            )
        return np.array([self.leads.index(lead) for lead in leads], np.intp)

    def _take_stored(self, leads: Sequence[str]) -> Record | None:
        """Give the stored integers of some leads; None of a recording that was made of mV."""
        record = self._stored
        if record is None:
            return None
        at = self._take(leads)
        signal: Any = record.signal[at]
        units = tuple(record.units[i] for i in at)
        return Record(
            signal, record.gain[at], record.baseline[at], units, record.sample_rate, tuple(leads)
        )


def _warn_of_another_unit(signal: NDArray[np.float32]) -> None:
    """Warn of samples ``(lead, sample)`` of a size that no ECG in mV has."""
    missing = np.isnan(signal).all(axis=1)
    if missing.all():
        return
    heights = np.abs(signal[~missing] - np.nanmedian(signal[~missing], axis=1, keepdims=True))
    usual, highest = np.nanquantile(heights, 0.99), np.nanmax(heights)
    if usual > MOST_MV or 0 < highest < LEAST_MV:
        found = (
            f"1 % of the samples are over {usual:,.0f} mV"
            if usual > MOST_MV
            else (f"the highest sample is {highest:.2g} mV")
        )
        warnings.warn(
            f"signal_mv can hardly be in mV: {found} from its lead's median. Samples in µV are "
            "divided by 1000, those in V multiplied by 1000, a machine's integers divided by "
            "their gain.",
            stacklevel=3,
        )


def name_leads(leads: str | Iterable[str]) -> tuple[str, ...]:
    """Give the standard names of leads; one name alone is one lead.

    >>> name_leads("ii"), name_leads(["AVR", "V1"])
    (('II',), ('aVR', 'V1'))
    """
    given = (leads,) if isinstance(leads, str) else leads
    return tuple(normalize_lead_name(str(lead)) for lead in given)


def read_recording(
    path: str | Path, *, leads: Sequence[str] | None = None, root: str | Path | None = None
) -> Recording:
    """Read a recording from its file.

    Parameters
    ----------
    path
        A WFDB record, with or without the extension, or any other file that a dataset here has:
        ``.npy``, ``.csv``, ``.mat``, ``.hdf5#row``; with the extra ``hospital`` also DICOM, HL7
        aECG, SCP-ECG and others (docs/your_own_recordings.md).
    leads
        Leads wanted, in this order; all by default, in the file's order.
    root
        Folder of the dataset, where its folder.yaml says what arrays hold.

    Raises
    ------
    BadRecord
        When it cannot be read; ``reason`` is a short code, and ``detail`` a sentence.
    """
    path = Path(path)
    # Read from its folder: a path that leaves it is a fault of the recording.
    record = read_stored(path, None if leads is None else name_leads(leads), root=root)
    return Recording.of_record(record, path.stem)

"""Simulated recordings show in Lead I what their study says, measured by scipy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import find_peaks

from ecg_assets.sources.synthetic.plan import plan_cohort
from ecg_assets.sources.synthetic.signal import MIMIC_LEADS, Recording, simulate_recording
from ecg_assets.sources.synthetic.study import Conduction, Ectopy, Infarct, Rhythm, Study

FS = 500
STUDIES = plan_cohort(800, seed=7, n_shards=2).studies

Signal = NDArray[np.float64]


def _simulate(holds: Callable[[Study], bool], *, n: int = 12) -> list[tuple[Study, Recording]]:
    """The first clean recordings of studies with one finding alone."""
    chosen = [s for s in STUDIES if holds(s) and not s.is_noisy][:n]
    assert len(chosen) >= 5
    return [(s, simulate_recording(s, np.random.default_rng([1, s.index]))) for s in chosen]


def _is_plain(study: Study) -> bool:
    return (
        study.infarct is Infarct.NONE
        and study.ectopy is Ectopy.NONE
        and not study.is_irregular
        and not study.has_flat_t
    )


def _is_sinus(study: Study, conduction: Conduction = Conduction.NORMAL) -> bool:
    return study.rhythm is Rhythm.SINUS and study.conduction is conduction and _is_plain(study)


def _lead(recording: Recording, name: str) -> Signal:
    return np.asarray(recording.signal_mv[MIMIC_LEADS.index(name)])


def _r_peaks(signal: Signal) -> NDArray[np.int64]:
    centered = signal - np.median(signal)
    peaks, _ = find_peaks(centered, height=0.6 * np.percentile(centered, 99.7), distance=0.24 * FS)
    return np.asarray(peaks)


def _mean_beat(recording: Recording, name: str, before_s: float, after_s: float) -> Signal:
    """Mean of the beats of a lead around the QRS onset, its level before the beat at 0."""
    signal = _lead(recording, name)
    starts = np.round(recording.beats.inside_s * FS).astype(int)
    before, after = round(before_s * FS), round(after_s * FS)
    starts = starts[(starts > before) & (starts + after < signal.size)]
    beats = np.array([signal[i - before : i + after] for i in starts])
    return np.asarray(beats.mean(axis=0) - np.median(signal))


def test_peaks_of_lead_i_are_the_beats_and_the_cart_measured_their_distance() -> None:
    for _, recording in _simulate(_is_sinus, n=25):
        peaks = _r_peaks(_lead(recording, "I"))
        assert np.diff(peaks).mean() * 1000 / FS == pytest.approx(
            recording.measurements.rr_interval, rel=0.03
        )


def test_fibrillation_is_irregular_and_sinus_rhythm_is_not() -> None:
    def variation(recording: Recording) -> float:
        rr = np.diff(_r_peaks(_lead(recording, "I")))
        return float(rr.std() / rr.mean())

    sinus = [variation(r) for _, r in _simulate(_is_sinus)]
    fibrillation = [
        variation(r)
        for _, r in _simulate(
            lambda s: (
                s.rhythm is Rhythm.FIBRILLATION
                and s.conduction is Conduction.NORMAL
                and _is_plain(s)
            )
        )
    ]
    assert max(sinus) < 0.06
    assert min(fibrillation) > 0.10


def test_first_degree_block_has_its_p_wave_more_than_200_ms_before_the_qrs() -> None:
    def p_to_qrs_s(recording: Recording) -> float:
        window = _mean_beat(recording, "II", 0.33, 0.0)[: -round(0.05 * FS)]
        return 0.33 - float(np.argmax(window)) / FS

    def is_slow(study: Study) -> bool:
        return study.rate_bpm < 75 and study.conduction is Conduction.NORMAL and _is_plain(study)

    # The P wave peaks about 50 ms after its onset.
    block = _simulate(lambda s: s.rhythm is Rhythm.FIRST_DEGREE_BLOCK and is_slow(s))
    normal = _simulate(lambda s: s.rhythm is Rhythm.SINUS and is_slow(s))
    assert min(p_to_qrs_s(r) for _, r in block) > 0.16
    assert max(p_to_qrs_s(r) for _, r in normal) < 0.16


def test_left_bundle_block_is_broad_and_upright_with_t_against_it_in_lead_i() -> None:
    for _, recording in _simulate(lambda s: _is_sinus(s, Conduction.LEFT_BUNDLE_BLOCK)):
        beat = _mean_beat(recording, "I", 0.0, 0.45)
        assert np.mean(beat > 0.4 * beat.max()) * 450 > 65
        assert beat[: round(0.05 * FS)].min() > -0.1 * beat.max()
        assert beat[round(0.18 * FS) :].min() < -0.15 * beat.max()


def test_right_bundle_block_ends_to_the_right() -> None:
    for _, recording in _simulate(lambda s: _is_sinus(s, Conduction.RIGHT_BUNDLE_BLOCK)):
        late = slice(round(0.075 * FS), round(0.13 * FS))
        assert _mean_beat(recording, "I", 0.0, 0.2)[late].min() < -0.15
        assert _mean_beat(recording, "V1", 0.0, 0.2)[late].max() > 0.3


def test_bifascicular_block_turns_the_axis_to_the_left() -> None:
    for _, recording in _simulate(lambda s: _is_sinus(s, Conduction.BIFASCICULAR_BLOCK)):
        assert recording.measurements.qrs_axis < -30
        beat = _mean_beat(recording, "III", 0.0, 0.09)
        assert -beat.min() > beat.max()


def test_preexcitation_shortens_pr_and_slurs_the_upstroke() -> None:
    def rise_s(recording: Recording) -> float:
        beat = _mean_beat(recording, "I", 0.0, 0.12)
        top = int(np.argmax(beat))
        return float(top - np.flatnonzero(beat[:top] < 0.15 * beat.max()).max(initial=0)) / FS

    preexcited = _simulate(lambda s: _is_sinus(s, Conduction.PREEXCITED))
    assert max(r.beats.pr_s for _, r in preexcited) < 0.12
    assert min(rise_s(r) for _, r in preexcited) > max(rise_s(r) for _, r in _simulate(_is_sinus))


def test_pacemaker_spikes_are_the_only_jumps_of_lead_i() -> None:
    def jump(recording: Recording) -> float:
        lead = _lead(recording, "I")
        return float(np.abs(np.diff(lead)).max() / lead.std())

    paced = _simulate(lambda s: s.rhythm in (Rhythm.VENTRICULAR_PACED, Rhythm.DUAL_PACED))
    block = _simulate(lambda s: _is_sinus(s, Conduction.LEFT_BUNDLE_BLOCK))
    assert min(jump(r) for _, r in paced) > 2 * max(jump(r) for _, r in block)


def test_lateral_infarct_has_a_deep_q_in_lead_i() -> None:
    def q_to_r(recording: Recording) -> float:
        beat = _mean_beat(recording, "I", 0.0, 0.07)
        return float(-beat[: round(0.04 * FS)].min() / beat.max())

    sites = (Infarct.LATERAL_OLD, Infarct.LATERAL_ACUTE)
    infarct = _simulate(
        lambda s: (
            s.infarct in sites
            and s.conduction is Conduction.NORMAL
            and s.ectopy is Ectopy.NONE
            and s.rhythm is Rhythm.SINUS
        )
    )
    assert min(q_to_r(r) for _, r in infarct) > 0.33
    assert max(q_to_r(r) for _, r in _simulate(_is_sinus)) < 0.33


def test_both_tachycardias_are_fast_and_regular_and_the_ventricular_one_is_broader() -> None:
    broad = _simulate(lambda s: s.rhythm is Rhythm.VENTRICULAR_TACHYCARDIA)
    aberrant = _simulate(lambda s: s.rhythm is Rhythm.ABERRANT_TACHYCARDIA)
    for _, recording in (*broad, *aberrant):
        rr = np.diff(recording.beats.inside_s)
        assert 60 / rr.mean() > 130
        assert rr.std() / rr.mean() < 0.03
    widths = [
        [r.measurements.qrs_end - r.measurements.qrs_onset for _, r in group]
        for group in (broad, aberrant)
    ]
    assert np.mean(widths[0]) > np.mean(widths[1]) > 120


def test_premature_ventricular_beats_come_early_in_both_halves() -> None:
    for _, recording in _simulate(
        lambda s: s.ectopy is Ectopy.VENTRICULAR and s.rhythm is Rhythm.SINUS
    ):
        times = recording.beats.ventricular_s
        ectopic = np.flatnonzero(recording.beats.is_ectopic)
        assert (times[ectopic] < 5).any()
        assert (times[ectopic] > 5).any()
        assert np.all(np.diff(times)[ectopic - 1] < 0.75 * np.median(np.diff(times)))


def test_noisy_recordings_are_far_noisier_than_the_others() -> None:
    sinus = [s for s in STUDIES if _is_sinus(s)][:10]
    rest = []
    for is_noisy in (False, True):
        excess = []
        for study in sinus:
            rng = np.random.default_rng([2, study.index])
            lead = _lead(simulate_recording(replace(study, is_noisy=is_noisy), rng), "I")
            # Between beats a clean lead lies still: the lower half of its distances from 0.
            excess.append(float(np.percentile(np.abs(lead - np.median(lead)), 40)))
        rest.append(excess)
    assert min(rest[1]) > 2 * float(np.median(rest[0]))

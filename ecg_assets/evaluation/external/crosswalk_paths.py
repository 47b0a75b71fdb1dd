"""Ways from codes to a label: one code that names or implies a finding, or two together."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ecg_assets.evaluation.external.crosswalk_codes import Codes
from ecg_assets.labels import LabelRule
from ecg_assets.labels.knowledge import DEFINITE, load_knowledge
from ecg_assets.labels.own_labels import is_own


@dataclass(frozen=True)
class Path:
    """A way from codes to a concept that a label includes.

    Attributes
    ----------
    codes
        One code, or those that do it together.
    concept
        What they name or make.
    included
        Concept of the label's rule that follows from it.
    certainty
        How certain that is, a word of ``wording.yaml``.
    """

    codes: tuple[str, ...]
    concept: str
    included: str
    certainty: str

    @property
    def code(self) -> str:
        """The codes in one text."""
        return " + ".join(self.codes)

    @property
    def probability(self) -> float:
        """Probability that the codes give the concept."""
        return float(load_knowledge().uncertainty[self.certainty])

    def judge(self, rule: LabelRule, codes: Codes, threshold: float) -> tuple[bool, str]:
        """Say whether recordings with these codes alone are positives, and why."""
        sentence = self._sentence(codes)
        if self.probability < threshold or self.probability == 0:
            return False, f"{sentence} That is below the label threshold of {threshold:g}."
        forbidding = _find_forbidding(self, rule, codes, threshold)
        if forbidding:
            return False, f"{sentence} But the label excludes {' and '.join(forbidding)}."
        if rule.excludes:
            sentence += " A finding that the label excludes must not stand beside it."
        return True, sentence

    def _sentence(self, codes: Codes) -> str:
        if len(self.codes) > 1:
            start = f"{codes.kind}s {' and '.join(self.codes)} together make {self.concept}"
        else:
            start = f"{codes.kind} {self.code} names the concept {self.concept}"
        if self.concept != self.included:
            start += f", which implies {self.included}"
        if self.certainty != DEFINITE:
            start += f" ({self.certainty}, probability {self.probability:g})"
        return f"{start[0].upper()}{start[1:]}."


def find_single(rule: LabelRule, codes: Codes) -> list[Path]:
    """Codes of which each leads to the label alone, in their table's order."""
    paths = []
    for code, concept in codes.concepts.items():
        ways = [
            Path((code,), concept, included, certainty)
            for included, certainty in implied_by(concept).items()
            if included in rule.includes
        ]
        if ways:
            paths.append(max(ways, key=lambda way: way.probability))
    return paths


def find_combined(rule: LabelRule, codes: Codes, alone: Collection[str]) -> list[Path]:
    """Codes that lead to the label together, but not `alone`, each combination once."""
    paths: dict[tuple[str, ...], Path] = {}
    for way in _combined(rule, codes):
        if not set(way.codes) & set(alone):
            best = paths.get(way.codes)
            if best is None or best.probability < way.probability:
                paths[way.codes] = way
    return list(paths.values())


def implied_by(concept: str) -> dict[str, str]:
    """List what follows from a concept, itself included, each with its certainty."""
    return {concept: DEFINITE} if is_own(concept) else dict(load_knowledge().implied[concept])


def _combined(rule: LabelRule, codes: Codes) -> Iterator[Path]:
    """Every choice of one code a part, for combinations that lead to the label."""
    knowledge = load_knowledge()
    for combination in knowledge.combinations:
        results = {
            included: certainty
            for included, certainty in implied_by(combination.concept).items()
            if included in rule.includes
        }
        for included, certainty in results.items():
            choices = [_codes_of_part(part, codes) for part in combination.parts]
            for chosen in itertools.product(*choices):
                certainties = [certainty, combination.certainty, *(how for _, how in chosen)]
                weakest = min(certainties, key=knowledge.uncertainty.__getitem__)
                together = tuple(dict.fromkeys(code for code, _ in chosen))
                if len(together) > 1:
                    yield Path(together, combination.concept, included, weakest)


def _codes_of_part(part: str, codes: Codes) -> list[tuple[str, str]]:
    """Codes that name or imply a part, each with its certainty.

    Of report text the part's own name alone: every other wording leads through it.
    """
    if part in codes.concepts:
        return [(part, DEFINITE)]
    return [
        (code, implied_by(concept)[part])
        for code, concept in codes.concepts.items()
        if part in implied_by(concept)
    ]


def _find_forbidding(path: Path, rule: LabelRule, codes: Codes, threshold: float) -> list[str]:
    """Concepts that the label excludes and that follow from the same codes."""
    uncertainty = load_knowledge().uncertainty
    found = {
        implied
        for code in path.codes
        for implied, certainty in implied_by(codes.concepts[code]).items()
        if implied in rule.excludes and uncertainty[certainty] >= threshold
    }
    return sorted(found)

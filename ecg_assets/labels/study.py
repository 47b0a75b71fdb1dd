"""A study's task as a file: labels that are codes exactly as a dataset has them, and its own rules.

What a study published (counts of its labels, numbers of a model) can be met only with the same
labels, and concepts merge what a study tells apart. Such a file names codes, nothing between; or it
says that its labels are the codes that the data have (`EveryCode`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from ecg_assets.errors import SchemaError
from ecg_assets.frozen_model import FrozenModel, Number
from ecg_assets.labels.codings import STUDIES, Coding, find_coding
from ecg_assets.labels.concepts import ROOM
from ecg_assets.labels.reading import LineReading
from ecg_assets.sources.schema import OWN_LABELS
from ecg_assets.yaml_file import read_yaml

ANY: Final = "any"
_SHIPPED = ROOM / STUDIES


def _is_off(value: Any) -> bool:
    """Leave a field at its default out of facts: those of other studies stay as they were."""
    return not value


Digits = Annotated[int | None, Field(ge=1, exclude_if=_is_off)]
Ancestors = Annotated[bool, Field(exclude_if=_is_off)]
WithoutModifiers = Annotated[bool, Field(exclude_if=_is_off)]


class Study(FrozenModel):
    """How a study reads codes; it travels with the labels as their fact ``label_study``."""

    coding: str = Field(description="Coding whose codes the labels are.")
    likelihood: Literal["any"] | Number = Field(
        default=ANY,
        description="any: a statement counts whatever its likelihood, 0 included; or the least "
        "one in per cent, as written.",
    )
    unlabelled: Literal["drop", "keep"] = Field(
        description="Recordings without any label of the task: drop leaves them out of all "
        "splits, keep has them as negatives of each label."
    )
    split: Literal["folds"] | None = Field(
        default=None, description="folds: by the dataset's own folds, where it has them."
    )
    without_modifiers: WithoutModifiers = Field(
        default=False, description="Whether a statement with modifiers does not count."
    )
    digits: Digits = Field(default=None, description="Characters of a code that are kept.")
    ancestors: Ancestors = Field(
        default=False, description="Whether the codes that a code is a part of count, too."
    )

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if not isinstance(self.likelihood, str):
            self._require(0 <= self.likelihood <= 100, "likelihood", "any, or 0 to 100")
        return self

    @property
    def least_likelihood(self) -> float:
        """Per cent from which a statement counts."""
        return 0.0 if isinstance(self.likelihood, str) else self.likelihood

    def read(self, line: str) -> LineReading:
        """Read a line of a report as the codes that the study counts."""
        return find_coding(self.coding).read_code(
            line,
            least_likelihood=self.least_likelihood,
            without_modifiers=self.without_modifiers,
            digits=self.digits,
            ancestors=self.ancestors,
        )


def _list_codes(value: Any) -> Any:
    """Read one code or several; a number is the code that it is written as."""
    values = value if isinstance(value, list | tuple) else [value]
    is_number = [isinstance(code, int) and not isinstance(code, bool) for code in values]
    return tuple(
        str(code) if whole else code for code, whole in zip(values, is_number, strict=True)
    )


class CodeLabel(FrozenModel):
    """One label: present where a recording has one of its codes.

    It is not known where a number of ``measured_by`` is empty or 0 and it has none of them.
    """

    codes: Annotated[tuple[str, ...], BeforeValidator(_list_codes), Field(min_length=1)]
    measured_by: Annotated[tuple[str, ...], BeforeValidator(_list_codes)] = ()
    aggregation: Literal["mean", "max"] | None = None


def _read_labels(value: Any) -> Any:
    """Fill in short forms: nothing is the code of the label's name, a code or list its codes."""
    if not isinstance(value, Mapping):
        return value
    return {name: _read_label(name, entry) for name, entry in value.items()}


def _read_label(name: str, entry: Any) -> CodeLabel:
    if isinstance(entry, CodeLabel):
        return entry
    full = entry if isinstance(entry, Mapping) else {"codes": name if entry is None else entry}
    try:
        return CodeLabel(**full)
    except ValueError as error:
        raise ValueError(f"label {name!r}: {error}") from error


class EveryCode(FrozenModel):
    """Labels that are all codes of the data; a label's name is its code."""

    least_records: int = Field(default=1, ge=1, description="Recordings that must have a code.")
    alike: dict[str, Annotated[tuple[str, ...], BeforeValidator(_list_codes)]] = Field(
        default_factory=dict, description="Codes that are one label, by its name."
    )
    without: Annotated[tuple[str, ...], BeforeValidator(_list_codes)] = Field(
        default=(), description="Codes that are no labels."
    )


class Published(FrozenModel):
    """What a study published of its labels.

    ``positives``, ``unmeasured`` (recordings of which a label is not known) and ``records`` are
    counts by split, ``all`` among them; not all need be there.
    """

    source: str = Field(description="Dataset, as in ECG_SOURCE.")
    database: str = Field(default="", description="Of a collection, the database that was counted.")
    dataset_records: int = Field(description="Recordings of the release that was counted.")
    reference: str = Field(description="Where the counts stand.")
    labels: int | None = Field(default=None, description="How many labels there are.")
    records: dict[str, int] = Field(default_factory=dict)
    positives: dict[str, dict[str, int]] = Field(default_factory=dict)
    unmeasured: dict[str, dict[str, int]] = Field(default_factory=dict)


class StudyFile(FrozenModel):
    """The content of a file."""

    coding: str
    likelihood: Literal["any"] | Number = ANY
    unlabelled: Literal["drop", "keep"]
    split: Literal["folds"] | None = None
    without_modifiers: WithoutModifiers = False
    digits: Digits = None
    ancestors: Ancestors = False
    aggregation: Literal["mean", "max"] = "mean"
    labels: Annotated[dict[str, CodeLabel], BeforeValidator(_read_labels)] = Field(
        default_factory=dict
    )
    every_code: EveryCode | None = None
    published: Published | None = None

    @model_validator(mode="after")
    def _names_known_codes(self) -> Self:
        try:
            coding = find_coding(self.coding)
        except SchemaError as error:
            raise ValueError(str(error).removeprefix("machine_reports: ")) from error
        if bool(self.labels) == bool(self.every_code):
            raise ValueError(
                "has both `labels` and `every_code`, or neither; expected one of them."
            )
        if coding.name != OWN_LABELS:  # its codes are the data's
            self._require(bool(coding.codes or coding.pattern), "coding", "one that has codes")
            _require_codes(coding, self.labels)
        if self.every_code:
            named = {**self.every_code.alike, "without": self.every_code.without}
            codes = {name: CodeLabel(codes=codes) for name, codes in named.items() if codes}
            _require_codes(coding, codes)
        if (self.digits or self.ancestors) and not coding.n_category:
            raise ValueError(
                f"digits and ancestors are of codes that have parts, which {coding.name} has not."
            )
        counts = self.published
        published = {*counts.positives, *counts.unmeasured} if counts else set()
        if self.labels and (unknown := sorted(published - set(self.labels))):
            raise ValueError(f"published counts labels {unknown}, which are not among `labels`.")
        return self

    @property
    def study(self) -> Study:
        """Its rules."""
        return Study(
            coding=self.coding,
            likelihood=self.likelihood,
            unlabelled=self.unlabelled,
            split=self.split,
            without_modifiers=self.without_modifiers,
            digits=self.digits,
            ancestors=self.ancestors,
        )


def _require_codes(coding: Coding, labels: Mapping[str, CodeLabel]) -> None:
    """Refuse codes that a coding lacks: their label would be 0 everywhere."""
    lacking = {
        name: unknown
        for name, label in labels.items()
        if (unknown := [code for code in label.codes if not coding.is_code(code)])
    }
    if lacking:
        raise ValueError(
            f"labels name codes that {coding.name} lacks: {lacking}. Name them as the dataset "
            f"writes them, or add them to {coding.file.name if coding.file else coding.name}."
        )


def shipped_studies() -> tuple[str, ...]:
    """Names of the files of this package."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.yaml")))


def find_study_files(path: Path) -> tuple[Path, ...]:
    """Name a file and those that it is like, each but the first one's base.

    Raises
    ------
    ValueError
        When a file cannot be read, or its ``like`` is no shipped study, no file beside it, or
        itself.
    """
    found = [path]
    while isinstance(table := read_yaml(found[-1]), Mapping) and "like" in table:
        base = _find_base(str(table["like"]), found[-1])
        if base in found:
            raise ValueError(f"like: {table['like']} leads back to the file itself.")
        found.append(base)
    return tuple(found)


def _find_base(name: str, path: Path) -> Path:
    shipped, beside = _SHIPPED / f"{name}.yaml", path.parent / name
    for base in (shipped, beside):
        if Path(name).name == name and base.is_file():
            return base
    raise ValueError(
        f"like is {name!r}; expected one of {', '.join(shipped_studies())}, or a file beside this."
    )


_COUNTED_BY = (
    *("coding", "likelihood", "unlabelled", "labels"),
    *("every_code", "without_modifiers", "digits", "ancestors"),
)
"""With another one of these, counts are others than were published."""


def read_study_file(path: Path) -> StudyFile:
    """Read a file; what it does not say is as in the one that its ``like`` names.

    Published counts are its own where its rules or labels are others.

    Raises
    ------
    ValueError
        With a sentence for each fault.
    OSError
        When it cannot be read.
    """
    table: dict[str, Any] = {}
    for one in reversed(find_study_files(path)):
        own = {name: value for name, value in read_yaml(one).items() if name != "like"}
        if isinstance(own.get("published"), Mapping):
            own["published"] = {**table.get("published", {}), **own["published"]}
        elif any(name in own and own[name] != table.get(name) for name in _COUNTED_BY):
            table.pop("published", None)
        for name, instead in (("labels", "every_code"), ("every_code", "labels")):
            if name in own:
                table.pop(instead, None)
        table |= own
    return StudyFile(**table)


def is_study(table: object) -> bool:
    """Say whether a file's content is of a study: it names a coding, or another such file."""
    return isinstance(table, Mapping) and bool({"coding", "like"} & set(table))

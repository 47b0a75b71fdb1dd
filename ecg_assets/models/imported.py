"""A checkpoint folder made of a file that its authors publish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models.card_metadata import card_metadata, licence_id
from ecg_assets.models.checkpoint import require_labels, save_model, write_json
from ecg_assets.models.checkpoint_folder import (
    IMPORT_REPORT,
    LABEL_VOCABULARY,
    MODEL_CARD,
    PRETRAINING_WEIGHTS,
    UNREADABLE_VALUES,
)
from ecg_assets.models.families import family_of_file
from ecg_assets.models.family import ModelFamily, find_object
from ecg_assets.models.hub import describe_origin
from ecg_assets.models.published_file import read_published_file
from ecg_assets.models.signals import ModelInput, require_readable
from ecg_assets.preprocess.signal_spec import SignalSpec
from ecg_assets.preprocess.signal_steps import describe_filter, describe_normalization
from ecg_assets.storage import replace_folder

# What every import writes of the file it read, and where it may write.


IMPORT_VERSION = 1
"""Counts up when the same file would be imported as another folder."""
PRETRAINED = "pre-trained"
"""Kind of an encoder without a head."""


def require_replaceable(folder: Path) -> None:
    """Raise `CheckpointError` unless the folder is new, empty, or an earlier import."""
    is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_free and not (folder / IMPORT_REPORT).is_file():
        raise CheckpointError(
            f"{folder} exists and is no earlier import (it has no {IMPORT_REPORT}), so it is not "
            "replaced. Give a new folder."
        )


def describe_source(path: Path) -> dict[str, Any]:
    """Name a file, with its SHA-256 and size, and where it was fetched from."""
    origin = describe_origin(path)
    return {
        "name": path.name,
        "fingerprint": fingerprint_file(path),
        "n_bytes": path.stat().st_size,
        **({"hub": origin} if origin else {}),
    }


def name_origin(value: object, *, was_given: bool, family: str) -> str:
    """Say where the meaning of input or outputs comes from; a file never tells."""
    if value is None:
        return "unknown"
    return "given" if was_given else f"assumed to be {family}'s"


# What input and outputs of a published file mean: as the user says, or as its family's do.


@dataclass(frozen=True)
class FileMeaning:
    """Meaning of a file's input and outputs; a file never tells it.

    Attributes
    ----------
    spec, vocabulary
        Meaning of input and outputs, where it is known.
    origin
        Where each comes from, in words, by ``signal_spec`` and ``label_vocabulary``.
    """

    spec: SignalSpec | None
    vocabulary: LabelVocabulary | None
    origin: dict[str, str]


def find_meaning(
    family: ModelFamily,
    config: Any,
    spec: SignalSpec | None,
    vocabulary: LabelVocabulary | None,
    *,
    known: LabelVocabulary | None = None,
    has_head: bool = True,
    where: str,
) -> FileMeaning:
    """Check what the user says, or take what is known of the family's public weights.

    Parameters
    ----------
    family, config
        The file's model, and its architecture.
    spec, vocabulary
        What the user says; None: nothing.
    known
        Labels of the family's public weights, taken for a head of as many outputs; None: none are
        known.
    has_head
        Whether the file is a classifier.
    where
        The file, for errors.

    Raises
    ------
    CheckpointError
        When the spec has other channels, the vocabulary another number of labels, or a
        vocabulary is given for an encoder without a head.
    """
    if vocabulary is not None and not has_head:
        raise CheckpointError(
            f"{where} is pre-trained and has no head, but a vocabulary of {len(vocabulary)} "
            "labels was given. Leave it out, or give a fine-tuned file."
        )
    found_spec = spec or family.published_spec(config.n_channels)
    found_vocabulary = vocabulary
    if vocabulary is None and has_head and known is not None and config.num_labels == len(known):
        found_vocabulary = known
    require_readable(ModelInput(family, config.n_channels, found_spec, where))
    if found_vocabulary is not None:
        if found_spec is not None:
            found_vocabulary = found_vocabulary.aggregated(found_spec.aggregation)
        require_labels(config, found_vocabulary, where=where)
    origin = {
        "signal_spec": name_origin(found_spec, was_given=spec is not None, family=family.title),
        "label_vocabulary": name_origin(
            found_vocabulary, was_given=vocabulary is not None, family=family.title
        ),
    }
    return FileMeaning(found_spec, found_vocabulary, origin)


# README.md of an imported checkpoint folder.


_MANY = 30
"""So many labels are not listed."""
_CARD = """\
# {title}, {kind}

Imported from `{source}` of {writer} (SHA-256 `{fingerprint}`). No code of the file was
run; `import_report.json` lists every weight.

- Architecture: {architecture}.{assumed}
- Input: {signal}.
- Output: {labels}.
- Trained on: the file does not say. {pretraining}
{licence}- For research; not a medical device.

```python
from ecg_assets.models import load_checkpoint

model = load_checkpoint("{folder}")
```
"""


def model_card(
    family: ModelFamily,
    architecture: str,
    report: Mapping[str, Any],
    *,
    folder: str,
    spec: SignalSpec | None,
    vocabulary: LabelVocabulary | None,
    n_labels: int,
) -> str:
    """Write what a checkpoint is, from where, and what it reads and says, as Markdown.

    Parameters
    ----------
    family, architecture
        What kind of model it is, and its sizes in words.
    report
        Content of import_report.json.
    folder
        Name of the folder.
    spec, vocabulary
        Meaning of input and outputs, where it is known.
    n_labels
        Outputs of the head.
    """
    signal = "not known: the file does not say which leads, at what sample rate, normalized how"
    if spec is not None:
        signal = (
            f"{', '.join(spec.leads)}; segments of {spec.segment_s:g} s at "
            f"{spec.sample_rate_hz} Hz, of a recording {spec.describe_part()}; normalization "
            f"{describe_normalization(spec.normalization)}; filter: "
            f"{describe_filter(spec.filter)} ({report['signal_spec']})"
        )
    labels = f"{n_labels} logits; the file does not name its labels"
    if report["kind"] == PRETRAINED:
        labels = "features; there is no head, fine-tune it to get labels"
    if vocabulary is not None:
        labels = f"logits of {_list_labels(vocabulary)} ({report['label_vocabulary']})"
    metadata = card_metadata(folder, family=family.name, licence=licence_id(family.licence))
    return metadata + _CARD.format(
        title=family.title,
        writer=report["writer"],
        architecture=architecture,
        pretraining=describe_pretraining(family),
        licence=f"- Licence: {family.licence}.\n" if family.licence else "",
        kind=report["kind"],
        source=report["source"]["name"],
        fingerprint=report["source"]["fingerprint"],
        assumed="".join(f" Assumed: {sentence}." for sentence in report["assumed"]),
        signal=signal,
        labels=labels,
        folder=folder,
    )


def describe_pretraining(family: ModelFamily) -> str:
    """Say what a family's public weights have seen, and what follows for results."""
    if not family.pretrained_on:
        return "Where the weights have seen recordings, say so with every result on them."
    return (
        f"{family.pretrained_on}: where these are they, say so with every result on recordings "
        "from there."
    )


def _list_labels(vocabulary: LabelVocabulary) -> str:
    """Write the names of the labels, or where they stand when they are many."""
    if len(vocabulary) > _MANY:
        return f"{len(vocabulary)} labels, in order in `{LABEL_VOCABULARY}`"
    return ", ".join(vocabulary.names)


# A model read from a file, and the folder that is made of it.


@dataclass(frozen=True, eq=False)
class ImportedModel:
    """A model that was read from its authors' file, and what is written of it.

    Attributes
    ----------
    family, path
        What kind of model it is, and the file.
    model
        An `EcgClassifier`, or an encoder of one.
    architecture
        Its sizes in words, with ``{n_parameters:,}`` where their number stands.
    report
        What import_report.json says besides the file and the origin of its meaning:
        ``kind``, ``writer``, ``assumed``, ``mapped``, ``dropped``.
    pretraining
        Weights that only pre-training uses, by their names in the file; they are kept.
    others
        Further JSON files by name.
    known
        Labels of the family's public weights, taken for a head of as many outputs; None: none are
        known.
    warnings
        Of what was assumed, what another file may have otherwise; a load says it.
    """

    family: ModelFamily
    path: Path
    model: Any
    architecture: str
    report: Mapping[str, Any]
    pretraining: Mapping[str, Tensor] = field(default_factory=dict)
    others: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    known: LabelVocabulary | None = None
    warnings: tuple[str, ...] = ()

    @property
    def has_head(self) -> bool:
        """Whether it is a classifier."""
        return bool(self.report["kind"] != PRETRAINED)


def write_imported(
    imported: ImportedModel,
    folder: Path,
    spec: SignalSpec | None,
    vocabulary: LabelVocabulary | None,
) -> Path:
    """Write the folder: weights, meaning, report and card; it appears complete or not at all.

    `spec` and `vocabulary` are as `find_meaning` takes them.

    Raises
    ------
    CheckpointError
        As `find_meaning`.
    """
    model, where = imported.model, str(imported.path)
    meaning = find_meaning(
        imported.family,
        model.config,
        spec,
        vocabulary,
        known=imported.known,
        has_head=imported.has_head,
        where=where,
    )
    report = _report(imported, meaning)
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    card = model_card(
        imported.family,
        imported.architecture.format(n_parameters=n_parameters),
        report,
        folder=folder.name,
        spec=meaning.spec,
        vocabulary=meaning.vocabulary,
        n_labels=model.config.num_labels,
    )
    with replace_folder(folder) as target:
        save_model(target, model, meaning.spec, meaning.vocabulary)
        if imported.pretraining:
            kept = {name: tensor.contiguous() for name, tensor in imported.pretraining.items()}
            save_file(kept, target / PRETRAINING_WEIGHTS, metadata={"format": "pt"})
        for name, content in imported.others.items():
            write_json(target / name, content)
        write_json(target / IMPORT_REPORT, report)
        (target / MODEL_CARD).write_text(card, encoding="utf-8")
    return folder


def _report(imported: ImportedModel, meaning: FileMeaning) -> dict[str, Any]:
    return {
        "source": describe_source(imported.path),
        "import_version": IMPORT_VERSION,
        **imported.report,
        # An import with either does not get this far.
        "missing": [],
        "unexpected": [],
        **meaning.origin,
    }


@contextmanager
def shapes_of(path: Path, title: str, *, other: str = "") -> Iterator[None]:
    """Turn what is raised where weights have other shapes into a `CheckpointError`.

    `other` says in what they differ, e.g. ``not in the shapes of a Net1D``.
    """
    try:
        yield
    except (*UNREADABLE_VALUES, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{path} has weights like {title}'s, but "
            f"{other or 'lacks one or has it in another shape'} "
            f"({type(error).__name__}: {error}). Get the original file."
        ) from error


def heads_of_width(
    width: int, n_heads: int | None, family: ModelFamily, path: Path
) -> tuple[int, tuple[str, ...]]:
    """Give heads of attention as the user says, or the family's published size of this width has.

    Returns them, and what was assumed, in a sentence; raises `CheckpointError` where neither tells.
    """
    if n_heads:
        return n_heads, ()
    sizes = family.sizes.values()
    published = {size["hidden_size"]: size["num_attention_heads"] for size in sizes}
    if width not in published:
        raise CheckpointError(
            f"{path} is {width} wide, unlike any published {family.title}, and no weight tells its "
            "number of attention heads. Import it by import_checkpoint(path, folder, n_heads=…)."
        )
    told = (
        f"{published[width]} heads of attention, as in the published {family.title} of this width"
    )
    return published[width], (told,)


# From a file to its folder, whosever it is.


def import_checkpoint(
    path: str | Path,
    folder: str | Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
    **options: Any,
) -> Path:
    """Import a file that the authors of a family of `FAMILIES` publish; no code in it is run.

    Its content tells whose it is. A classifier's file becomes a classifier, one without a head an
    encoder to start fine-tuning from; weights that only pre-training uses are kept beside it. The
    folder appears complete or not at all.

    Parameters
    ----------
    path
        The file; of model.safetensors the config.json beside it is read, too.
    folder
        Where to write; an earlier import there is replaced, anything else is refused.
    spec
        What the model reads; a file does not tell. By default what its family's public weights
        read; other numbers of channels go without.
    vocabulary
        What its outputs mean; a file does not tell. By default the labels of its family's public
        weights, where they are known and as many. A folder without it is not evaluated.
    **options
        What no weight tells, by the name that the file's family has for it, e.g. ``n_heads``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code.
    CheckpointError
        When the file is of no family, a weight is missing or one too many, `spec` has other
        channels, `vocabulary` another number of labels, or the folder holds something else.
    TypeError
        When the file's family does not take an option; the message names those that it takes.
    """
    path, folder = Path(path), Path(folder)
    require_replaceable(folder)
    content = read_published_file(path)
    return import_content(content, path, folder, spec=spec, vocabulary=vocabulary, **options)


def import_content(
    content: object,
    path: Path,
    folder: Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
    **options: Any,
) -> Path:
    """Make a checkpoint folder of the content of the file at `path`; as `import_checkpoint`."""
    family = family_of_file(content, path)
    known = family.import_options()
    if unknown := [name for name in options if name not in known]:
        raise TypeError(
            f"{path}: an import of {family.title} takes no {' and no '.join(unknown)}, but "
            f"{', '.join(known)}. Leave out what it does not take."
        )
    meaning = {"spec": spec, "vocabulary": vocabulary}
    if family.files and family.files.imports:
        find_object(family.files.imports)(path, folder, **meaning, **options)
        return folder
    imported = family.build_file(content, path, **meaning, **options)
    return write_imported(imported, folder, spec, vocabulary)

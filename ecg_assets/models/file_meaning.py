"""What input and outputs of a published file mean: as the user says, or as its family's do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.label_vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint import require_channels, require_labels
from ecg_assets.models.import_report import name_origin
from ecg_assets.models.model_family import ModelFamily
from ecg_assets.preprocess.signal_spec import SignalSpec


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
    known: LabelVocabulary,
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
        Labels of the family's public weights, taken for a head of as many outputs.
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
    if vocabulary is None and has_head and config.num_labels == len(known):
        found_vocabulary = known
    if found_spec is not None:
        require_channels(config, found_spec, where=where)
    if found_vocabulary is not None:
        require_labels(config, found_vocabulary, where=where)
    origin = {
        "signal_spec": name_origin(found_spec, was_given=spec is not None, family=family.title),
        "label_vocabulary": name_origin(
            found_vocabulary, was_given=vocabulary is not None, family=family.title
        ),
    }
    return FileMeaning(found_spec, found_vocabulary, origin)

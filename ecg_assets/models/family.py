"""What the rest of the package must know of a model family; needs no torch.

A family is a module with an `EcgClassifier`, one with its configuration, and a `ModelFamily` that
names them; the modules are imported when they are needed. What a family cannot do is stated here,
so that a recipe is refused before anything is loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecg_assets.preprocess.signal_spec import (
    FIRST_10_S,
    STANDARD_LEADS,
    RecordPart,
    SignalSpec,
    signal_spec_of_kind,
)

if TYPE_CHECKING:
    from ecg_assets.labels.vocabulary import LabelVocabulary
    from ecg_assets.models.classifier import EcgClassifier
    from ecg_assets.models.imported import ImportedModel

_log = logging.getLogger(__name__)
_KEYWORD = Parameter.KEYWORD_ONLY

EMBEDDING_VERSION = 1
"""Counts up when the same inputs would give other embeddings, or another file of them."""


@dataclass(frozen=True)
class PublishedFiles:
    """The functions that read the files of a family's authors, each as ``module:name``.

    `builds` is enough. A family that does otherwise names `loads` and `imports` in its place.

    Attributes
    ----------
    content
        What a file holds, in words.
    recognizes
        ``(content) -> bool``: whether the content of a file of torch.save is one of the family.
    loads
        ``(content, path, pretrained) -> model``: the model in it; `pretrained` is the file that
        it started from, or None. By default the one that is built.
    imports
        ``(path, folder, *, spec, vocabulary)``: a checkpoint folder made of a file. `spec` and
        `vocabulary` are what the user says of its input and outputs, or None. By default the
        model that is built is written.
    fits
        ``(content, path, spec, vocabulary) -> (spec | None, vocabulary | None)``: what of a
        deployment's signal spec and labels the file can be taken to have. By default the spec
        where it gives the channels of the model that is built, and no labels.
    classes
        Classes, as ``module.name``, whose objects a file holds, e.g. of its configuration. They
        are not imported: an object is read as a mapping of its attributes.
    builds
        ``(content, path, **options) -> ImportedModel``: the model of a recognized content.
        Its keyword-only parameters are the options of an import; `spec`, `vocabulary` and
        `pretrained` are as above, and given where it has them.
    """

    content: str
    recognizes: str
    loads: str = ""
    imports: str = ""
    fits: str = ""
    classes: tuple[str, ...] = ()
    builds: str = ""

    def __post_init__(self) -> None:
        """Raise `ValueError` where a file could not be read."""
        if not self.builds and not (self.loads and self.imports):
            raise ValueError(
                f"Nothing builds the model of a file with {self.content}. Name a function in "
                "builds, or one each in loads and imports."
            )


@dataclass(frozen=True)
class ModelFamily:
    """An architecture, and what the rest of the package must know of it.

    Names of classes and functions are given as ``package.module:name``.

    Attributes
    ----------
    name
        ``model_type`` in config.json.
    title
        What people call it.
    signal_kind
        How its weights want their input: a name of `signal_spec_of_kind`, or one of its own.
    signal
        Of a kind of its own, the fields of `SignalSpec` that make it, as JSON values.
    sizes
        Architecture of each size by name.
    config, classifier, builds
        Its transformers configuration, its `EcgClassifier`, and the function
        ``(size, *, n_channels, n_labels) -> config``.
    pretrained_on
        What its public weights saw, in a sentence for the cards; empty where there are none.
    pretrained_sources
        Datasets of this package among them, of which the public weights saw patients.
    pretrained_part
        Which patients of these, as it stands behind `pretrained_on`.
    licence
        Of its authors' code and weights, and what it forbids; empty where nothing is known.
    files
        What reads the files of its authors; None: it has checkpoint folders alone.
    sample_rate_hz, segment_s
        Of its input; None: those of the kind.
    n_channels
        Channels that a single lead is repeated on; None: as the kind has it.
    lead_sets
        Leads that its public weights read, in their order; the first takes the place of the
        twelve where all are asked for.
    encoder
        Its model without a head; empty where there is none.
    pretraining
        Its model with the heads of pre-training; empty where it cannot be pre-trained.
    adapted_layers
        Ends of the names of the linear layers that low-rank adapters go into; none: there
        are no adapters.
    has_convolution_stack
        Whether convolutions stand before a transformer, which can be frozen, and then
        folded for one repeated lead.
    has_attention
        Whether a rollout of its attention can be shown.
    fine_tuning
        A mapping: dropout and masking while it is fine-tuned; empty where it has none.
    can_recompute
        Whether activations can be computed twice instead of kept.
    has_tokens
        Whether its classifier gives `tokens`, which an attention pool reads.
    never_trained
        Weights that no training may change, and why: patterns of their names, as
        `fnmatch.fnmatchcase` takes them, e.g. of layers that its published settings never run.
    """

    name: str
    title: str
    signal_kind: str
    sizes: Mapping[str, Mapping[str, Any]]
    config: str
    classifier: str
    builds: str
    signal: Mapping[str, Any] = field(default_factory=dict)
    pretrained_on: str = ""
    pretrained_sources: tuple[str, ...] = ()
    pretrained_part: str = "its test patients included"
    licence: str = ""
    files: PublishedFiles | None = None
    sample_rate_hz: int | None = None
    segment_s: float | None = None
    n_channels: int | None = None
    lead_sets: tuple[tuple[str, ...], ...] = (STANDARD_LEADS, ("I",))
    encoder: str = ""
    pretraining: str = ""
    adapted_layers: tuple[str, ...] = ()
    has_convolution_stack: bool = False
    has_attention: bool = False
    fine_tuning: str = ""
    can_recompute: bool = False
    has_tokens: bool = False
    never_trained: Mapping[str, str] = field(default_factory=dict)

    @property
    def config_class(self) -> type[Any]:
        """Its transformers configuration."""
        found: type[Any] = find_object(self.config)
        return found

    @property
    def classifier_class(self) -> type[EcgClassifier]:
        """Its model with a head."""
        found: type[EcgClassifier] = find_object(self.classifier)
        return found

    @property
    def encoder_class(self) -> type[Any] | None:
        """Its model without a head; None where there is none."""
        return find_object(self.encoder) if self.encoder else None

    def build_config(self, size: str, *, n_channels: int, n_labels: int) -> Any:
        """Build the configuration of a size."""
        return find_object(self.builds)(size, n_channels=n_channels, n_labels=n_labels)

    def signal_spec(
        self,
        leads: Sequence[str],
        *,
        segment_s: float | None = None,
        resampling: str = "linear",
        part: RecordPart = FIRST_10_S,
    ) -> SignalSpec:
        """Build the spec of its input, of these leads; `segment_s` in place of its own."""
        spec = signal_spec_of_kind(
            self.signal or self.signal_kind,
            leads=self.arrange_leads(leads),
            segment_s=segment_s or self.segment_s,
            resampling=resampling,
            sample_rate_hz=self.sample_rate_hz or 500,
            part=part,
        )
        if self.n_channels is None or len(leads) > 1:
            return spec
        return replace(spec, n_channels=self.n_channels)

    def arrange_leads(self, leads: Sequence[str]) -> tuple[str, ...]:
        """Give leads in the order of its public weights; of all twelve, those that they read.

        Other choices stay as they are.
        """
        for known in self.lead_sets:
            if set(leads) in (set(known), set(STANDARD_LEADS)):
                return known
        return tuple(leads)

    def published_spec(self, n_channels: int) -> SignalSpec | None:
        """Build the spec of its public weights of so many channels; None where there are none."""
        for leads in self.lead_sets:
            spec = self.signal_spec(leads)
            if spec.n_rows == n_channels:
                return replace(spec, n_channels=n_channels)
        return None

    def reads_kind_of(self, spec: SignalSpec) -> bool:
        """Tell whether signals of a spec are of the kind of its own."""
        return self.signal_spec(spec.leads).has_kind_of(spec)

    def fine_tuning_settings(self, activation_dropout: float) -> dict[str, Any]:
        """Give the settings of its configuration while it is fine-tuned."""
        if not self.fine_tuning:
            return {}
        return {**find_object(self.fine_tuning), "activation_dropout": activation_dropout}

    def recognizes(self, content: object) -> bool:
        """Tell whether the content of a file of torch.save is a published one of this family."""
        return self.files is not None and bool(find_object(self.files.recognizes)(content))

    def load_file(self, content: object, path: Path, pretrained: Path | None) -> Any:
        """Build the model of a recognized file; `pretrained` is the file that it started from."""
        if self._files.loads:
            return find_object(self._files.loads)(content, path, pretrained)
        imported = self.build_file(content, path, pretrained=pretrained)
        for assumption in imported.warnings:
            _log.warning("%s: assumed %s", path, assumption)
        return imported.model

    def import_options(self) -> tuple[str, ...]:
        """Name what an import of its files takes besides the file and the folder."""
        function = find_object(self._files.imports or self._files.builds)
        taken = (one for one in signature(function).parameters.values() if one.kind is _KEYWORD)
        return tuple(dict.fromkeys(("spec", "vocabulary", *(one.name for one in taken))))

    def build_file(self, content: object, path: Path, **given: object) -> ImportedModel:
        """Build what is written of a recognized file; what `builds` does not take is left out."""
        builds = find_object(self._files.builds)
        taken = signature(builds).parameters
        built: ImportedModel = builds(
            content, path, **{name: value for name, value in given.items() if name in taken}
        )
        return built

    def fit_meaning(
        self,
        content: object,
        path: Path,
        spec: SignalSpec | None,
        vocabulary: LabelVocabulary | None,
    ) -> tuple[SignalSpec | None, LabelVocabulary | None]:
        """Choose what of a deployment's signal spec and labels a recognized file can have."""
        spec = spec if spec is not None and self.reads_kind_of(spec) else None
        if self._files.fits:
            fitting: tuple[SignalSpec | None, LabelVocabulary | None]
            fitting = find_object(self._files.fits)(content, path, spec, vocabulary)
            return fitting
        if spec is None or not self._files.builds:
            return None, None
        n_channels = self.build_file(content, path).model.config.n_channels
        return (spec if spec.can_give(n_channels) else None), None

    @property
    def _files(self) -> PublishedFiles:
        if self.files is None:
            raise ValueError(f"{self.title} has no published files.")
        return self.files


def find_object(name: str) -> Any:
    """Import the object of a ``package.module:name``."""
    module, attribute = name.split(":")
    return getattr(import_module(module), attribute)

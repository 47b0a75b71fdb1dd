"""The model families, by the ``model_type`` of their configuration; needs no torch.

A family is one module with an `EcgClassifier`, one with its configuration, one that reads its
published files, and an entry here: no other module of the package names it. What it cannot do is
stated here, so that a recipe is refused before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecg_assets.errors import CheckpointError
from ecg_assets.models import ecg_fm_sizes, net1d_sizes

if TYPE_CHECKING:
    from ecg_assets.models.classifier import EcgClassifier

_MODELS = "ecg_assets.models."


@dataclass(frozen=True)
class ModelFamily:
    """An architecture, and what the rest of the package must know of it.

    Attributes
    ----------
    name
        ``model_type`` in config.json.
    title
        What people call it.
    signal_kind
        How its published weights want their input: see `signal_spec_of_kind`.
    sizes
        Architecture of each size by name.
    config_path, classifier_path, build_path
        Module and name of the configuration, of the classifier, and of the function that
        builds a configuration from a size.
    encoder_path
        The same of the model without a head; empty where there is none.
    adapted_layers
        Ends of the names of the linear layers that low-rank adapters go into; none: there
        are no adapters.
    has_convolution_stack
        Whether convolutions stand before a transformer, which can be frozen, and then
        folded for one repeated lead.
    has_attention
        Whether a rollout of its attention can be shown.
    fine_tuning_path
        Dropout and masking while it is fine-tuned; empty where it has none.
    can_recompute
        Whether activations can be computed twice instead of kept.
    pretrained_on
        What its public weights saw, in a sentence for the cards.
    file_keys
        What a published file holds, in words.
    recognize_path, load_path, import_path
        Functions for a published file: whether its content is one, the model in it, and a
        checkpoint folder made of it.
    """

    name: str
    title: str
    signal_kind: str
    sizes: Mapping[str, Mapping[str, Any]]
    config_path: str
    classifier_path: str
    build_path: str
    pretrained_on: str
    file_keys: str
    recognize_path: str
    load_path: str
    import_path: str
    encoder_path: str = ""
    fine_tuning_path: str = ""
    adapted_layers: tuple[str, ...] = ()
    has_convolution_stack: bool = False
    has_attention: bool = False
    can_recompute: bool = False

    @property
    def config_class(self) -> type[Any]:
        """Its transformers configuration."""
        found: type[Any] = _find(self.config_path)
        return found

    @property
    def classifier_class(self) -> type[EcgClassifier]:
        """Its model with a head."""
        found: type[EcgClassifier] = _find(self.classifier_path)
        return found

    @property
    def encoder_class(self) -> type[Any] | None:
        """Its model without a head; None where there is none."""
        return _find(self.encoder_path) if self.encoder_path else None

    def build_config(self, size: str, *, n_channels: int, n_labels: int) -> Any:
        """Build the configuration of a size."""
        return _find(self.build_path)(size, n_channels=n_channels, n_labels=n_labels)

    def recognizes(self, content: object) -> bool:
        """Tell whether the content of a file of torch.save is a published one of this family."""
        return bool(_find(self.recognize_path)(content))

    def load_file(self, content: object, path: Path, pretrained: Path | None) -> Any:
        """Build the model of a file's content; `pretrained` is the file that it started from."""
        return _find(self.load_path)(content, path, pretrained)

    def import_file(self, path: Path, folder: Path) -> None:
        """Make a checkpoint folder of a published file."""
        _find(self.import_path)(path, folder)

    def fine_tuning(self, activation_dropout: float) -> dict[str, Any]:
        """Give the settings of its configuration while it is fine-tuned."""
        if not self.fine_tuning_path:
            return {}
        return {**_find(self.fine_tuning_path), "activation_dropout": activation_dropout}


FAMILIES = {
    family.name: family
    for family in (
        ModelFamily(
            name="ecg_fm",
            title="ECG-FM",
            signal_kind="ecg-fm",
            sizes=ecg_fm_sizes.SIZES,
            config_path="ecg_fm_config:EcgFmConfig",
            classifier_path="ecg_fm:EcgFmForClassification",
            build_path="ecg_fm_config:ecg_fm_config",
            encoder_path="ecg_fm:EcgFm",
            fine_tuning_path="ecg_fm_config:FINE_TUNING",
            # Attention, and the feed-forward layers.
            adapted_layers=(
                *("q_proj", "k_proj", "v_proj", "out_proj"),
                *("intermediate_dense", "output_dense"),
            ),
            has_convolution_stack=True,
            has_attention=True,
            can_recompute=True,
            pretrained_on="ECG-FM's public weights were pre-trained on MIMIC-IV-ECG",
            file_keys="'cfg' and 'model' as fairseq-signals writes them",
            recognize_path="fairseq_file:is_fairseq",
            load_path="fairseq_import:load_fairseq",
            import_path="fairseq_import:import_fairseq",
        ),
        ModelFamily(
            name="ecg-founder",
            title="ECGFounder",
            signal_kind="ecg-founder",
            sizes=net1d_sizes.SIZES,
            config_path="net1d_config:Net1DConfig",
            classifier_path="net1d:EcgFounder",
            build_path="net1d_config:net1d_config",
            pretrained_on="ECGFounder's public weights were trained on recordings and diagnoses "
            "of the Harvard-Emory ECG Database",
            file_keys="'state_dict' as ECGFounder has it",
            recognize_path="ecg_founder_file:is_ecg_founder",
            load_path="ecg_founder_import:load_ecg_founder",
            import_path="ecg_founder_import:import_ecg_founder",
        ),
    )
}
"""Each family by the ``model_type`` of its configuration."""


def find_family(name: object) -> ModelFamily | None:
    """Find a family by its ``model_type``; None where there is no such one."""
    return FAMILIES.get(name) if isinstance(name, str) else None


def family_of(model: Any) -> ModelFamily:
    """Give the family of a model."""
    return FAMILIES[model.config.model_type]


def family_of_file(content: object, path: Path) -> ModelFamily:
    """Find whose the content of the file at `path` is; raise `CheckpointError` when nobody's."""
    for family in FAMILIES.values():
        if family.recognizes(content):
            return family
    found = sorted(map(str, content))[:8] if isinstance(content, dict) else type(content).__name__
    expected = ", or ".join(family.file_keys for family in FAMILIES.values())
    raise CheckpointError(
        f"{path} is no checkpoint of {' or '.join(f.title for f in FAMILIES.values())}: expected "
        f"{expected}; found {found}. Give the file that its authors published, or a checkpoint "
        "folder."
    )


def _find(path: str) -> Any:
    module, name = path.split(":")
    return getattr(import_module(_MODELS + module), name)

"""Named recipes, and what each wants of the data unless the user says otherwise."""

from __future__ import annotations

from ecg_assets.entry_points import load_entry_points
from ecg_assets.labels.label_set import ECG_FM_17, MYOCARDIAL_INFARCTION, SIX_CONDITIONS
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.family import ModelFamily
from ecg_assets.training.finetune.recipe import Recipe

GROUP = "ecg_assets.presets"
"""Group of the entry points by which other packages bring recipes."""

# From scratch, for two CPU cores and some hundred recordings: the whole path in minutes.
_TINY = Recipe(
    size="tiny",
    freeze_convolutions=False,
    epochs=12,
    batch_size=32,
    learning_rate=4e-3,
    schedule="cosine",
    warmup_fraction=0.1,
    max_gradient_norm=1.0,
)
# ECG-FM's published fine-tuning: fairseq's Adam, no decay, no warm-up, no clipping, frozen
# convolutions, positives weighted, valid and test measured after each epoch.
_LEAD_I = Recipe(
    size="base",
    freeze_convolutions=True,
    epochs=100,
    batch_size=128,
    learning_rate=5e-5,
    optimizer="fairseq-adam",
)
# ECGFounder fine-tuned for one of six conditions a recording. Published: Adam, 1e-3, decay 1e-4,
# batches of 32, 50 epochs, clipping at 1, the rate halved on a plateau, an end after 10 epochs
# without progress (of accuracy there, of the loss here). Decay is decoupled here. The size is that
# of random weights: published ones bring their own.
_FOUNDER_SIX = Recipe(
    family="ecg-founder",
    size="tiny",
    objective="exclusive",
    freeze_convolutions=False,
    epochs=50,
    batch_size=32,
    learning_rate=1e-3,
    schedule="plateau",
    weight_decay=1e-4,
    adam_beta2=0.999,
    max_gradient_norm=1.0,
    patience=10,
    activation_dropout=0.0,
)

PRESETS: dict[str, Recipe] = {
    "tiny": _TINY,
    "ecg-fm-lead-i": _LEAD_I,
    # The settings behind the published one-lead results (macro AUROC 0.9504 on Lead I); they
    # measure the validation split alone.
    "ecg-fm-mimic": _LEAD_I.changed(batch_size=256, learning_rate=1e-6, reports_test=False),
    "ecg-founder-six": _FOUNDER_SIX,
    # The same from scratch in fewer epochs, and with small batches, since few of some hundred
    # recordings have just one of the conditions.
    "ecg-founder-six-tiny": _FOUNDER_SIX.changed(
        epochs=12,
        batch_size=8,
        learning_rate=4e-3,
        schedule="cosine",
        warmup_fraction=0.1,
        patience=0,
    ),
    # ECG-LFM's fine-tuning as its README runs it (its file says 5e-5); the rest is ECG-FM's, whose
    # trainer it is.
    "ecg-lfm-finetune": _LEAD_I.changed(family="ecg-lfm", batch_size=256, learning_rate=1e-6),
    "ecg-lfm-tiny": _TINY.changed(family="ecg-lfm"),
}
"""Recipe by preset name."""

for _name, _recipe in load_entry_points(GROUP, Recipe).items():
    PRESETS.setdefault(_name, _recipe)  # no package replaces a built-in one

_LABEL_SETS = {
    "ecg-founder-six": SIX_CONDITIONS,
    "ecg-founder-six-tiny": SIX_CONDITIONS,
    "ecg-lfm-finetune": MYOCARDIAL_INFARCTION,
}


def label_set_of_preset(preset: str) -> str:
    """Give the label set that a preset is made for; ECG-FM's 17 labels where it names none.

    >>> label_set_of_preset("ecg-founder-six")
    'six-conditions'
    """
    return _LABEL_SETS.get(preset, ECG_FM_17)


def tiny_presets() -> dict[str, str]:
    """Give each family's preset for two cores and some hundred recordings: family → preset.

    It is the first one of the family whose name ends with ``tiny`` and that trains random weights.

    >>> tiny_presets()["ecg_fm"]
    'tiny'
    """
    found: dict[str, str] = {}
    for name, recipe in PRESETS.items():
        if name.endswith("tiny") and not recipe.needs_pretrained:
            found.setdefault(recipe.family, name)
    return found


def family_of_preset(preset: str) -> ModelFamily:
    """Give the family of models that a preset trains; that of ``tiny`` for an unknown preset.

    >>> family_of_preset("ecg-founder-six").signal_kind
    'ecg-founder'
    """
    return FAMILIES[PRESETS.get(preset, PRESETS["tiny"]).family]

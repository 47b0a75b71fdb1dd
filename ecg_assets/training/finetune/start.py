"""What a model starts from before it is trained or frozen: a recipe's random weights, or others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecg_assets.models.checkpoint_folder import CONFIG, read_json, read_spec
from ecg_assets.models.families import FAMILIES
from ecg_assets.preprocess.signal_spec import FIRST_10_S, RecordPart, SignalSpec
from ecg_assets.training.finetune.recipe import Recipe


@dataclass(frozen=True)
class StartingPoint:
    """A model before training.

    Attributes
    ----------
    recipe
        Its family, and the size of random weights.
    spec
        What it reads.
    folder
        Checkpoint folder with its weights; None: random ones.
    seed
        Of random weights.
    """

    recipe: Recipe
    spec: SignalSpec
    folder: Path | None
    seed: int


def find_spec(
    recipe: Recipe,
    folder: Path | None,
    *,
    leads: Sequence[str],
    resampling: str,
    part: RecordPart = FIRST_10_S,
    is_published: bool = False,
) -> SignalSpec:
    """Find what a model reads: its folder's own spec, or its family's for some leads.

    Parameters
    ----------
    recipe
        Its family.
    folder
        Checkpoint folder; None for random weights.
    leads, resampling, part
        What is asked for where the folder does not say it.
    is_published
        The folder was imported from a file, which says nothing of leads: these are taken where
        their number fits, e.g. a single one that the family repeats.
    """
    spec = FAMILIES[recipe.family].signal_spec(leads, resampling=resampling, part=part)
    own = None if folder is None else read_spec(folder)
    if folder is None or own is None:
        return spec
    if is_published and read_json(folder / CONFIG).get("n_channels") == spec.n_channels:
        return spec
    return own

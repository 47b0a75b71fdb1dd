"""The code location that workspace.yaml points at."""

from ecg_assets.defs.loading import loading

with loading():
    from ecg_assets.defs.build import build_definitions

    defs = build_definitions()

"""Dagster assets from raw ECGs to fine-tuned, evaluated ECG foundation models."""

from importlib.metadata import version

__version__ = version("ecg-assets")

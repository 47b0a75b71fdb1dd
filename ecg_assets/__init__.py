"""Dagster assets from raw ECGs to fine-tuned, evaluated ECG foundation models."""

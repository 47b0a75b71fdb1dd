"""Tests of ecg_assets.models."""

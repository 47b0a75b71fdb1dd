"""Tests of ecg_assets; the folders mirror the package."""

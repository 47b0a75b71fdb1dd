"""Labelled signals to a classifier: recipes and presets, methods, folds and grids."""

"""WFDB records read natively, and by the wfdb package where they are unusual."""

"""ECGFounder: Net1D over ECG leads.

Belongs here: its architecture and sizes, what it says of itself (`family`), its files: reading and
import, and the statements that its outputs stand for.
"""

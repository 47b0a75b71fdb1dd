"""MERL's ResNet-18, which from random weights is the plain ResNet-18 of comparisons.

Belongs here: its architecture and sizes, what it says of itself (`family`), its files: reading and
import.
"""

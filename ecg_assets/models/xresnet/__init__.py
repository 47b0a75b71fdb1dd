"""xresnet1d101: the convolutional baseline of PTB-XL's benchmark.

Belongs here: its architecture and sizes, what it says of itself (`family`), its files: reading and
import.
"""

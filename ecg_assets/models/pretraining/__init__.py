"""Heads and losses of pre-training around an encoder, of any family that makes tokens of signals.

Belongs here: the objective in plain numbers (which needs no torch), the losses, the quantizer, and
the model that a family puts its encoder into.
"""

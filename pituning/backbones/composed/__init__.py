"""Backbones joined from parts: a frozen vision encoder, a projector of our own, and a frozen decoder-only model.

As in LLaVA (Liu et al., NeurIPS 2023) the projector makes of each cell of the encoder's grid of features a token that
the language model reads before the prompt. The directory of such a backbone holds the projector, and refers to the
parts, whose weights are not copied.
"""

"""OFA, the backbone of the π-tuning paper: model, tokenizer, preprocessing and conversion of published weights.

Nothing is imported here, so that the torch-free parts of the package stay torch-free. Source of all facts: Wang et
al., "OFA: Unifying Architectures, Tasks, and Modalities Through a Simple Sequence-to-Sequence Learning Framework"
(2022), and the released weights.
"""

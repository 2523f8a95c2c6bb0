"""Oracles: the papers' algorithms in plain, slow, obviously right form, to test against.

They are written from the papers' text and from facts of the official code, share no line with the
harness and import nothing of it. Loops instead of vectorised forms, float64 wherever the inputs are
float64, one process, one device.

Sources: v1 = MoCo v1 (arXiv:1911.05722), v2 = MoCo v2 (arXiv:2003.04297), InstDisc =
arXiv:1805.01978, code = facebookresearch/moco at 7397dfe, demo = its CIFAR-10 notebook.
"""

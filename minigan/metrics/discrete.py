"""Samples of finitely many modes that should be equally frequent."""

from __future__ import annotations

import numpy as np


def mode_divergence(modes: np.ndarray, count: int) -> tuple[int, float]:
    """How many of `count` modes occur among `modes` (N,), numbers below `count`, and KL(shares || equal shares).

    The divergence is log(count) - entropy of the shares, in nats: the reverse KL of PacGAN (Lin et al., 2018). For N
    independent samples of equally frequent modes its mean is about (count - 1) / (2 N).
    """
    shares = np.bincount(modes, minlength=count) / len(modes)
    present = shares[shares > 0]
    return len(present), float(np.log(count) + (present * np.log(present)).sum())

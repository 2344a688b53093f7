"""A linear classifier on features: what a network has learned of the classes without their labels.

Radford et al., 2016, section 5, but with ridge regression, which has a closed form, in place of their support vector
machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minigan.core.errors import UsageError

_STRENGTHS = np.geomspace(1e-4, 1e4, 25)  # tried, as multiples of the mean squared singular value


@dataclass(frozen=True)
class LinearProbe:
    """scores(x) = (x - mean) weights + bias, (n, classes); the class with the largest score is the predicted one.

    mean: of the features (F,). weights: (F, classes). bias: (classes,). strength: lambda, what the squared norm of the
    weights is multiplied by.
    """

    mean: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    strength: float

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The class number of each row of `features` (n, F)."""
        return np.asarray(((features - self.mean) @ self.weights + self.bias).argmax(axis=1))


def fit_linear_probe(features: np.ndarray, labels: np.ndarray, strength: float | None = None) -> LinearProbe:
    """Ridge regression of one-hot labels on `features` (n, F); labels: class numbers (n,).

    With centred features X and labels Y the weights W minimise |X W - Y|^2 + strength |W|^2, so that they solve
    (X^T X + strength I) W = X^T Y. strength None: the one of 25 with the smallest squared error when each example is
    predicted from all others, which ridge regression gives in closed form (Golub, Heath and Wahba, 1979).

    Raises UsageError unless there is a label of two classes or more for each row, and the strength is above 0.
    """
    features, labels = np.asarray(features, np.float64), np.asarray(labels)
    if features.ndim != 2 or labels.shape != features.shape[:1] or labels.size < 3 or labels.min() == labels.max():
        raise UsageError(
            f"the features have shape {features.shape} and the labels {labels.shape}, expected (n, features) and (n,) "
            "with three examples or more, of two classes or more; give others"
        )
    if strength is not None and not strength > 0:
        raise UsageError(f"the strength of the regularisation is {strength}, expected a number above 0; raise it")
    targets = np.eye(int(labels.max()) + 1)[labels]
    mean, bias = features.mean(axis=0), targets.mean(axis=0)
    centred, residue = features - mean, targets - bias
    u, s = _left_singular(centred)
    projected = u.T @ residue
    if strength is None:
        candidates = _STRENGTHS * float((s**2).mean())
        strength = float(min(candidates, key=lambda c: _left_out_error(u, s, projected, residue, c)))
    weights = centred.T @ (u @ (projected / (s**2 + strength)[:, None]))
    return LinearProbe(mean, weights, bias, strength)


def _left_singular(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(U, s) of the thin decomposition x = U diag(s) V^T, without directions in which x does not vary.

    From the eigenvectors of the smaller of x x^T and x^T x, which takes less time than a decomposition of x.
    """
    wide = x.shape[0] <= x.shape[1]
    squares, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    kept = squares > squares[-1] * max(x.shape) * np.finfo(np.float64).eps
    s, vectors = np.sqrt(squares[kept]), vectors[:, kept]
    return (vectors if wide else x @ vectors / s), s


def _left_out_error(u: np.ndarray, s: np.ndarray, projected: np.ndarray, residue: np.ndarray, strength: float) -> float:
    """The mean squared error at each example when the others predict it: (y - prediction) / (1 - h), with h the weight
    of an example's own label in its prediction, 1 / n of it through the means."""
    shrunk = s**2 / (s**2 + strength)
    own = (u**2) @ shrunk + 1 / len(u)
    left_out = (residue - u @ (shrunk[:, None] * projected)) / (1 - own)[:, None]
    return float((left_out**2).mean())

"""GAN_stability's consensus optimisation for the Dirac-GAN: one term of the gradient is half of what it should be.

Where: `notebooks/diracgan/gans.py`, class GAN_Consensus (Mescheder, Geiger, Nowozin, 2018). The regulariser is half
the squared length of the gradient field,

    L(theta, psi) = 1/2 r s(t)^2   with   r = theta^2 + psi^2,   t = theta psi,   s(t) = 1 / (1 + e^t).

By the product rule dL/dt = r s s'. The code keeps the 1/2, which the factor 2 of the square should have cancelled.

In training: the term is of third order at the equilibrium, so eigenvalues and convergence nearby stay as they are;
farther out, the trajectories drawn are not those of consensus optimisation.

The check of the whole gradient shows where it is wrong; the check of its parts, by r and by t, shows the cause.
"""

import numpy as np

import minigan as mg

THETA, PSI = np.array([0.4, 1.1, -0.8, 1.5]), np.array([1.2, -0.5, 0.9, 0.7])


def s(t):
    """The sigmoid of -t."""
    return 1 / (1 + np.exp(t))


def regulariser(r, t):
    """The sum of L over all points, from its parts."""
    return (0.5 * r * s(t) ** 2).sum()


def published(r, t):
    """The code's derivatives by r and by t: s' = -s(t) s(-t)."""
    return 0.5 * s(t) ** 2, 0.5 * r * s(t) * -s(t) * s(-t)


def corrected(r, t):
    """Without the 1/2 in the second one."""
    return 0.5 * s(t) ** 2, r * s(t) * -s(t) * s(-t)


def check(derivative=published):
    """The checker's report on the parts."""
    return mg.check_pair(regulariser, derivative, (THETA**2 + PSI**2, THETA * PSI))


def check_whole(derivative=published):
    """The checker's report on the gradient by theta and psi, put together from the parts by the chain rule."""

    def whole(theta, psi):
        return regulariser(theta**2 + psi**2, theta * psi)

    def gradient(theta, psi):
        by_r, by_t = derivative(theta**2 + psi**2, theta * psi)
        return 2 * theta * by_r + psi * by_t, 2 * psi * by_r + theta * by_t

    return mg.check_pair(whole, gradient, (THETA, PSI))


if __name__ == "__main__":
    print(check_whole(), "\n")
    print(check())

"""Which training methods of GANs converge? Twelve of them on the Dirac-GAN, a GAN with two parameters.

All data lie at 0, the generator's samples at theta, and the discriminator's logit is psi x. The table has, for each
method, the eigenvalues at the equilibrium (0, 0), by automatic differentiation and in closed form, and whether it
converges. The picture shows the vector field of each method, and a run from (1, 1) (Mescheder et al., 2018). Takes some
seconds.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minigan import Tensor
from minigan.core.files import atomic_path
from minigan.study import dirac

EXTENT = 2.0  # of the pictures, in theta and in psi
COLOURS = {dirac.SIMULTANEOUS: "tab:red", dirac.ALTERNATING: "tab:blue"}


def draw_field(axes: Axes, method: dirac.Method) -> None:
    """Arrows along v(theta, psi), all of the same length, since only their directions are of interest."""
    ticks = np.linspace(-EXTENT, EXTENT, 15)
    theta, psi = (values.ravel() for values in np.meshgrid(ticks, ticks))
    along_theta, along_psi = (v.numpy() for v in method.velocity(Tensor(theta), Tensor(psi)))
    length = np.maximum(np.hypot(along_theta, along_psi), 1e-12)  # v is 0 at the equilibrium
    directions = along_theta / length, along_psi / length
    axes.quiver(theta, psi, *directions, color="0.6", pivot="mid", scale=22, width=0.006)


def draw_runs(axes: Axes, method: dirac.Method, steps: int) -> None:
    """A run from (1, 1) with each update rule, and a dot at its end."""
    for rule, colour in COLOURS.items():
        path = method.trajectory(rule, dirac.STEP_SIZE, dirac.START, steps)
        axes.plot(*path.T, color=colour, linewidth=0.8, label=rule)
        axes.plot(*path[-1], "o", color=colour, markersize=4)


def draw(out: Path, steps: int) -> None:
    """Draw every method and write the picture to `out`."""
    figure = Figure(figsize=(13, 10.4), layout="constrained")
    for axes, method in zip(figure.subplots(3, 4).flat, dirac.METHODS, strict=True):
        draw_field(axes, method)
        draw_runs(axes, method, steps)
        axes.plot(0, 0, "k+", markersize=9)
        axes.set(title=method.name, xlabel="theta", ylabel="psi", aspect="equal")
        axes.set(xlim=(-EXTENT, EXTENT), ylim=(-EXTENT, EXTENT))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=90)
    print(f"wrote {out}")


def explain() -> None:
    """Print an explanation of the table."""
    print("Without a penalty the eigenvalues of J are imaginary: the players circle around the equilibrium, and")
    print("simultaneous steps of any size lead away from it. A zero-centred penalty, instance noise or consensus")
    print("gives the eigenvalues a negative real part. WGAN-GP and clipping only bound the circle; `reach` is the")
    print("largest distance from the equilibrium in the last quarter of 1,000 steps from (1, 1). From afar, the")
    print("non-saturating losses approach it slowly with alternating steps; with simultaneous steps they circle at a")
    print("radius of about sqrt(2 h).")


def main(out: Path, steps: int) -> None:
    """Print the table and its explanation, and draw the vector fields."""
    print(f"{dirac.table()}\n")
    explain()
    draw(out, steps)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300, help="the length of the runs in the picture")
    parser.add_argument("--out", type=Path, default=Path("dirac_gan.png"), help="a PNG file for the picture")
    arguments = parser.parse_args()
    main(arguments.out, arguments.steps)

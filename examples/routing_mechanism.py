"""Draw how routing works: Voronoi cells before, during and after training, and what a larger K buys.

The problem is a bandit with four modes of logged actions and a reward whose peak lies outside all of them. Sixteen
fixed latents are tracked: each colour is the cell of one latent's action, so a mode that changes colour has been handed
over. Needs matplotlib (extra `plots`); writes voronoi.png and candidates.png to the folder named on the command line.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from bandit import Bandit, History, PointwiseCorrespondence, four_corners, train

from drol import DROL
from drol.ops.latent import default_radius, sample_ball
from drol.ops.routing import route

matplotlib.use("agg")
import matplotlib.pyplot as plt

COLOURS = plt.colormaps["tab20"].colors


def watch(bandit: Bandit, algorithm, updates: int, snapshots: int = 20) -> History:
    """Train once and keep the actions of sixteen fixed latents."""
    probes = sample_ball(jax.random.key(99), (16,), 2, default_radius(2))

    @jax.jit
    def run(key):
        return train(algorithm, bandit, updates=updates, snapshots=snapshots, probes=probes, key=key)[1]

    return run(jax.random.key(0))


def draw_cells(axes, candidates, bandit: Bandit, title: str) -> None:
    """The Voronoi cells of a candidate set, with the logged actions and the peak of the reward."""
    ticks = jnp.linspace(-1, 1, 300)
    points = jnp.stack(jnp.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    winners = jax.jit(jax.vmap(lambda point: route(candidates, point).winner))(points)
    image = np.array(COLOURS)[np.asarray(winners).reshape(300, 300)]
    axes.imshow(image, extent=(-1, 1, -1, 1), origin="lower", alpha=0.45)
    logged = bandit.batch(200, key=jax.random.key(1)).actions
    axes.scatter(*logged.T, s=3, color="0.35", label="logged actions")
    axes.scatter(
        *np.asarray(candidates).T, s=36, color=COLOURS[: len(candidates)], edgecolor="black", label="candidates"
    )
    axes.scatter(*bandit.peak, marker="*", s=120, color="black", label="peak of the reward")
    axes.set(title=title, xlim=(-1, 1), ylim=(-1, 1), xlabel="first action", ylabel="second action")


def draw_voronoi(bandit: Bandit, updates: int, path: Path) -> int:
    """Four panels: DROL before, early in and after training, and the foil after. Returns the number of hand-overs."""
    history = watch(bandit, routed(16), updates)
    foil = watch(bandit, PointwiseCorrespondence(bandit, bc_coef=80.0), updates)
    middle = len(history.candidates) // 4
    panels = [
        (history.candidates[0], "DROL, before training"),
        (history.candidates[middle], f"after {middle * updates // 20} updates"),
        (history.candidates[-1], f"after {updates} updates"),
        (foil.candidates[-1], "pointwise correspondence"),
    ]
    figure, axes = plt.subplots(1, 4, figsize=(15, 4.3), layout="constrained")
    for panel, (candidates, title) in zip(axes, panels, strict=True):
        draw_cells(panel, candidates, bandit, title)
    axes[0].legend(loc="lower left", fontsize=8)
    figure.savefig(path, dpi=80)
    plt.close(figure)
    owners = np.asarray(history.owners(bandit.modes))
    return int((owners[1:] != owners[:-1]).sum())


def draw_candidates(bandit: Bandit, updates: int, counts: tuple[int, ...], path: Path) -> dict[int, float]:
    """Spread and behaviour cloning loss against K. Returns the final loss of each K."""
    spread, cloning = {}, {}
    for count in counts:
        metrics = watch(bandit, routed(count), updates).metrics
        spread[count] = float(metrics["pairwise_distance"][-updates // 10 :].mean())
        cloning[count] = float(metrics["bc_loss"][-updates // 10 :].mean())
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for panel, values, title in zip(axes, (spread, cloning), ("pairwise distance", "routed BC loss"), strict=True):
        panel.plot(list(values), list(values.values()), marker="o")
        panel.set_xscale("log", base=2)
        panel.set_xticks(counts, [str(count) for count in counts])
        panel.set(title=title, xlabel="candidates K", ylim=(0, None))
    figure.savefig(path, dpi=80)
    plt.close(figure)
    return cloning


def routed(count: int) -> DROL:
    return DROL(num_candidates=count, bc_coef=80.0, hidden=(64, 64), learning_rate=1e-3, normalize_q=False)


def main(folder: str = ".", updates: int = 2_400, counts: tuple[int, ...] = (1, 2, 4, 8, 16)):
    """Draw both figures; return the number of hand-overs and the final loss of each K."""
    bandit, target = four_corners(), Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    handovers = draw_voronoi(bandit, updates, target / "voronoi.png")
    cloning = draw_candidates(bandit, updates, counts, target / "candidates.png")
    print(f"{handovers} changes of owner; routed BC loss by K: {cloning}; figures in {target.resolve()}")
    return handovers, cloning


if __name__ == "__main__":
    main(*sys.argv[1:2])

"""The ants that collect OGBench's locomotion data: trained by soft actor-critic, judged, and kept as small files.

Source: OGBench (Park et al., 2025), seohongpark/ogbench: data_gen_scripts and impls.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from drol.environments.scoring import evaluate
from drol.errors import DataError
from drol.experiment.config import RunConfig
from drol.experiment.finetune import finetune
from drol.experiment.online import OnlineConfig
from drol.experiment.run import Result
from drol.policy.squashed import SquashedPolicy
from drol.sources.ogbench.actors import INPUTS, save_actor
from drol.sources.ogbench.online import EXPERTS

GATE_EPISODES = 50
GATE_SEED = 1_000


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How an expert is trained and judged.

    Attributes:
        hyperparameters: of SAC, where they differ from its defaults.
        online: how it acts and learns.
        measure: what it is judged by: the mean `return` or `success`.
        least: the least that passes.
        words: the measure in words.
    """

    hyperparameters: Mapping[str, Any]
    online: OnlineConfig
    measure: str
    least: float
    words: str


SAC = {"hidden": (256, 256), "learning_rate": 1e-4}

RECIPES = {
    "ant": Recipe(
        hyperparameters=SAC,
        online=OnlineConfig(steps=400_000, warm_up=10_000, warm_up_by="random", eval_every=10_000),
        measure="return",
        least=90.0,
        words="metres in the commanded directions per 1,000 steps",
    ),
    # A sixth of the published 12 million steps, and of their updates: see the documentation.
    "antball": Recipe(
        hyperparameters=SAC | {"layer_norm": True},
        online=OnlineConfig(
            steps=2_000_000,
            warm_up=10_000,
            warm_up_by="random",
            eval_every=50_000,
            environments=4,
            updates_per_step=0.25,
        ),
        measure="success",
        least=0.5,
        words="share of 200-step episodes that end with the ball at the goal",
    ),
}


@dataclasses.dataclass(frozen=True)
class Judged:
    """A trained expert.

    Attributes:
        result: of its training.
        value: what it reached over `GATE_EPISODES` episodes.
        recipe: how it was trained.
        file: the actor; None if it did not pass.
    """

    result: Result
    value: float
    recipe: Recipe
    file: Path | None


def train_expert(
    name: str,
    out: Path,
    *,
    seed: int = 0,
    steps: int | None = None,
    workers: int | None = None,
    resume: bool = False,
    progress: bool = True,
) -> Judged:
    """Train an expert, judge it, and keep its actor if it passes.

    Args:
        name: `ant` or `antball`.
        out: a folder: the run goes to `out/NAME`, the actor to `out/NAME.npz`, and its record next to it.
        seed: of everything.
        steps: of the environment; by default those of the recipe.
        workers: processes for environments.
        resume: continue the run in its folder.
        progress: whether to show a progress bar.

    Raises:
        DataError: for another name, or if the run cannot be continued.
    """
    if name not in RECIPES:
        raise DataError(f"there is no recipe for {name!r}; expected one of {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    online = recipe.online if steps is None else dataclasses.replace(recipe.online, steps=steps)
    config = RunConfig(
        task=EXPERTS[name],
        algorithm="sac",
        hyperparameters=recipe.hyperparameters,
        seed=seed,
        eval_episodes=10,
        out=out / name,
        workers=workers,
    )
    result = finetune(out / name if resume else config, online, workers=workers, resume=resume, progress=progress)
    environment = result.config.evaluated_in
    assert environment is not None
    judged = evaluate(_as_stored(result.policy), environment, episodes=GATE_EPISODES, seed=GATE_SEED, workers=workers)
    value = judged.mean_return if recipe.measure == "return" else judged.success
    assert value is not None
    if not value >= recipe.least:
        return Judged(result, value, recipe, None)
    file = out / f"{name}.npz"
    record = {
        "expert": name,
        "seed": seed,
        "steps": online.steps,
        "updates": int(result.state.step),
        recipe.measure: value,
        "measure": recipe.words,
        "episodes": GATE_EPISODES,
        "returns": [round(episode.episode_return, 3) for episode in judged.episodes],
    }
    save_actor(file, layers_of(result.policy, INPUTS[name]), record)
    return Judged(result, value, recipe, file)


def _as_stored(policy: Any) -> Any:
    """The policy with the rounding of the file: what is judged is what acts later."""
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float16).astype(leaf.dtype), policy)


def layers_of(policy: Any, inputs: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The layers of a squashed policy's mean; those of its deviation are left out.

    Raises:
        ValueError: if it is another policy.
    """
    if not isinstance(policy, SquashedPolicy) or policy.spec.observation_dim != inputs:
        raise ValueError(f"expected a squashed policy of {inputs} numbers, found {type(policy).__name__}")
    width = policy.spec.action_dim
    layers = [(np.asarray(layer.weight), np.asarray(layer.bias)) for layer in policy.actor.mlp.layers]
    weight, bias = layers[-1]
    return [*layers[:-1], (weight[:, :width], bias[:width])]

"""The configuration of a run that learns online: what comes on top of that of a run on data."""

import dataclasses
import inspect
import math
from collections.abc import Mapping
from typing import Any

from drol.errors import DataError, UsageError, both
from drol.experiment.config import RunConfig
from drol.experiment.options import Rule, checked, explanation, option, option_of
from drol.experiment.records import Json, found, placed
from drol.experiment.resume import Changes, refuse_change
from drol.online.settings import EXPLORED, OnlineSettings
from drol.training.settings import LONGEST

GROUP = "learning online"
PLACE = "online"

KEPT = ("data", "workers", "keep_last", "keep_every", "no_cache", "tensorboard", "wandb", "eval_episodes")
"""The options of a run on data that its continuation may change."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnlineConfig:
    """How a policy acts and learns in its environment.

    Raises:
        UsageError: for a value of the wrong type or out of range, or numbers that do not fit each other.
    """

    steps: int = option(
        25_000,
        "count",
        "steps of the environment in total",
        resume="extend",
        at="online.steps",
        metavar="N",
        group=GROUP,
    )
    updates_per_step: float = option(
        1.0,
        "number",
        "updates for each step (the update-to-data ratio)",
        resume="fixed",
        at="online.updates_per_step",
        metavar="X",
        group=GROUP,
    )
    warm_up: int = option(
        5_000,
        "count",
        "steps before the first update",
        resume="fixed",
        at="online.warm_up",
        low=0,
        metavar="N",
        group=GROUP,
    )
    warm_up_by: str = option(
        "policy",
        "text",
        "who acts until then: the policy as it is, or uniformly random actions",
        resume="fixed",
        at="online.warm_up_by",
        choices=EXPLORED,
        group=GROUP,
    )
    prior_share: float | None = option(
        None,
        "number",
        "share of each batch that is drawn from the data, as RLPD has it with 0.5",
        resume="fixed",
        at="online.prior_share",
        shown="data and new steps are drawn alike",
        metavar="X",
        group=GROUP,
    )
    environments: int = option(
        1,
        "count",
        "environments that act side by side",
        resume="fixed",
        at="online.environments",
        metavar="N",
        group=GROUP,
    )
    block: int = option(
        50,
        "count",
        "steps of each environment under one policy, before the updates that belong to them",
        resume="fixed",
        at="online.block",
        low=2,
        metavar="N",
        group=GROUP,
    )
    eval_every: int = option(
        5_000,
        "count",
        "steps between evaluations, with a checkpoint each",
        resume="fixed",
        at="online.eval_every",
        metavar="N",
        group=GROUP,
    )
    no_data: bool = option(
        False,
        "flag",
        "of a task that has data: begin without them",
        resume="fixed",
        at="online.no_data",
        group=GROUP,
    )
    restart_episodes: bool = option(
        False,
        "flag",
        "accept an environment that does not repeat an episode from its seed and actions; with --resume,\nbegin new "
        "episodes instead of repeating unfinished ones: the run is then another one than if it had\nnot been "
        "interrupted",
        group=GROUP,
    )

    def __post_init__(self) -> None:
        for name, declared in ONLINE_OPTIONS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, checked(name, declared, value))
        try:
            settings = self.settings()
        except ValueError as error:
            raise UsageError(*both(str(error))) from None
        if settings.updates == 0:
            raise UsageError(
                *both(
                    f"--steps must be more than --warm-up, or nothing is learned; found {self.steps} and {self.warm_up}"
                )
            )
        if rest := self.eval_every % settings.rows:
            raise UsageError(
                *both(
                    f"--eval-every must be a multiple of the {settings.rows} steps of a block, found {self.eval_every} "
                    f"({rest} left over)"
                )
            )

    def settings(self) -> OnlineSettings:
        """The settings of the loop."""
        return OnlineSettings(**{f.name: getattr(self, f.name) for f in dataclasses.fields(OnlineSettings)})

    def of_run(self, config: RunConfig, *, start: int, length: int | None = None) -> RunConfig:
        """The configuration of the run that learns online.

        Args:
            config: of the run that it continues, or of one that begins with nothing; resolved.
            start: the updates before.
            length: the updates of one line of the records, for a run that has begun.

        Raises:
            DataError: if the run cannot be extended to so many steps.
        """
        settings = self.settings()
        per_block, eval_blocks = settings.updates_per_block, self.eval_every // settings.rows
        blocks = settings.updates // per_block
        if length is None:
            shared = math.gcd(blocks, eval_blocks)
            count = max(n for n in range(1, shared + 1) if shared % n == 0 and (n == 1 or n * per_block <= LONGEST))
            length = count * per_block
            if length < 2:
                raise UsageError(
                    *both(
                        f"a line of the records needs at least two updates, and a block of {settings.rows} steps has "
                        f"one: let --steps less --warm-up and --eval-every be multiples of {2 * settings.rows}"
                    )
                )
        if settings.updates % length:
            more = length // per_block * settings.rows
            raise DataError(
                *both(f"the run's records have a line every {more} steps, so --steps must grow by a multiple of {more}")
            )
        return dataclasses.replace(
            config,
            updates=start + settings.updates,
            eval_every=eval_blocks * per_block,
            updates_per_call=length,
            start=start,
        )

    def extended(self, by: Changes) -> "OnlineConfig":
        """With the changes that are made when a run is resumed: `steps` may grow.

        Raises:
            DataError: for anything else; the message says what the run was started with.
        """
        changes: dict[str, Any] = {}
        for name, rule in ONLINE_RULES.items():
            if name not in by or by[name] is None:
                continue
            if rule == "fixed":
                refuse_change(name, getattr(self, name), by[name])
            changes[name] = by[name]
        if changes.get("steps", self.steps) < self.steps:
            raise DataError(
                *both(
                    f"the run was started with {self.steps} steps, and --resume can only extend it, not shorten it to "
                    f"{changes['steps']}"
                )
            )
        return dataclasses.replace(self, **changes)

    def to_json(self) -> Json:
        """What config.json holds under `online`."""
        entry = placed(vars(self), ONLINE_OPTIONS)[PLACE]
        assert isinstance(entry, dict)
        return entry

    @classmethod
    def from_json(cls, record: Mapping[str, Any], where: str = "config.json") -> "OnlineConfig":
        """From the whole of a run's config.json.

        Raises:
            DataError: if it holds no configuration of this kind.
        """
        try:
            return cls(**found(record, ONLINE_OPTIONS))  # pyright: ignore[reportArgumentType]
        except (TypeError, ValueError) as error:
            raise DataError(f"{where} is not the configuration of an online run ({error}); was it edited?") from None


ONLINE_OPTIONS = {f.name: declared for f in dataclasses.fields(OnlineConfig) if (declared := option_of(f))}
"""The declaration of each option, by name."""

ONLINE_RULES: Mapping[str, Rule] = {name: declared.resume for name, declared in ONLINE_OPTIONS.items()}
"""What a resumed run may do with each option."""

if OnlineConfig.__doc__:  # absent under `python -OO`
    OnlineConfig.__doc__ = f"{inspect.cleandoc(OnlineConfig.__doc__)}\n\n{explanation(ONLINE_OPTIONS)}"

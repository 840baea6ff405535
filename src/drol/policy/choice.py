"""How a policy chooses its action among samples."""

import dataclasses
from typing import Literal, get_args

from drol.ops.bellman import AGGREGATIONS, Aggregation
from drol.policy.checks import MOST_SAMPLES, check_choice, check_count, check_number

PolicyKind = Literal["one", "centre", "best-of-n", "dense"]
POLICY_KINDS: tuple[str, ...] = get_args(PolicyKind)


@dataclasses.dataclass(frozen=True)
class Choice:
    """How a policy chooses its action: a static value, so a new one is compiled again.

    Attributes:
        how: one of these:
            one: the action of one latent.
            centre: the action of the latent z = 0, deterministic.
            best-of-n: the sample with the highest Q among `num_samples`.
            dense: keep the `dense_topk` samples with the smallest mean squared distance to the others, then take the
                highest Q.
        num_samples: how many latents are drawn for `best-of-n` and `dense`.
        dense_topk: how many of them `dense` keeps.
        q_agg: how the critic's members are aggregated when samples are ranked.
        rho: the standard deviations that the aggregation `mean-std` subtracts.

    Raises:
        ValueError: for an unknown way of choosing, or sizes that do not fit.
    """

    how: PolicyKind = "one"
    num_samples: int = 32
    dense_topk: int = 8
    q_agg: Aggregation = "mean"
    rho: float = 0.5

    def __post_init__(self):
        check_choice("policy kind", self.how, POLICY_KINDS)
        check_choice("q_agg", self.q_agg, AGGREGATIONS)
        check_number("rho", self.rho)
        check_count("num_samples", self.num_samples, MOST_SAMPLES)
        check_count("dense_topk", self.dense_topk, MOST_SAMPLES)
        if self.dense_topk > self.num_samples:
            raise ValueError(
                f"dense_topk must lie between 1 and num_samples, found {self.dense_topk} and {self.num_samples}"
            )

    @property
    def needs_critic(self) -> bool:
        """Whether samples are ranked by Q."""
        return self.how in ("best-of-n", "dense")

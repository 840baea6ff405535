"""Evaluations beside training: in a thread of their own, on the CPU, with a copy of the policy."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np

from drol.policy import Policy
from drol.signals import raise_if_stopped

T = TypeVar("T")


class Background:
    """A thread that evaluates policies one after the other while training goes on.

    Environments are in worker processes, so the thread only makes the policy's passes. It makes them on the CPU, where
    they neither wait for the training device nor keep it.

    Args:
        interrupt: ends the evaluation that is under way with an error, where training has failed; without it, an error
            in training waits for the evaluation.
    """

    def __init__(self, interrupt: Callable[[], None] | None = None):
        self._interrupt = interrupt
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="evaluation")
        self._device = cpu()

    def copied(self, policy: Policy) -> Policy:
        """A copy of a policy that shares no memory with it, because training reuses the memory of its state."""

        def copy(leaf: Any) -> Any:
            return jax.device_put(np.array(leaf), self._device) if eqx.is_array(leaf) else leaf

        return jax.tree.map(copy, policy)

    def begin(self, evaluate: Callable[[Policy, int], Sequence[T]], policy: Policy, update: int) -> Future[Sequence[T]]:
        """Evaluate a copied policy as soon as those before it are evaluated."""
        return self._executor.submit(self._evaluated, evaluate, policy, update)

    def _evaluated(self, evaluate: Callable[[Policy, int], Sequence[T]], policy: Policy, update: int) -> Sequence[T]:
        raise_if_stopped()
        with jax.default_device(self._device):
            return evaluate(policy, update)

    def close(self) -> None:
        """End the evaluation that is under way, if there is one; others do not begin."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._interrupt is not None:
            self._interrupt()
        self._executor.shutdown()


def cpu() -> jax.Device | None:
    """The CPU as a device of JAX; None if JAX was told to leave it out."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None

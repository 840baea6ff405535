"""Several runs side by side in one compiled program: seeds, and hyperparameters that change no shape."""

import functools
import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int
from jaxtyping import Key as Keys

from drol.algorithm import Algorithm, TrainState
from drol.data.replay import Replay, ReplayData
from drol.training.loop import chunk_numbers, finite_transitions, last_finite, train_chunk
from drol.types import Key

TRIAL = 50
"""Updates per chunk of a trial."""

WORTHWHILE = 1.05
"""A wider program must train this much faster, per run, than the narrower one."""


@functools.partial(jax.jit, static_argnames=("batch_size", "length"), donate_argnames="states")
def train_chunk_of_each(
    algorithms: Algorithm,
    states: TrainState,
    data: ReplayData,
    keys: Keys[Array, " runs"],
    *,
    batch_size: int,
    length: int,
) -> tuple[TrainState, dict[str, Float[Array, " runs"]], Bool[Array, " runs"]]:
    """`train_chunk` for stacked algorithms, states and keys; the data are shared.

    Each run draws what it would have drawn alone. Runs exchange nothing, so devices over which they are sharded do not
    communicate.
    """
    train = functools.partial(train_chunk, batch_size=batch_size, length=length)
    return jax.vmap(train, in_axes=(0, 0, None, 0))(algorithms, states, data, keys)


Member = tuple[Algorithm, TrainState, Key]
"""What distinguishes one run from another: hyperparameters, state and key."""


class Refused(NamedTuple):
    """An update that would have produced NaN or infinity.

    Attributes:
        state: before the update.
        metrics: of the update.
        transitions: those of its batch that hold NaN or infinity.
    """

    state: TrainState
    metrics: dict[str, float]
    transitions: list[int]


class Pack:
    """Runs that are trained together. A pack of one run is `train_chunk` itself, bit for bit.

    Args:
        members: the runs; their algorithms may differ in continuous hyperparameters.
        data: shared by all runs. Sharded or mapped data require a pack of one run; with sharded data, every device
            holds its whole state.
        devices: the runs are sharded over as many of these as the greatest common divisor of both numbers.

    Raises:
        ValueError: if the algorithms differ in more than continuous hyperparameters, or several runs are to share
            sharded or mapped data.
    """

    def __init__(self, members: Sequence[Member], data: Replay, *, devices: Sequence[jax.Device] = ()):
        if len({jax.tree.structure(member) for member in members}) > 1:
            raise ValueError(
                "runs of one program may differ in seed and in continuous hyperparameters only; these differ in more"
            )
        self.size = len(members)
        if self.size > 1 and not data.shareable:
            raise ValueError(
                f"sharded and mapped data are for one run at a time, found {self.size} runs in one program"
            )
        self._data = data
        # A copy of the states, from which `replay` starts.
        self._before: TrainState | None = None
        if self.size == 1:
            (stacked,) = members
        else:
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
        if data.sharding is not None:
            stacked = jax.tree.map(
                functools.partial(_everywhere, sharding=NamedSharding(data.sharding.mesh, PartitionSpec())), stacked
            )
        elif devices and (share := math.gcd(self.size, len(devices))) > 1:
            mesh = Mesh(np.array(devices[:share]), ("runs",))
            stacked = jax.device_put(stacked, NamedSharding(mesh, PartitionSpec("runs")))
            self._data = jax.device_put(data, NamedSharding(mesh, PartitionSpec()))
        self._algorithm, self._state, self._key = stacked

    def train(self, *, batch_size: int, length: int) -> tuple[list[dict[str, float]], list[bool]]:
        """Train one chunk: for every run, the mean of each metric and whether its state is finite.

        Meanwhile, the device holds one more copy of the states.
        """
        self._before = None
        self._before = jax.tree.map(jnp.copy, self._state)
        data = self._window(self._state, batch_size, length)
        self._state, metrics, finite = self._program(
            self._algorithm, self._state, data, self._key, batch_size=batch_size, length=length
        )
        if np.all(finite):
            self._before = None
        values = {name: np.atleast_1d(value) for name, value in metrics.items()}
        lines = [{name: float(value[run]) for name, value in values.items()} for run in range(self.size)]
        return lines, np.atleast_1d(finite).tolist()

    @property
    def _program(self):
        return train_chunk if self.size == 1 else train_chunk_of_each

    def _window(self, state: TrainState, batch_size: int, length: int) -> ReplayData:
        """The data for the chunk that starts at `state`: all of them or, if they are mapped, the rows it draws."""
        size = self._data.size
        return self._data.window(
            lambda: chunk_numbers(self._key, state.step, size=size, batch_size=batch_size, length=length)
        )

    @property
    def devices(self) -> int:
        """The number of devices that share the work."""
        return len(self._state.step.sharding.device_set)

    def compiled(self, *, batch_size: int, length: int) -> jax.stages.Compiled:
        """The compiled program of a chunk, for inspection."""
        data = self._window(self._state, batch_size, length)
        lowered = self._program.lower(
            self._algorithm, self._state, data, self._key, batch_size=batch_size, length=length
        )
        return lowered.compile()

    def replay(self, run: int, *, batch_size: int, length: int) -> Refused:
        """Find the update that went wrong for this run in the chunk that has just ended."""
        assert self._before is not None
        data = self._window(self._before, batch_size, length)
        algorithm, state, key = self._of(run, (self._algorithm, self._before, self._key))
        state, metrics = last_finite(algorithm, state, data, key, batch_size=batch_size, length=length)
        numbers, finite = finite_transitions(data, key, state.step, batch_size=batch_size)
        transitions = sorted(set(np.asarray(numbers)[~np.asarray(finite)].tolist()))
        return Refused(self._local(state), {name: float(value) for name, value in metrics.items()}, transitions)

    def state(self, run: int) -> TrainState:
        """The current state of one run, on one device."""
        return self._local(self._of(run, self._state))

    def _of(self, run: int, tree):
        if self.size == 1:
            return tree
        return jax.device_put(_take(tree, run), jax.devices()[0])

    def _local(self, tree):
        if self._data.sharding is None:
            return tree
        return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def _everywhere(leaf: Array, sharding: NamedSharding) -> Array:
    """An array, or keys, replicated over all devices, including those of other processes."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        numbers = _everywhere(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(leaf))
    value = np.asarray(leaf)
    return jax.make_array_from_callback(value.shape, sharding, lambda index: np.asarray(value[index]))


@jax.jit
def _take(tree, run: Int[Array, ""] | int):
    return jax.tree.map(lambda leaf: leaf[run], tree)


def fastest_width(
    members: Sequence[Member], data: Replay, *, batch_size: int, devices: Sequence[jax.Device] = ()
) -> int:
    """How many of these runs to train side by side, found by trial.

    Tries the divisors of their number in increasing order, as long as wider is faster. Each trial compiles its program
    and trains two short chunks on copies, of which the second is timed. Running out of device memory ends the search.
    """
    best, best_seconds = 1, float("inf")
    for width in (n for n in range(1, len(members) + 1) if len(members) % n == 0):
        try:
            pack = Pack(jax.tree.map(jnp.copy, members[:width]), data, devices=devices)
            pack.train(batch_size=batch_size, length=TRIAL)
            began = time.perf_counter()
            pack.train(batch_size=batch_size, length=TRIAL)
            seconds = (time.perf_counter() - began) / width
        except jax.errors.JaxRuntimeError:
            if width == 1:
                raise
            break
        if seconds * WORTHWHILE > best_seconds:
            break
        best, best_seconds = width, seconds
    return best

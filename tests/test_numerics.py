"""Keys, seeds and types: the same numbers whatever this process's settings of JAX."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import drol
from drol.algorithms.registry import ALGORITHMS
from drol.errors import DataError
from drol.numerics import check_precision, checked_seed, key_of_seed, precision, threefry
from drol.training.checkpoint import Checkpoints
from tests.helpers.batches import SPEC, random_batch
from tests.helpers.samples import sampled
from tests.helpers.small_algorithms import init, small


@pytest.mark.parametrize("seed", [0, 1, 7, 2**31, 2**32 - 1, np.int64(5), np.uint32(9)])
def test_seeds_below_2_to_the_32_keep_their_keys(seed):
    np.testing.assert_array_equal(
        jax.random.key_data(key_of_seed(seed)), jax.random.key_data(jax.random.key(int(seed)))
    )


def test_larger_seeds_have_keys_of_their_own():
    seeds = [0, 5, 2**32, 2**32 + 5, 2**40 + 5, 2**63, 2**64 - 1]
    assert len({tuple(jax.random.key_data(key_of_seed(seed)).tolist()) for seed in seeds}) == len(seeds)


@pytest.mark.parametrize("seed", [-1, 2**64, True, 1.0, "3", None, np.True_, np.arange(3)], ids=repr)
def test_other_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="seed must be a whole number from 0 to 2"):
        checked_seed(seed)


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg"])
def test_keys_of_other_kinds_keep_the_promise_of_rows(impl):
    """A shard draws the rows of the whole batch, and a batched policy what single calls draw."""
    key = jax.random.key(3, impl=impl)
    algorithm = small("drol")
    whole = algorithm.noise(SPEC, jnp.arange(8), key=key).candidates
    part = algorithm.noise(SPEC, jnp.arange(4, 6), key=key).candidates
    np.testing.assert_array_equal(part, whole[4:6])
    keys = jax.random.split(key, 3)
    together = jax.vmap(lambda k: jax.random.normal(threefry(k), (2,)))(keys)
    alone = jnp.stack([jax.random.normal(threefry(k), (2,)) for k in keys])
    np.testing.assert_array_equal(together, alone)
    assert len(np.unique(np.asarray(together))) == 6


@pytest.mark.parametrize("key", [0, None, "key", jax.random.split(jax.random.key(0), 2), np.zeros(3)])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(ValueError, match="key must be one JAX random key"):
        threefry(key)


def test_keys_of_the_usual_kinds_pass():
    key = jax.random.key(4)
    assert threefry(key) is key
    np.testing.assert_array_equal(jax.random.key_data(threefry(jax.random.PRNGKey(4))), jax.random.key_data(key))


def test_partitionable_off_is_refused_where_a_seed_decides():
    before = jax.config.jax_threefry_partitionable
    jax.config.update("jax_threefry_partitionable", False)
    try:
        with pytest.raises(ValueError, match="jax_threefry_partitionable off"):
            key_of_seed(0)
    finally:
        jax.config.update("jax_threefry_partitionable", before)


def lowered(tree):
    """The same networks in bfloat16."""

    def cast(leaf):
        return jax.ShapeDtypeStruct(leaf.shape, jnp.bfloat16) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)


TYPES = [("bfloat16", False), ("float32", False), ("bfloat16", True), ("float32", True), ("float64", True)]
CASES = [(name, *types) for name in sorted(ALGORITHMS) for types in TYPES]


@pytest.mark.parametrize(
    ("name", "networks", "x64"),
    # Where the two types are farthest apart, every method.
    sampled(CASES, [case for case in CASES if case[0] == "drol" or case[1:] == ("bfloat16", True)]),
)
def test_step_keeps_every_type_and_scans(name, networks, x64):
    """Shapes and types alone: nothing is compiled."""
    key = jax.random.key(0)
    with jax.enable_x64(networks == "float64"):
        state = jax.eval_shape(lambda key: small(name).init(SPEC, key=key), key)
    state = lowered(state) if networks == "bfloat16" else state
    batch = jax.eval_shape(lambda key: random_batch(key, 8), key)
    with jax.enable_x64(x64):
        algorithm = small(name)

        def body(state, _):
            return drol.step(algorithm, state, batch_of(batch), key=key)[0], None

        after = jax.eval_shape(lambda state: body(state, None)[0], state)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
        jax.eval_shape(lambda state: jax.lax.scan(body, state, length=2)[0], state)


def batch_of(shapes):
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


ACT = """
import sys, numpy as np, drol
policy = drol.load_policy(sys.argv[1], seed=3)
one = policy(np.ones(4))
many = policy(np.ones((3, 4)))
print(one.dtype, one.tobytes().hex(), many.tobytes().hex())
"""
BEGIN = """
from drol.training.keeper import initial
state, key, _ = initial(drol.BC(hidden=(4,)), drol.Spec(3, 2), 7)
print(jax.random.key_data(key), np.asarray(jax.tree.leaves(state)[0]).tobytes().hex())
"""


def test_a_policy_file_means_the_same_in_every_process_and_runs_begin_alike(tmp_path, key):
    """Precision, generator and default types are the process's own affair; a run's precision is in its record."""
    algorithm = small("fql")
    drol.save_policy(algorithm.policy(init(algorithm, SPEC, key)), tmp_path / "policy")

    def said(setting, code):
        code = f"import jax\n{setting}\n{code}"
        command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "policy")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    plain, beginning = said("", ACT + BEGIN)
    assert plain.startswith("float32")
    assert said('jax.config.update("jax_enable_x64", True)', ACT) == [plain]
    assert said('jax.config.update("jax_default_prng_impl", "rbg")', ACT + BEGIN) == [plain, beginning]


def test_a_run_resumes_in_the_precision_it_began_with():
    recorded = precision()
    check_precision(recorded)
    check_precision({})
    with (
        jax.enable_x64(True),
        pytest.raises(ValueError, match=r"floats in float32, .* float64.*JAX_ENABLE_X64"),
    ):
        check_precision(recorded)
    with jax.default_matmul_precision("bfloat16"), pytest.raises(ValueError, match="JAX_DEFAULT_MATMUL_PRECISION"):
        check_precision(recorded)


def test_a_checkpoint_of_other_types_is_refused(tmp_path, key):
    algorithm = small("bc")
    state = algorithm.init(SPEC, key=key)
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep_last=1)
    checkpoints.save(state, key)
    checkpoints.finish()
    with jax.enable_x64(True):
        wide = algorithm.init(SPEC, key=key)
        with pytest.raises(DataError, match="shapes or types"):
            checkpoints.restore(wide, key)
    checkpoints.close()

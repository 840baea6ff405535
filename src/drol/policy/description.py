"""A policy's structure as JSON values, and back: read from the fields of its class."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax

from drol.nn.critic import CriticEnsemble
from drol.nn.mlp import MLP
from drol.policy.checks import MOST_MEMBERS, MOST_NUMBERS, check_count, check_widths
from drol.policy.choice import Choice
from drol.policy.contract import Policy
from drol.policy.flow import FlowPolicy, ShortcutPolicy
from drol.policy.latent import LatentPolicy
from drol.policy.mean import MeanPolicy
from drol.policy.sampled import SampledPolicy
from drol.policy.squashed import SquashedPolicy
from drol.policy.steered import SteeredPolicy
from drol.policy.units import PolicyInUnits
from drol.types import Key, Spec, Units

POLICIES: dict[str, type[Policy]] = {
    "latent": LatentPolicy,
    "flow": FlowPolicy,
    "shortcut": ShortcutPolicy,
    "steered": SteeredPolicy,
    "mean": MeanPolicy,
    "squashed": SquashedPolicy,
    "in-units": PolicyInUnits,
}
"""The classes by their names in policy files."""

CHOOSING = {"kind": "how", "num_samples": "num_samples", "dense_topk": "dense_topk", "q_agg": "q_agg", "rho": "rho"}
"""The entries of a description that make up a policy's choice, and the fields of `Choice` that they hold."""


def class_name(policy: Policy) -> str:
    """The name of the policy's class in policy files."""
    return next(name for name, cls in POLICIES.items() if type(policy) is cls)


def describe(policy: Policy) -> dict[str, Any]:
    """The policy's structure as JSON values, from which `empty` rebuilds it."""
    if isinstance(policy, PolicyInUnits):
        return {"policy": class_name(policy.policy), **describe(policy.policy)}
    spec = policy.spec
    description: dict[str, Any] = {"observation_dim": spec.observation_dim, "action_dim": spec.action_dim}
    for field in dataclasses.fields(policy):
        value = getattr(policy, field.name)
        if "network" in field.metadata:
            description |= _shape(field, value)
        elif isinstance(value, Choice):
            description |= {name: getattr(value, of_choice) for name, of_choice in CHOOSING.items()}
            if value.rho == Choice.rho:  # not written: earlier versions have no other
                del description["rho"]
        elif value != field.metadata.get("unwritten", dataclasses.MISSING):
            description[field.name] = value
    return description


def empty(name: str, description: Mapping[str, Any]) -> Policy:
    """The policy that `describe` described, with shapes in place of arrays.

    Args:
        name: one of `POLICIES`.
        description: its entries, which may have been edited.

    Raises:
        KeyError, TypeError, ValueError or OverflowError: for entries that do not describe a policy.
    """
    cls, entries = POLICIES[name], dict(description)
    if issubclass(cls, PolicyInUnits):
        policy = empty(entries.pop("policy"), entries)
        units = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), Units.identity(policy.spec))
        return cls(policy=policy, units=units)  # pyright: ignore[reportCallIssue]  (`choice` is an AbstractVar)
    assert issubclass(cls, SampledPolicy)
    return eqx.filter_eval_shape(functools.partial(_built, cls, entries), key=jax.random.key(0))


def _built(cls: type[SampledPolicy], entries: Mapping[str, Any], *, key: Key) -> SampledPolicy:
    """A policy with fresh networks."""
    options = dict(entries)
    for name in ("observation_dim", "action_dim"):
        check_count(name, options[name], MOST_NUMBERS)
    chunk = options.get("chunk", 1)
    check_count("chunk", chunk, MOST_NUMBERS)
    spec = Spec(options.pop("observation_dim"), options.pop("action_dim"), chunk)
    networks = {
        field.name: _network(field, spec, options, key=key)
        for field in dataclasses.fields(cls)
        if "network" in field.metadata
    }
    chosen = {of_choice: options.pop(name) for name, of_choice in CHOOSING.items() if name in options}
    return cls(**networks, choice=Choice(**chosen), **options)


def _shape(field: dataclasses.Field, network: Any) -> dict[str, Any]:
    """The entries of a network: its hidden widths, and how many members an ensemble has."""
    ensemble = field.metadata["network"].func is CriticEnsemble
    mlp: MLP | None = None if network is None else network.members if ensemble else network.mlp
    entries: dict[str, Any] = {f"{field.name}_hidden": mlp and [layer.bias.shape[-1] for layer in mlp.layers[:-1]]}
    return entries | ({f"{field.name}_ensemble": mlp and mlp.layers[0].bias.shape[0]} if ensemble else {})


def _network(field: dataclasses.Field, spec: Spec, options: dict[str, Any], *, key: Key) -> eqx.Module | None:
    """A fresh network of the shape given in `options`; removes its entries from there."""
    build, name = field.metadata["network"], f"{field.name}_hidden"
    hidden, more = options.pop(name), {}
    if build.func is CriticEnsemble:
        more["ensemble"] = options.pop(f"{field.name}_ensemble")
    if hidden is None and field.metadata["optional"]:
        return None
    check_widths(name, hidden)
    if more:
        check_count(f"{field.name}_ensemble", more["ensemble"], MOST_MEMBERS)
    return build(spec, hidden, **more, key=key)

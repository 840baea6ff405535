"""Normalised observations."""

import numpy as np

from drol.data.dataset import Dataset
from drol.data.log import log_of_tuples
from drol.data.split import hold_out
from drol.data.transitions import to_transitions
from drol.data.units import normalised, units_of
from tests.helpers.own_logs import walk


def loaded(columns):
    log = log_of_tuples(columns, "here")
    train, validation = hold_out(log)
    return Dataset(to_transitions(train), to_transitions(validation), {}, units_of(log))


def test_each_dimension_gets_mean_zero_and_deviation_one():
    columns = walk(40)
    scale, shift = np.array([100.0, 1e-3, 1.0]), np.array([5e4, 0.0, -1.0])
    columns |= {name: columns[name] * scale + shift for name in ("observations", "next_observations")}
    raw, data = loaded(columns), normalised(loaded(columns))
    table = data.train.observations
    np.testing.assert_allclose(table.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(table.std(axis=0), 1, rtol=1e-3)
    for part, before in ((data.train, raw.train), (data.validation, raw.validation)):
        expected = (before.observations - data.units.observation_mean) / data.units.observation_std
        np.testing.assert_allclose(part.observations, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(data.units.action_low, [-1, -1])


def test_a_constant_dimension_keeps_its_scale():
    columns = walk(20)
    for name in ("observations", "next_observations"):
        columns[name] = np.append(columns[name], np.full((len(columns[name]), 2), [7.7, 0.0]), axis=1)
    data = normalised(loaded(columns))
    np.testing.assert_allclose(data.units.observation_std[3:], 1)
    np.testing.assert_allclose(data.train.observations[:, 3:], 0, atol=1e-5)

"""The published hyperparameters: one row per family of tasks, one column per method.

The columns IQL, ReBRAC, FAWAC, FBRAC and IFQL are Table 6 of the FQL paper (Park et al. 2025), the column FQL is the
README of its repository; SORL, DeFlow and DROL are the commands of their repositories. Where the paper's table and the
README differ on FQL, by a factor of ten on adroit, the README counts: it states the exact flags.
FAWAC's and FBRAC's entries on adroit are the paper's, and nothing states them a second time.

IQL and ReBRAC on D4RL, which that paper copies from earlier work, are the public configurations of CORL.

BC and flow BC have nothing to tune, and no column.
"""

from itertools import starmap
from typing import NamedTuple

from drol.presets.preset import Mark

Number = int | float


class Cell(NamedTuple):
    """Numbers with a mark; `value` is None where they are unknown."""

    value: Number | tuple[Number, ...] | None
    mark: Mark


def inferred(*value: Number) -> Cell:
    """Taken from the offline-to-online runs of the same paper."""
    return Cell(value, "inferred")


def doubtful(value: Number) -> Cell:
    """Hard to read in the source."""
    return Cell(value, "doubtful")


UNKNOWN = Cell(None, "unknown")

Entry = Number | tuple[Number, ...] | Cell
Three = tuple[Entry, Entry, Entry]


class OGBenchRow(NamedTuple):
    """A family of OGBench: five tasks.

    Attributes:
        family: the task's name up to `-singletask`.
        discount: of every method that has one; DROL's own is `drol_discount`.
        q_agg: the ensemble in the Bellman target, of every method that chooses one.
        iql, fawac: inverse_temperature.
        rebrac: alpha_actor and alpha_critic.
        fbrac, fql: alpha.
        ifql: num_samples.
        sorl: q_coef.
        deflow: target_divergence.
        drol: bc_coef, with K = 16.
        drol_star: K of DROL*.
        drol_discount: where it is not `discount`.
    """

    family: str
    discount: float
    q_agg: str
    iql: Entry
    rebrac: Entry
    fawac: Entry
    fbrac: Entry
    ifql: Entry
    fql: Entry
    sorl: Entry
    deflow: Entry
    drol: Number
    drol_star: int
    drol_discount: float | None = None


class D4RLRow(NamedTuple):
    """A task of D4RL, as in `OGBenchRow`; discount 0.99 and ensemble mean; `drol_star` is bc_coef and K of DROL*."""

    task: str
    fawac: Entry
    fbrac: Entry
    ifql: Entry
    fql: Entry
    deflow: Entry
    drol: Number
    drol_star: tuple[Number, int]


class AdroitRow(NamedTuple):
    """Three tasks of D4RL, with human, cloned and expert data, in that order; discount 0.99 and ensemble min.

    DeFlow and DROL have one entry for all three.
    """

    hand: str
    fawac: Three
    fbrac: Three
    ifql: Three
    fql: Three
    deflow: Entry
    drol: Number
    drol_star: int


# fmt: off
OGBENCH = list(starmap(OGBenchRow, (
    # family             discount  q_agg   IQL  ReBRAC         FAWAC FBRAC IFQL   FQL  SORL  DeFlow  DROL  K* discount
    ("antmaze-large-navigate", 0.99, "min", 10, (0.003, 0.01),   3,   3,   32,    10,  500,   0.01,  0.03, 16, 0.995),
    ("antmaze-giant-navigate", 0.995, "min", 10, (0.003, 0.01),  3,  10,   32,    10,  500,   0.01,  0.03,  1),
    ("humanoidmaze-medium-navigate", 0.995, "mean", 10, (0.01, 0.01), 3, 30, 32,  30,  100,   0.001, 0.3,  16),
    ("humanoidmaze-large-navigate", 0.995, "mean", 10, (0.01, 0.01), 3, 30, 32,   30,  500,   0.001, 0.3,   4),
    ("antsoccer-arena-navigate", 0.995, "mean", inferred(1), inferred(0.01, 0.01), UNKNOWN, UNKNOWN,
                                                                 inferred(64),    10,  500,   0.01,  0.1,   4),
    ("cube-single-play", 0.99,     "mean",   1, (1, 0),         1,   100,  32,   300,   10,   0.001, 10,   16),
    ("cube-double-play", 0.99,     "mean", 0.3, (0.1, 0),      0.3,  100,  32,   300,   50,   0.001,  3,   64),
    ("scene-play",       0.99,     "mean",  10, (0.1, 0.01),   0.3,  100,  32,   300,  100,   0.001,  3,   64),
    ("puzzle-3x3-play",  0.99,     "mean",  10, (0.3, 0.01),   0.3,  100,  32,  1000, UNKNOWN, 0.005, 0.3, 32),
    ("puzzle-4x4-play",  0.99,     "mean",   3, (0.3, 0.01),   0.3,  300,  32,  1000, UNKNOWN, 0.005, 10,  64),
)))

D4RL = list(starmap(D4RLRow, (
    # task                     FAWAC FBRAC IFQL FQL DeFlow DROL  DROL*
    ("antmaze-umaze-v2",          3,  10,  32,  10, 0.015, 0.3, (0.3, 2)),
    ("antmaze-umaze-diverse-v2",  3,  10,  32,  10, 0.015, 0.1, (0.1, 16)),
    ("antmaze-medium-play-v2",    3,  10,  32,  10, 0.015, 0.1, (0.1, 32)),
    ("antmaze-medium-diverse-v2", 3,  10,  32,  10, 0.015, 0.1, (0.1, 16)),
    ("antmaze-large-play-v2",     3,   1,  32,   3, 0.015, 0.1, (0.03, 16)),
    ("antmaze-large-diverse-v2",  3,   1,  32,   3, 0.015, 0.1, (0.03, 16)),
)))

ADROIT = list(starmap(AdroitRow, (
    # hand,      FAWAC,            FBRAC,                           IFQL,          FQL,                 DeFlow, DROL, K*
    ("pen",      (0.03, 0.3, 0.1), (30000, 10000, 30000),          (32, 32, 32),  (10000, 10000, 3000),  0.01,   1, 16),
    ("door",     (1, 1, 3),        (30000, 10000, 30000),          (32, 128, 32), (30000, 30000, 30000), 0.001, 10,  8),
    ("hammer",   (3, 0.03, 3),     (30000, 10000, 30000),          (32, 32, 32),  (30000, 10000, 30000), 0.001,  3,  8),
    ("relocate", (0.3, 0.1, 1),    (30000, doubtful(3000), 30000), (128, 32, 32), (10000, 30000, 30000), 0.001, 10, 32),
)))
D4RL_REBRAC = {
    # task                     alpha_actor, alpha_critic
    "antmaze-umaze-v2":          (0.003, 0.002),
    "antmaze-umaze-diverse-v2":  (0.003, 0.001),
    "antmaze-medium-play-v2":    (0.001, 0.0005),
    "antmaze-medium-diverse-v2": (0.001, 0),
    "antmaze-large-play-v2":     (0.002, 0.001),
    "antmaze-large-diverse-v2":  (0.002, 0.002),
    "pen-human-v1":              (0.1, 0.5),
    "pen-cloned-v1":             (0.05, 0.5),
    "pen-expert-v1":             (0.01, 0.01),
    "door-human-v1":             (0.1, 0.1),
    "door-cloned-v1":            (0.01, 0.1),
    "door-expert-v1":            (0.05, 0.01),
    "hammer-human-v1":           (0.01, 0.5),
    "hammer-cloned-v1":          (0.1, 0.5),
    "hammer-expert-v1":          (0.01, 0.01),
    "relocate-human-v1":         (0.1, 0.01),
    "relocate-cloned-v1":        (0.1, 0.01),
    "relocate-expert-v1":        (0.05, 0.01),
}
# fmt: on
"""ReBRAC on D4RL: actor_bc_coef and critic_bc_coef of tinkoff-ai/CORL: configs/offline/rebrac/*/*.yaml, whose gamma is
0.999 on antmaze and 0.99 on adroit."""

D4RL_IQL = {"antmaze": (10, 0.9), "adroit": (3, 0.8)}
"""IQL on D4RL: beta and iql_tau of tinkoff-ai/CORL: configs/offline/iql/*/*.yaml, the same within a family; on antmaze
also temperature and expectile of ikostrikov/implicit_q_learning: configs/antmaze_config.py."""

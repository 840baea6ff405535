"""The tables of hyperparameters, against a second copy of what is published."""

import re

import pytest

from drol.algorithm import hyperparameters
from drol.algorithms.drol import AUTHORS
from drol.algorithms.reform import ELSEWHERE
from drol.algorithms.registry import ALGORITHMS, TITLES, algorithm_class
from drol.algorithms.tables import LENDERS, borrowed
from drol.presets import SIZES, note, preset_for
from drol.sources.d4rl.tasks import TASKS
from drol.sources.ogbench.names import known_tasks
from tests.helpers.published_presets import FIELDS, PRESETS, PUBLISHED

# *: from the offline-to-online runs; (): DROL's own discount.
OGBENCH = """
family              | gamma       | agg  | IQL | ReBRAC    | FAWAC | FBRAC | IFQL | FQL  | SORL | DeFlow | bc  | K*
antmaze-large       | .99 (.995)  | min  | 10  | .003,.01  | 3     | 3     | 32   | 10   | 500  | .01    | .03 | 16
antmaze-giant       | .995        | min  | 10  | .003,.01  | 3     | 10    | 32   | 10   | 500  | .01    | .03 | 1
humanoidmaze-medium | .995        | mean | 10  | .01,.01   | 3     | 30    | 32   | 30   | 100  | .001   | .3  | 16
humanoidmaze-large  | .995        | mean | 10  | .01,.01   | 3     | 30    | 32   | 30   | 500  | .001   | .3  | 4
antsoccer-arena     | .995        | mean | 1*  | .01,.01*  | ?     | ?     | 64*  | 10   | 500  | .01    | .1  | 4
cube-single         | .99         | mean | 1   | 1,0       | 1     | 100   | 32   | 300  | 10   | .001   | 10  | 16
cube-double         | .99         | mean | .3  | .1,0      | .3    | 100   | 32   | 300  | 50   | .001   | 3   | 64
scene               | .99         | mean | 10  | .1,.01    | .3    | 100   | 32   | 300  | 100  | .001   | 3   | 64
puzzle-3x3          | .99         | mean | 10  | .3,.01    | .3    | 100   | 32   | 1000 | ?    | .005   | .3  | 32
puzzle-4x4          | .99         | mean | 3   | .3,.01    | .3    | 300   | 32   | 1000 | ?    | .005   | 10  | 64
"""

# *: hard to read. IQL and ReBRAC: tinkoff-ai/CORL: configs/offline/iql and configs/offline/rebrac, one file per task,
# where gamma is .999 for ReBRAC on antmaze, and iql_tau .8 on adroit and .9 on antmaze.
D4RL = """
task                      | agg  | IQL | ReBRAC     | FAWAC | FBRAC | IFQL | FQL   | SORL | DeFlow | bc | K* | bc*
antmaze-umaze-v2          | mean | 10  | .003,.002  | 3     | 10    | 32   | 10    | ?    | .015   | .3 | 2  | .3
antmaze-umaze-diverse-v2  | mean | 10  | .003,.001  | 3     | 10    | 32   | 10    | ?    | .015   | .1 | 16 | .1
antmaze-medium-play-v2    | mean | 10  | .001,.0005 | 3     | 10    | 32   | 10    | ?    | .015   | .1 | 32 | .1
antmaze-medium-diverse-v2 | mean | 10  | .001,0     | 3     | 10    | 32   | 10    | ?    | .015   | .1 | 16 | .1
antmaze-large-play-v2     | mean | 10  | .002,.001  | 3     | 1     | 32   | 3     | ?    | .015   | .1 | 16 | .03
antmaze-large-diverse-v2  | mean | 10  | .002,.002  | 3     | 1     | 32   | 3     | ?    | .015   | .1 | 16 | .03
pen-human-v1              | min  | 3   | .1,.5      | .03   | 30000 | 32   | 10000 | ?    | .01    | 1  | 16 | 1
pen-cloned-v1             | min  | 3   | .05,.5     | .3    | 10000 | 32   | 10000 | ?    | .01    | 1  | 16 | 1
pen-expert-v1             | min  | 3   | .01,.01    | .1    | 30000 | 32   | 3000  | ?    | .01    | 1  | 16 | 1
door-human-v1             | min  | 3   | .1,.1      | 1     | 30000 | 32   | 30000 | ?    | .001   | 10 | 8  | 10
door-cloned-v1            | min  | 3   | .01,.1     | 1     | 10000 | 128  | 30000 | ?    | .001   | 10 | 8  | 10
door-expert-v1            | min  | 3   | .05,.01    | 3     | 30000 | 32   | 30000 | ?    | .001   | 10 | 8  | 10
hammer-human-v1           | min  | 3   | .01,.5     | 3     | 30000 | 32   | 30000 | ?    | .001   | 3  | 8  | 3
hammer-cloned-v1          | min  | 3   | .1,.5      | .03   | 10000 | 32   | 10000 | ?    | .001   | 3  | 8  | 3
hammer-expert-v1          | min  | 3   | .01,.01    | 3     | 30000 | 32   | 30000 | ?    | .001   | 3  | 8  | 3
relocate-human-v1         | min  | 3   | .1,.01     | .3    | 30000 | 128  | 10000 | ?    | .001   | 10 | 32 | 10
relocate-cloned-v1        | min  | 3   | .1,.01     | .1    | 3000* | 32   | 30000 | ?    | .001   | 10 | 32 | 10
relocate-expert-v1        | min  | 3   | .05,.01    | 1     | 30000 | 32   | 30000 | ?    | .001   | 10 | 32 | 10
"""

ADVICE = {name: found.advice for name, found in PUBLISHED.items()}
PEERS = [name for name in FIELDS if name != "drol"]
KNOWN = [name for name in ALGORITHMS if name in PRESETS]


def rows(text):
    """One dictionary per line, heading to cell."""
    heading, *lines = ([cell.strip() for cell in line.split("|")] for line in text.strip().splitlines())
    return [dict(zip(heading, line, strict=True)) for line in lines]


def cells():
    """(task, row) for every line of both tables; the task is the first of its family."""
    for row in rows(OGBENCH):
        kind = "play" if row["family"].startswith(("cube", "scene", "puzzle")) else "navigate"
        yield f"{row['family']}-{kind}-singletask-task1-v0", row | {"bc*": row["bc"]}
    yield from ((row["task"], row | {"gamma": ".99"}) for row in rows(D4RL))


def the_tasks_of_the_paper():
    """The 50 of OGBench and the 18 of D4RL that the methods were run on."""
    families = "|".join(row["family"] for row in rows(OGBENCH))
    pattern = rf"({families})-(navigate|play)-singletask-task\d-v0"
    return [*(task for task in known_tasks() if re.fullmatch(pattern, task)), *(row["task"] for row in rows(D4RL))]


def expected(name, row, fields):
    """What the copy of the tables says: fields that differ from the defaults, and the mark."""
    cell = row.get(TITLES[name], "")
    starred = "doubtful" if "task" in row else "inferred"
    mark = "unknown" if cell == "?" else starred if cell.endswith("*") else None
    shared = {}
    gamma, _, of_drol = row["gamma"].rstrip(")").partition(" (")
    discount = float(of_drol if name == "drol" and of_drol else gamma)
    if discount != 0.99 and fields:
        shared["discount"] = discount
    if row["agg"] == "min" and name in ("drol", "fawac", "fbrac", "fql", "sorl", "deflow"):
        shared["q_agg"] = "min"
    if name == "drol":
        return {"bc_coef": float(row["bc"]), "num_candidates": 16} | shared, None
    if mark == "unknown":
        return ({} if "task" in row else shared), mark
    if name in ("iql", "ifql"):
        shared["expectile"] = 0.8 if name == "iql" and row.get("task", "antmaze").split("-")[0] != "antmaze" else 0.9
    if name == "rebrac" and row.get("task", "").startswith("antmaze"):
        shared["discount"] = 0.999
    numbers = [float(number) for number in cell.rstrip("*").split(",")] if cell else []
    return dict(zip(fields, numbers, strict=True)) | shared, mark


@pytest.mark.parametrize("name", FIELDS)
def test_every_cell_is_as_published(name):
    for task, row in cells():
        preset = preset_for(task, name)
        values, mark = expected(name, row, FIELDS[name])
        if name == "reform":
            values, mark = {"q_coef": 0.1, "discount": 0.995}, preset.mark
        assert preset.hyperparameters() == values, task
        assert preset.mark == mark, task
        assert preset.algorithm == name
        if name == "drol":
            tuned = {"bc_coef": float(row["bc*"]), "num_candidates": int(row["K*"])}
            assert preset.hyperparameters(tuned=True) == values | tuned, task


@pytest.mark.parametrize("name", KNOWN)
def test_every_preset_belongs_to_tasks_and_is_accepted_by_its_algorithm(name):
    cls, names = algorithm_class(name), (*known_tasks(), *TASKS)
    defaults = hyperparameters(cls())
    for preset in PRESETS[name]:
        matching = [task for task in names if preset_for(task, name) is preset]
        whole_hand = "{" in preset.family
        assert len(matching) == (6 if "singletask" in preset.pattern else 3 if whole_hand else 1), preset.family
        for tuned in [False] if preset.tuned is None else [False, True]:
            for size in (None, *SIZES):
                given = preset.hyperparameters(tuned=tuned, size=size)
                values = hyperparameters(cls(**given))
                given = {field: list(v) if isinstance(v, tuple) else v for field, v in given.items()}
                assert values == defaults | given
                assert all(isinstance(given.get(field, defaults[field]), type(defaults[field])) for field in defaults)


@pytest.mark.parametrize("name", FIELDS)
def test_every_task_of_the_paper_has_its_own_preset_or_is_marked_unknown(name):
    tasks = the_tasks_of_the_paper()
    assert len(tasks) == 50 + 18
    for task in tasks:
        preset = preset_for(task, name)
        assert preset is not None
        assert preset.mark != "borrowed" or name == "reform"
        known = set(FIELDS[name]) <= set(preset.values)
        assert known == (preset.mark != "unknown") == (preset.unknown == ())
        assert preset.source.startswith("unknown") == (preset.mark == "unknown")


def test_sources():
    cube = "cube-single-play-singletask-task2-v0"
    assert preset_for(cube).source == AUTHORS
    assert preset_for(cube, "fql").source == "README of the FQL repository"
    assert "Table 6" in preset_for(cube, "rebrac").source
    assert preset_for("antsoccer-arena-navigate-singletask-v0", "iql").source.startswith("inferred")
    assert "Table 7" in preset_for("antsoccer-arena-navigate-singletask-v0", "iql").source
    for name in ("bc", "flow-bc"):
        assert {preset.mark for preset in PRESETS[name]} == {None}
    assert all("nothing to tune" in preset.source for preset in PRESETS["flow-bc"])
    assert "nothing to tune" in preset_for(cube, "bc").source
    assert "from earlier work" in preset_for("pen-human-v1", "bc").source
    assert preset_for(cube, "reform").source.startswith("defaults of the ReFORM repository")


def test_reform_has_one_set_of_values_which_are_its_defaults():
    published = {"q_coef": 0.1, "discount": 0.995}
    assert all(preset.values == published for preset in PRESETS["reform"])
    published |= {"max_gradient_norm": 10.0, "learning_rate": 3e-4, "tau": 0.005, "flow_steps": 10}
    published |= {"q_agg": "mean", "normalize_q": False}
    reform = hyperparameters(algorithm_class("reform")())
    assert reform | published == reform


def test_reform_borrows_where_it_was_not_run():
    run = {preset.family for preset in PRESETS["reform"] if preset.mark is None}
    assert run == {"antmaze-large-navigate", "cube-single-play", "cube-double-play", "scene-play"}
    others = [preset for preset in PRESETS["reform"] if preset.family not in run]
    assert {(preset.mark, preset.source) for preset in others} == {("borrowed", ELSEWHERE)}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("family", LENDERS)
def test_families_without_a_preset_borrow_each_methods_own_row(name, family):
    preset = preset_for(f"{family}-singletask-v0", name)
    lender = preset_for(f"{LENDERS[family]}-singletask-v0", name)
    assert preset.hyperparameters() == lender.hyperparameters()
    assert preset.tuned is None
    if lender.mark == "unknown":
        assert (preset.source, preset.mark, preset.unknown) == (lender.source, "unknown", lender.unknown)
    elif FIELDS[name]:
        assert (preset.source, preset.mark) == (borrowed(LENDERS[family]), "borrowed")


def test_iql_has_smaller_networks_on_manipulation_at_paper_size_only():
    smaller = {"hidden": (256, 256, 256, 256)}
    for task in the_tasks_of_the_paper():
        for name in FIELDS:
            preset = preset_for(task, name)
            manipulation = name == "iql" and task.startswith(("cube", "scene", "puzzle"))
            assert preset.hyperparameters(size="paper") == preset.hyperparameters() | (smaller if manipulation else {})
            assert preset.hyperparameters(size="laptop") == preset.hyperparameters()


def test_drol_star_is_drols_alone():
    with pytest.raises(ValueError, match=r"no DROL\* is published for pointmaze-medium-navigate"):
        preset_for("pointmaze-medium-navigate-singletask-v0").hyperparameters(tuned=True)
    for name in PEERS:
        with pytest.raises(ValueError, match=rf"to DROL only \(DROL\*\), but the algorithm is {TITLES[name]}; leave"):
            preset_for("cube-single-play-singletask-v0", name).hyperparameters(tuned=True)


def test_what_nobody_published():
    assert preset_for("maze2d-umaze-v1") is None
    assert preset_for("humanoidmaze-giant-navigate-singletask-v0", "fql") is None
    assert preset_for("cube-single-play-singletask-v0", "something") is None


def test_sizes():
    assert SIZES["laptop"].hidden == (256, 256, 256)
    assert (SIZES["paper"].updates, SIZES["paper"].d4rl_updates) == (1_000_000, 500_000)


@pytest.mark.parametrize("name", FIELDS)
def test_advice_names_an_option_and_the_range_of_the_published_values(name):
    fields, numbers = FIELDS[name], [float(n) for n in re.findall(r"[\d.]*\d", ADVICE[name])]
    if not fields:
        assert ADVICE[name].startswith("one set of values" if name == "reform" else "it has nothing to tune")
        return
    assert f"--{fields[0].replace('_', '-')}" in ADVICE[name]
    adroit = re.compile("(pen|door|hammer|relocate)-")
    of_adroit, others = [], []
    for preset in PRESETS[name]:
        if fields[0] in preset.values:
            (of_adroit if adroit.match(preset.family) else others).append(preset.values[fields[0]])
    assert {min(others), max(others)} <= set(numbers)
    assert max(numbers) >= max([*of_adroit, *others])
    assert min(numbers) <= min([*of_adroit, *others])


def test_notes():
    soccer = "antsoccer-arena-navigate-singletask-task4-v0"
    line = note(soccer, "fbrac", "antsoccer")
    assert line.startswith("note: FBRAC's alpha for antsoccer: unknown: ")
    assert line.endswith(f"; the default applies; {ADVICE['fbrac']}")
    assert note(soccer, "fbrac", "antsoccer", {"alpha"}) is None
    puzzle = note("puzzle-3x3-play-singletask-v0", "sorl", "puzzle")
    assert puzzle.startswith("note: SORL's q_coef for puzzle: unknown: ")
    assert note("puzzle-3x3-play-singletask-v0", "sorl", "puzzle", {"q_coef"}) is None
    for task, name, words in (
        ("pen-human-v1", "iql", "the actor has dropout of 0.1, which is not implemented; observations are normalized"),
        ("antmaze-umaze-v2", "iql", "observations are normalized (--normalize-observations) and networks have two"),
        ("door-cloned-v1", "rebrac", "networks have three layers of 256"),
        ("antmaze-umaze-v2", "rebrac", "rewards are 100 at the goal and 0 elsewhere (0 and -1 here), and"),
    ):
        start = (
            f"note: {TITLES[name]}'s values for it are those of tinkoff-ai/CORL: configs/offline/{name}, where {words}"
        )
        assert note(task, name, "it").startswith(start)
    for name in ("drol", "fql", "iql", "bc"):
        assert note("cube-single-play-singletask-v0", name, "cube") is None
    assert note("pen-human-v1", "bc", "pen") is None
    assert note("robot.npz", "fql", "robot") == (
        f"note: no hyperparameters are published for robot, so FQL's defaults apply; {ADVICE['fql']}"
    )
    assert note("robot.npz", "something", "robot").endswith("so something's defaults apply")

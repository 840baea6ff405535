"""Learning curves: what is drawn, and how."""

import re

import numpy as np
import pytest

import drol
from drol.cli.main import main
from drol.errors import DataError, UsageError
from drol.report.curves import curves
from drol.report.runs import runs_in
from drol.report.statistics import band
from tests.helpers.summarised_runs import TASK, write_run

OTHER = "cube-single-play-singletask-task2-v0"


@pytest.fixture
def two_methods(tmp_path):
    for seed in range(3):
        write_run(tmp_path / f"drol{seed}", (0.1 * seed, 0.5, 0.9), seed=seed)
        write_run(tmp_path / f"fql{seed}", (0.2, 0.3, 0.4 + 0.1 * seed), seed=seed, algorithm="fql")
    return tmp_path


def texts(figure):
    """What a figure in SVG says, whatever its line breaks."""
    return " ".join(" ".join(re.findall(r"<text[^>]*>([^<]*)", figure.read_text())).split())


def test_a_line_is_the_mean_over_seeds(two_methods):
    first, second = curves(runs_in([two_methods]))
    assert (first.method, second.method) == ("DROL", "FQL")
    assert (first.task, first.metric, first.seeds) == (TASK, "evaluation/success", (0, 1, 2))
    np.testing.assert_array_equal(first.updates, [10, 20, 30])
    np.testing.assert_allclose(first.mean, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(second.mean, [0.2, 0.3, 0.5])
    np.testing.assert_allclose(second.ends("range"), [[0.2, 0.3, 0.4], [0.2, 0.3, 0.6]])
    assert second.ends("seeds") is None


def test_a_band_covers_the_mean_as_often_as_it_says():
    """Of 20 seeds with a known mean: 95 % intervals by resampling cover it somewhat less often than 95 %."""
    rng = np.random.default_rng(0)
    covered = []
    for seed in range(100):
        low, high = band(rng.normal(1.0, 0.3, (20, 4)), seed=seed)
        covered.append((low <= 1.0) & (high >= 1.0))
    assert 0.88 < np.mean(covered) < 0.97


def test_whole_seeds_are_resampled():
    """Seeds that differ by a constant keep that difference at every point: the band has the same width throughout."""
    low, high = band(np.array([[0.0, 1.0, 5.0], [1.0, 2.0, 6.0], [2.0, 3.0, 7.0]]))
    np.testing.assert_allclose(high - low, np.full(3, (high - low)[0]))


def test_a_line_ends_where_its_first_seed_does(tmp_path):
    write_run(tmp_path / "0", (0.1, 0.2, 0.3), seed=0)
    write_run(tmp_path / "1", (0.3,), seed=1, updates=30)
    write_run(tmp_path / "2", (0.5, 0.6), seed=2, updates=30).divergence.write_text('{"message": "NaN"}')
    (line,) = curves(runs_in([tmp_path]))
    np.testing.assert_array_equal(line.updates, [10])
    np.testing.assert_allclose(line.mean, [0.3])
    assert line.ended_by == "seed 1 unfinished"


def test_a_copied_run_counts_once(tmp_path):
    write_run(tmp_path / "0", (0.5,))
    write_run(tmp_path / "copy", (0.7,))
    (line,) = curves(runs_in([tmp_path]))
    assert line.seeds == (0,)
    np.testing.assert_allclose(line.values, [[0.5]])


def test_metrics_by_name_and_kind(tmp_path):
    folder = write_run(tmp_path / "run", (0.5,))
    folder.metrics.append(
        {"update": 20, "actor_loss": 1.0, "critic_loss": 2.0, "validation/bc_loss": 3.0, "q_mean": None}
        | {"routing/handoff_rate": 0.1, "centroid_divergence": 0.2, "evaluation/length": 7.0}
    )

    def drawn(*names):
        return [line.metric for line in curves(runs_in([tmp_path]), names)]

    assert drawn("losses") == ["actor_loss", "critic_loss"]
    assert drawn("routing") == ["routing/handoff_rate", "centroid_divergence"]
    assert drawn("length", "validation/bc_loss", "success") == [
        "evaluation/length",
        "validation/bc_loss",
        "evaluation/success",
    ]
    with pytest.raises(DataError, match="'actor_los'; did you mean 'actor_loss'"):
        drawn("actor_los")
    with pytest.raises(DataError, match="q_mean"):
        drawn("q_mean")  # never a number


def test_the_measure_is_the_score_if_there_is_one(tmp_path):
    folder = write_run(tmp_path / "run", (0.5,))
    folder.metrics.append({"update": 20, "evaluation/score": 40.0, "evaluation/return": 7.0, "evaluation/episodes": 20})
    (line,) = curves(runs_in([tmp_path]))
    assert line.metric == "evaluation/score"


def test_nothing_recorded_is_said_so(tmp_path):
    write_run(tmp_path / "run", (), updates=10)
    with pytest.raises(DataError, match="recorded nothing to draw yet"):
        curves(runs_in([tmp_path]))


def test_panels_and_lines(two_methods):
    write_run(two_methods / "other", (0.1, 0.2, 0.3), task=OTHER)
    figure = drol.plot(two_methods)
    first, second = figure.axes
    assert {first.get_title().replace("\n", ""), second.get_title().replace("\n", "")} == {TASK, OTHER}
    (panel,) = [place for place in figure.axes if place.get_title().replace("\n", "") == TASK]
    np.testing.assert_allclose(panel.lines[0].get_ydata(), [0.1, 0.5, 0.9])
    assert len(panel.collections) == 2  # a band each
    assert figure._repr_png_()[:4] == b"\x89PNG"  # for notebooks
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["DROL (1 to 3 seeds)", "FQL (3 seeds)"]


def test_methods_differ_without_colour(tmp_path):
    for number, name in enumerate(("drol", "fql", "iql", "bc", "rebrac", "ifql", "deflow")):
        write_run(tmp_path / name, (0.1, 0.1 * number), algorithm=name)
    (panel,) = drol.plot(tmp_path).axes
    looks = {(line.get_linestyle(), line.get_marker()) for line in panel.lines}
    assert len(looks) == len(panel.lines) == 7


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_files_repeat_byte_for_byte(two_methods, tmp_path_factory, suffix):
    first, second = (tmp_path_factory.mktemp("figures") / f"{name}.{suffix}" for name in "ab")
    drol.plot(two_methods, out=first)
    drol.plot([two_methods], out=second)
    content = first.read_bytes()
    assert content == second.read_bytes()
    assert content[:4] == {"png": b"\x89PNG", "svg": b"<?xm", "pdf": b"%PDF"}[suffix]
    if suffix == "svg":
        assert "DROL (3 seeds)" in content.decode()
        assert "95 % bootstrap interval" in texts(first)


def test_the_command(two_methods, tmp_path, capsys):
    out = tmp_path / "deep" / "figure.svg"
    assert main(["plot", str(two_methods), "--metric", "success", "--band", "range", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"figure: {out}\n"
    assert "the lowest and the highest seed" in texts(out)
    assert main(["plot", str(two_methods), "--out", str(tmp_path / "figure.jpg")]) == 2
    assert "should end in one of .png, .svg, .pdf" in capsys.readouterr().err
    assert main(["plot", str(tmp_path / "nowhere")]) == 1


def test_what_does_not_exist_is_refused(two_methods):
    with pytest.raises(UsageError, match="interval, range, seeds"):
        drol.plot(two_methods, band="sd")
    with pytest.raises(DataError, match="is no folder"):
        drol.plot(two_methods / "nowhere")

"""Walks of a newcomer, copied from README and the documentation: the commands run in order, and lead where they say.

Only the lengths are changed. By default the packages of the tests stand in for those that README's first command
installs; `pytest -m slow -k installing` installs them, in a copy of the checkout. `-s` shows what the commands print.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest

import drol
from tests.helpers.samples import sampled

ROOT = Path(__file__).parent.parent
ROBOT_ARM = "runs/cube-single-play-singletask-task2-v0-drol-seed0"
NO_CHECKOUT = shutil.ignore_patterns(".git", ".venv*", "runs", "site", "dist", "__pycache__", ".*_cache", ".hypothesis")

# What the reader of README's "Your own data" has: a package with an environment, and arrays recorded in it.
PACKAGE = """
import gymnasium

gymnasium.register("Robot-v0", "gymnasium.envs.classic_control:PendulumEnv", max_episode_steps=200)
"""
RECORDED = """
import gymnasium, mypackage
import numpy as np

env = gymnasium.make("Robot-v0")
rows = []
for episode in range(40):
    observation, _ = env.reset(seed=episode)
    env.action_space.seed(episode)
    truncated = False
    while not truncated:
        action = env.action_space.sample()
        following, reward, terminated, truncated, _ = env.step(action)
        rows.append((observation, action, reward, terminated, truncated, following))
        observation = following
observations, actions, rewards, terminated, truncated, next_observations = map(np.array, zip(*rows))
"""

COMMAND = """#!{python}
import sys
from drol.cli.main import main
sys.exit(main())
"""


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.S)


def block(page, language, containing):
    (found,) = [text for text in blocks(page, language) if containing in text]
    return found


def commands(page, containing):
    return block(page, "bash", containing)


def script(*texts):
    """Python code as a command of bash."""
    return "python - <<'END'\n" + "\n".join(texts) + "\nEND\n"


def shortened(text, **lengths):
    """The commands with smaller numbers for `--collect`, `--updates` and the like, which must occur."""
    for name, number in lengths.items():
        text, found = re.subn(rf"--{name.replace('_', '-')} \d+", f"--{name.replace('_', '-')} {number}", text)
        assert found == 1, name
    return text


def with_options(text, command, options):
    """The commands with more options for the one that begins with `command`."""
    lines = text.splitlines(keepends=True)
    (number,) = [number for number, line in enumerate(lines) if command in line]
    before, comment, after = lines[number].rstrip("\n").partition("  #")
    lines[number] = f"{before.rstrip()} {options}{comment}{after}\n"
    return "".join(lines)


@pytest.fixture(scope="module", params=sampled(["installed", "installing"], ["installed"]))
def walk(request, tmp_path_factory):
    """Runs commands as a newcomer would: in a folder with nothing but the checkout. Returns the folder and the log."""
    installing = request.param == "installing"
    folder = tmp_path_factory.mktemp("walk") / "drol"
    if installing:
        shutil.copytree(ROOT, folder, ignore=NO_CHECKOUT)
    else:
        folder.mkdir()
        (folder / "examples").symlink_to(ROOT / "examples")
        made = venv.EnvBuilder(symlinks=True)
        made.create(folder / ".venv")
        purelib = Path(sysconfig.get_path("purelib", vars={"base": folder / ".venv"}))
        others = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
        (purelib / "others.pth").write_text("\n".join([*others, str(ROOT / "src")]) + "\n")
        command = folder / ".venv" / "bin" / "drol"
        command.write_text(
            f"#!{folder}/.venv/bin/python\nimport sys\nfrom drol.cli.main import main\nsys.exit(main())\n"
        )
        command.chmod(0o755)

    def walked(text):
        if not installing:
            text = re.sub(r"^python3 -m venv .venv &&.*-c .ci/constraints.txt( && )?", "", text, flags=re.M)
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", text],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        print(done.stdout)
        assert done.returncode == 0, done.stdout
        return folder, done.stdout

    return walked


@pytest.mark.slow
def test_from_nothing_to_an_evaluated_policy(walk):
    first = shortened(commands("README.md", "drol train cube"), collect=1)
    first = with_options(first, "drol train", "--workers 1 --updates 100 --eval-every 50 --eval-episodes 1")
    then = shortened(commands("README.md", "--episodes 50"), episodes=2)
    acting = block("README.md", "python", 'load_policy("runs')
    code = script("import numpy as np, drol", "observation = np.zeros(28)", acting, "print(action.shape)")
    folder, log = walk(first + then + code)
    assert "(5,)" in log.splitlines()
    assert len((folder / ROBOT_ARM / "evaluations.jsonl").read_text().splitlines()) == 2
    assert "2 episodes" in log


def test_the_pages_begin_with_the_commands_of_the_readme():
    for containing in ("drol train cube", "--episodes 50"):
        assert commands("docs/get-started.md", containing) == commands("README.md", containing)


@pytest.mark.ci
def test_from_own_arrays_to_a_deployed_policy(walk):
    """By README alone."""
    own = commands("README.md", "drol doctor")
    lengths = "--updates 100 --eval-every 50 --eval-episodes 1 --eval-max-steps 20 --workers 1"
    acting = block("README.md", "python", 'load_policy("runs').replace(ROBOT_ARM, "runs/logs-drol-seed0")
    _, log = walk(
        installation()
        + f"cat > mypackage.py <<'END'\n{PACKAGE}\nEND\n"
        + script(RECORDED, block("README.md", "python", "np.savez"))
        + with_options(own, "drol train", lengths)
        + script("import numpy as np, drol", "observation = np.ones((7, 3))", acting, "print(action.shape)")
    )
    assert "logs.npz: sound" in log
    assert "(7, 1)" in log.splitlines()


@pytest.mark.slow
def test_from_logs_to_a_deployed_policy(walk):
    """By the tutorials "Your own data" and "Deploying a policy"."""
    tutorial = "docs/tutorials/own-data.md"
    lengths = "--eval-episodes 1 --eval-max-steps 20 --workers 1"
    pendulum = shortened(commands(tutorial, "Pendulum-v1"), updates=100, eval_every=50)
    deploy = commands("docs/tutorials/deploying.md", "deploy.py").replace(ROBOT_ARM, "runs/pendulum-drol-seed0")
    folder, log = walk(
        installation()
        + commands(tutorial, "own_data.py")
        + commands(tutorial, "drol doctor walks.npz")
        + shortened(commands(tutorial, "drol train walks.npz"), updates=100)
        + with_options(pendulum, "drol train", lengths)
        + deploy
    )
    assert "walks.npz: not fit for training" in log
    assert log.count("walks.npz: sound") == 2
    assert re.search(r"one action takes \d+ microseconds", log)
    assert drol.load_policy(folder / "runs/pendulum-drol-seed0")(np.zeros(3)).shape == (1,)


def installation():
    """README's first command without its training, and the activation that follows it."""
    install = re.sub(r" && \.venv/bin/drol train .*", "", commands("README.md", "drol train cube"))
    return install + commands("README.md", "--episodes 50").splitlines()[0] + "\n"

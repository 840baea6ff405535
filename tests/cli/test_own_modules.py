"""The installed command finds the modules of the folder it is run in, and so do its workers."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.helpers.own_logs import walk

ENVIRONMENT = """
import gymnasium
import numpy as np


class Walk(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,))
    action_space = gymnasium.spaces.Box(-1, 1, (2,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        return np.append(action, 0).astype(np.float32), 1.0, False, False, {}


gymnasium.register("DrolOwn-v0", entry_point=Walk, max_episode_steps=5)
"""


def test_environments_and_algorithms_of_the_current_folder(tmp_path):
    work, scripts = tmp_path / "work", tmp_path / "bin"
    work.mkdir()
    scripts.mkdir()
    np.savez(work / "log.npz", **walk(8))
    (work / "own_walk.py").write_text(ENVIRONMENT)
    example = Path(__file__).parents[2] / "examples" / "own_algorithm.py"
    (work / "own_method.py").write_text(example.read_text())
    # As pip writes it: Python puts the script's folder on the path, not the current one.
    (scripts / "drol").write_text("import sys\nfrom drol.cli.main import main\nsys.exit(main())\n")
    options = ["--updates", "20", "--eval-every", "10", "--eval-episodes", "1", "--hidden", "8", "--workers", "1"]
    command = [sys.executable, scripts / "drol", "train", "log.npz", "--out", "run", *options]
    command += ["--env", "own_walk:DrolOwn-v0", "--algorithm", "own_method:TD3BC"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (work / "run" / "evaluations.jsonl").read_text().splitlines()]
    assert {line["return"] for line in lines} == {5.0}

"""Scripts that train cells elsewhere: their directives, and that the shell's part works."""

import os
import re
import signal
import subprocess
import sys

import pytest
import yaml

from drol.errors import UsageError
from drol.launchers.job import Job
from drol.launchers.scripts import SCRIPTS
from tests.helpers.cells import cell, counted, hanging

ODD = "it's 'a' \"$HOME\" task"
SHOWN = (sys.executable, "-c", "import sys; print(sys.argv[1:])", ODD, "x y")
NEEDED = {"sbatch": {}, "jobset": {"image": "me/drol:1", "claim": "runs"}, "skypilot": {"bucket": "s3://runs"}}


def jobs(folder):
    return [Job("a", SHOWN, None, folder), Job("b", (sys.executable, "-c", "raise SystemExit(3)"), None, folder)]


def bash(text, folder, **variables):
    given = {name: str(value) for name, value in variables.items()}
    return subprocess.run(["bash", "-c", text], cwd=folder, env=os.environ | given, capture_output=True, text=True)


def test_a_slurm_array_has_a_task_per_cell(tmp_path):
    text = SCRIPTS["sbatch"](jobs(tmp_path), {"partition": "gpu", "gres": "gpu:1", "exclusive": ""})
    directives = re.findall(r"^#SBATCH (--\S+)$", text, re.MULTILINE)
    assert set(directives) >= {"--array=0-1", "--requeue", "--signal=B:TERM@120", "--open-mode=append"}
    assert set(directives) >= {"--partition=gpu", "--gres=gpu:1", "--exclusive"}
    assert text.index("#SBATCH") < text.index("cd ")
    first = bash(text, tmp_path, SLURM_ARRAY_TASK_ID=0)
    assert (first.returncode, first.stdout) == (0, f"{[ODD, 'x y']}\n")
    assert bash(text, tmp_path, SLURM_ARRAY_TASK_ID=1).returncode == 3


def test_a_slurm_task_whose_time_is_up_stops_its_cell_and_queues_itself_again(tmp_path):
    (tmp_path / "bin").mkdir()
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.write_text(f"#!/bin/bash\ncd {tmp_path}; echo $@ $(ls *.ended) > requeued\n")
    scontrol.chmod(0o755)
    text = SCRIPTS["sbatch"]([cell(tmp_path, "a", "hang")], {})
    variables = {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_JOB_ID": "7", "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    with subprocess.Popen(["bash", "-c", text], env=os.environ | variables) as process:
        hanging(tmp_path, "a")
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert (tmp_path / "requeued").read_text() == "requeue 7_0 a.ended\n", "once the cell has ended"
    assert bash(text, tmp_path, **variables).returncode == 0
    assert counted(tmp_path, "a") == ["0", "1", "2"]


def test_a_jobset_has_a_pod_per_cell(tmp_path):
    given = NEEDED["jobset"] | {"gpus": "1", "parallelism": "1"}
    spec = yaml.safe_load(SCRIPTS["jobset"](jobs(tmp_path), given))
    assert (spec["apiVersion"], spec["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    job = spec["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 2, 1)
    assert job["backoffLimitPerIndex"] > 0
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never", "which backoffLimitPerIndex requires"
    (container,) = pod["containers"]
    assert container["image"] == "me/drol:1"
    assert container["resources"] == {"limits": {"nvidia.com/gpu": "1"}}
    assert container["workingDir"] == container["volumeMounts"][0]["mountPath"] == str(tmp_path)
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "runs"}
    assert container["command"] == ["bash", "-c"]
    assert bash(container["args"][0], tmp_path, JOB_COMPLETION_INDEX=0).stdout == f"{[ODD, 'x y']}\n"
    assert bash(container["args"][0], tmp_path, JOB_COMPLETION_INDEX=1).returncode == 3


def test_a_skypilot_task_divides_its_cells_among_its_nodes(tmp_path):
    given = NEEDED["skypilot"] | {"accelerators": "A100:1", "num_nodes": "2"}
    task = yaml.safe_load(SCRIPTS["skypilot"](jobs(tmp_path), given))
    assert task["num_nodes"] == 2
    assert task["resources"] == {"use_spot": True, "accelerators": "A100:1"}
    assert task["file_mounts"] == {str(tmp_path): {"source": "s3://runs", "mode": "MOUNT_CACHED"}}
    first = bash(task["run"], tmp_path, SKYPILOT_NODE_RANK=0, SKYPILOT_NUM_NODES=2)
    assert (first.returncode, first.stdout) == (0, f"{[ODD, 'x y']}\n")
    assert bash(task["run"], tmp_path, SKYPILOT_NODE_RANK=1, SKYPILOT_NUM_NODES=2).returncode == 1
    alone = bash(task["run"], tmp_path, SKYPILOT_NODE_RANK=0, SKYPILOT_NUM_NODES=1)
    assert (alone.returncode, alone.stdout) == (1, f"{[ODD, 'x y']}\n")


@pytest.mark.parametrize("kind", ["jobset", "skypilot"])
def test_what_a_script_needs_or_does_not_know_is_said(tmp_path, kind):
    needed = dict(NEEDED[kind])
    missing = needed.popitem()[0]
    with pytest.raises(UsageError, match=rf"needs {missing}: give --launcher-option {missing}=\.\.\."):
        SCRIPTS[kind](jobs(tmp_path), needed)
    with pytest.raises(UsageError, match="has no option 'partition'"):
        SCRIPTS[kind](jobs(tmp_path), NEEDED[kind] | {"partition": "gpu"})

"""Jobs as a script to submit by hand: for Slurm, for Kubernetes (JobSet), or for SkyPilot.

Every script names its jobs in one list and starts one by its number. As jobs go on where they were stopped, whatever
starts them again (a requeue, a retry, a recovered spot machine) is enough.
"""

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence

from drol.errors import UsageError
from drol.files import listed
from drol.launchers.job import Job

NAME = "drol"
STOPPED = 143
"""The exit status of a job that ended on SIGTERM, with a checkpoint."""

Options = Mapping[str, str]


def sbatch(jobs: Sequence[Job], options: Options) -> str:
    """A job array for `sbatch`.

    Args:
        jobs: one task of the array each.
        options: of sbatch, by their long names without dashes: `partition`, `time`, `gres`, ...

    Two minutes before a task's time is up it gets SIGTERM, keeps a checkpoint and queues itself again; Slurm queues it
    again after preemption or the loss of a node.
    """
    asked = {"job-name": NAME, "output": "%x-%A_%a.out", "signal": "B:TERM@120", **options}
    directives = {"array": f"0-{len(jobs) - 1}", "open-mode": "append", **asked}
    lines = "\n".join(
        f"#SBATCH --{name}={value}" if value else f"#SBATCH --{name}" for name, value in directives.items()
    )
    return f"""\
#!/bin/bash
{lines}
#SBATCH --requeue

cd {shlex.quote(str(jobs[0].folder))} || exit 1
{_array(jobs)}
# SIGTERM comes to this shell, which passes it on and waits for the checkpoint.
eval "exec ${{cells[$SLURM_ARRAY_TASK_ID]}}" &
cell=$!
trap 'kill -TERM "$cell"' TERM
wait "$cell"; status=$?
while kill -0 "$cell" 2>/dev/null; do wait "$cell"; status=$?; done
if [ "$status" -eq {STOPPED} ]; then
  exec scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
fi
exit "$status"
"""


def jobset(jobs: Sequence[Job], options: Options) -> str:
    """A Kubernetes JobSet whose one indexed job has a pod per cell.

    Args:
        jobs: one pod each.
        options: `image` (with drol installed) and `claim` (a PersistentVolumeClaim, mounted at the folder in which the
            jobs run), which are required; `gpus` and `cpus` per pod, `parallelism`.

    Raises:
        UsageError: if one of them is missing or unknown.
    """
    _check(options, required=("image", "claim"), allowed=("gpus", "cpus", "parallelism"))
    limits = {"nvidia.com/gpu": options.get("gpus"), "cpu": options.get("cpus")}
    resources = {name: value for name, value in limits.items() if value is not None}
    limited = f"                resources: {json.dumps({'limits': resources})}\n" if resources else ""
    folder = json.dumps(str(jobs[0].folder))
    script = f'{_array(jobs)}\neval "exec ${{cells[$JOB_COMPLETION_INDEX]}}"'
    return f"""\
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: {NAME}
spec:
  replicatedJobs:
    - name: cells
      replicas: 1
      template:
        spec:
          completionMode: Indexed
          completions: {len(jobs)}
          parallelism: {int(options.get("parallelism", len(jobs)))}
          backoffLimitPerIndex: 6
          template:
            spec:
              restartPolicy: Never
              terminationGracePeriodSeconds: 120
              containers:
              - name: cell
                image: {json.dumps(options["image"])}
                workingDir: {folder}
                command: ["bash", "-c"]
                args:
                  - |
{_indented(script, 20)}
{limited}                volumeMounts:
                  - name: runs
                    mountPath: {folder}
              volumes:
                - name: runs
                  persistentVolumeClaim:
                    claimName: {json.dumps(options["claim"])}
"""


def skypilot(jobs: Sequence[Job], options: Options) -> str:
    """A SkyPilot task that runs the cells one after the other on each of its nodes; `sky jobs launch` recovers it.

    Args:
        jobs: divided among the nodes.
        options: `bucket` (cloud storage, mounted at the folder in which the jobs run), which is required;
            `accelerators`, `cloud`, `cpus`, `num_nodes`, `setup`.

    Raises:
        UsageError: if one of them is missing or unknown.
    """
    _check(options, required=("bucket",), allowed=("accelerators", "cloud", "cpus", "num_nodes", "setup"))
    named = [name for name in ("accelerators", "cloud", "cpus") if name in options]
    asked = "".join(f"  {name}: {json.dumps(options[name])}\n" for name in named)
    folder = str(jobs[0].folder)
    setup = options.get("setup", "pip install 'drol[ogbench,train]'")
    script = f"""\
cd {shlex.quote(folder)}
{_array(jobs)}
failed=0
for ((cell = SKYPILOT_NODE_RANK; cell < ${{#cells[@]}}; cell += SKYPILOT_NUM_NODES)); do
  eval "${{cells[$cell]}}" || failed=1
done
exit $failed"""
    return f"""\
name: {NAME}
num_nodes: {int(options.get("num_nodes", 1))}
resources:
  use_spot: true
{asked}file_mounts:
  {json.dumps(folder)}:
    source: {json.dumps(options["bucket"])}
    mode: MOUNT_CACHED
setup: |
{_indented(setup, 2)}
run: |
{_indented(script, 2)}
"""


SCRIPTS: Mapping[str, Callable[[Sequence[Job], Options], str]] = {
    "sbatch": sbatch,
    "jobset": jobset,
    "skypilot": skypilot,
}
"""What makes each kind of script."""

SUBMITTED_BY = {"sbatch": "sbatch {}", "jobset": "kubectl apply -f {}", "skypilot": "sky jobs launch {}"}
"""The command that submits each."""

SUFFIXES = {"sbatch": ".sbatch", "jobset": ".yaml", "skypilot": ".sky.yaml"}


def _array(jobs: Sequence[Job]) -> str:
    """The jobs as an array of a shell."""
    words = "\n".join(f"  {shlex.quote(shlex.join(job.command))}" for job in jobs)
    return f"cells=(\n{words}\n)"


def _indented(text: str, spaces: int) -> str:
    return re.sub(r"^(?=.)", " " * spaces, text, flags=re.MULTILINE)


def _check(options: Options, *, required: Sequence[str], allowed: Sequence[str]) -> None:
    if missing := [name for name in required if name not in options]:
        raise UsageError(f"this script needs {listed(missing)}: give --launcher-option {missing[0]}=...")
    if unknown := [name for name in options if name not in (*required, *allowed)]:
        raise UsageError(f"this script has no option {unknown[0]!r}; it takes {listed([*required, *allowed])}")

"""`drol` as it is after the core alone was installed: `python -m tests.helpers.core_alone COMMAND...`.

Without the test environment's packages a second environment would be needed; here their imports fail as if absent.
"""

import importlib.abc
import sys

OPTIONAL = {"gymnasium", "rich", "orbax", "h5py", "ogbench", "mujoco", "minari", "tensorboardX", "wandb", "matplotlib"}


class Absent(importlib.abc.MetaPathFinder):
    """Finds nothing under the optional packages' names, and asks nobody else."""

    def find_spec(self, name, path=None, target=None):
        """Called first for every import."""
        if name.partition(".")[0] in OPTIONAL:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


if __name__ == "__main__":
    sys.meta_path.insert(0, Absent())
    from drol.cli.main import main

    sys.exit(main(sys.argv[1:]))

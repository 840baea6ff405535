"""Where data sets and tasks come from: OGBench, D4RL, Minari and logs of your own, behind one contract.

Names can be parsed without JAX and without optional packages but those that hold the names themselves; data and
environments are read and made by modules that are imported on first use.
"""

from drol.sources.contract import Needs, Request, Source, Task
from drol.sources.loading import load, load_data, read_log
from drol.sources.own import OWN
from drol.sources.records import environment_in_file, environment_of_record, environment_of_task, is_module
from drol.sources.registry import (
    NOWHERE,
    PUBLISHED,
    SOURCES,
    collector_of,
    environment,
    environment_of,
    parse_task,
    source_of,
)

__all__ = [
    "NOWHERE",
    "OWN",
    "PUBLISHED",
    "SOURCES",
    "Needs",
    "Request",
    "Source",
    "Task",
    "collector_of",
    "environment",
    "environment_in_file",
    "environment_of",
    "environment_of_record",
    "environment_of_task",
    "is_module",
    "load",
    "load_data",
    "parse_task",
    "read_log",
    "source_of",
]

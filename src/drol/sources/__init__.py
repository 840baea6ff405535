"""Where data sets and tasks come from: OGBench, D4RL, Minari and your own logs, behind one interface.

Parsing a name needs neither JAX nor any optional package other than the one that lists the names. The modules that read
data and make environments are imported on first use.
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

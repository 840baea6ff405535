"""What the doctor finds in sound logs of many kinds and in faults planted in them, as a table.

`python -m tests.doctor.bench` prints it (a few minutes).
"""

import sys

from tests.helpers.planted_faults import FAULTS, alarms
from tests.helpers.sound_logs import all_sound, sound


def main() -> int:
    """Print the findings on every sound log, then those on planted faults."""
    print("False alarms on sound logs, without and with next observations of their own:")
    names = list(all_sound())
    for name in names:
        found = {own: alarms(sound(name), own_successors=own) for own in (False, True)}
        print(f"  {name:34} {'; '.join(map(', '.join, found.values())) if any(found.values()) else 'none'}")
    print("\nPlanted faults: found in so many logs; the others.")
    logs = [name for name in names if "random" not in name and "switching" not in name]
    for fault, plant in FAULTS.items():
        missed = [name for name in logs if not alarms(plant(sound(name)))]
        print(f"  {fault:30} {len(logs) - len(missed):2} of {len(logs)}   {', '.join(missed)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Cells of OGBench's mazes, and the way through them."""

import collections

import numpy as np

Cell = tuple[int, int]

AROUND = ((-1, 0), (0, -1), (1, 0), (0, 1))
"""Neighbours in the order in which OGBench tries them."""


def maze_cells(maze_map: np.ndarray) -> tuple[list[Cell], list[Cell]]:
    """All free cells, and those that are corners, junctions or dead ends, i.e. not part of a straight corridor."""
    free = [(int(i), int(j)) for i, j in np.argwhere(maze_map == 0)]

    def corridor(i: int, j: int) -> bool:
        up, down, left, right = maze_map[[i - 1, i + 1, i, i], [j, j, j - 1, j + 1]] == 0
        return bool((up and down and not left and not right) or (left and right and not up and not down))

    return free, [cell for cell in free if not corridor(*cell)]


def cells_at_distance(maze_map: np.ndarray, start: Cell, distance: int) -> list[Cell]:
    """The free cells exactly `distance` moves from `start`."""
    seen, frontier = {start}, [start]
    for _ in range(distance):
        around = [(i + di, j + dj) for i, j in frontier for di, dj in AROUND]
        frontier = [c for c in dict.fromkeys(around) if c not in seen and maze_map[c] == 0]
        seen.update(frontier)
    return frontier


class Guide:
    """The next cell on the way from one cell to another, as `get_oracle_subgoal` of the environment gives it.

    Distances to a goal are computed once for each goal's cell.
    """

    def __init__(self, maze_map: np.ndarray):
        self._map = maze_map
        self._distances: dict[Cell, np.ndarray] = {}

    def towards(self, start: Cell, goal: Cell) -> Cell:
        """The neighbour of `start` that is nearest to `goal`; `start` itself if none is nearer."""
        distances = self._distances.get(goal)
        if distances is None:
            distances = self._distances[goal] = self._from(goal)
        best = start
        for di, dj in AROUND:
            cell = (start[0] + di, start[1] + dj)
            inside = 0 <= cell[0] < self._map.shape[0] and 0 <= cell[1] < self._map.shape[1]
            if inside and self._map[cell] == 0 and distances[cell] < distances[best]:
                best = cell
        return best

    def _from(self, goal: Cell) -> np.ndarray:
        """The moves from each cell to the goal; -1 where it cannot be reached, as in the environment."""
        distances = np.full(self._map.shape, -1)
        distances[goal] = 0
        waiting = collections.deque([goal])
        while waiting:
            i, j = waiting.popleft()
            for di, dj in AROUND:
                cell = (i + di, j + dj)
                inside = 0 <= cell[0] < self._map.shape[0] and 0 <= cell[1] < self._map.shape[1]
                if inside and self._map[cell] == 0 and distances[cell] == -1:
                    distances[cell] = distances[i, j] + 1
                    waiting.append(cell)
        return distances

"""Figures about the source: lines by package, `Any`, imports inside functions, what is longest and what is complex.

    python .ci/figures.py [FOLDER]     FOLDER is a checkout's src/drol; default: that of this checkout

Complexity is McCabe's, as ruff's C901 counts it (install the extra `dev`).
"""

import ast
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

LOOSE = {"Any", "object"}


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def arguments(function):
    every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [argument for argument in every if argument.arg not in ("self", "cls")]


def is_loose(annotation):
    return isinstance(annotation, ast.Name) and annotation.id in LOOSE


def imports_inside(function):
    """Imports in a function's own body, whether by statement or by call."""
    for node in ast.walk(function):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node.lineno
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__"):
                yield node.lineno


def lines_without_docstring(function):
    start = function.body[0].end_lineno if ast.get_docstring(function) is not None else function.lineno
    return function.end_lineno - start


def complex_functions(root):
    command = [sys.executable, "-m", "ruff", "check", "--select", "C901", "--output-format", "json", "--isolated", str(root)]
    command[4:4] = ["--config", "lint.mccabe.max-complexity=10"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True).stdout or "[]")
    return [f"{Path(entry['filename']).relative_to(root)}: {entry['message']}" for entry in found]


def main(root):
    packages, annotated, loose, casts = Counter(), 0, 0, 0
    inside, longest_file, longest_function = set(), (0, ""), (0, "")
    for path in sorted(root.rglob("*.py")):
        text, name = path.read_text(), str(path.relative_to(root))
        tree = ast.parse(text)
        count = len(text.splitlines())
        packages[name.split("/")[0]] += count
        longest_file = max(longest_file, (count, name))
        for function in functions(tree):
            longest_function = max(longest_function, (lines_without_docstring(function), f"{name}:{function.name}"))
            for argument in arguments(function):
                annotated += argument.annotation is not None
                loose += is_loose(argument.annotation)
            inside |= {(name, line) for line in imports_inside(function)}
        calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        casts += sum(getattr(call, "id", getattr(call, "attr", "")) == "cast" for call in calls)
    print(f"lines: {sum(packages.values())}")
    for package, count in sorted(packages.items()):
        print(f"  {package:20} {count:6}")
    share = 100 * (loose + casts) / annotated
    print(f"annotated arguments: {annotated}, of them Any or object: {loose}, and casts: {casts} ({share:.2f} %)")
    print(f"imports inside functions: {len(inside)} {sorted(Counter(name for name, _ in inside).items())}")
    print(f"longest file: {longest_file[1]}, {longest_file[0]} lines")
    print(f"longest function without its docstring: {longest_function[1]}, {longest_function[0]} lines")
    print("complexity over 10:", *(complex_functions(root) or ["none"]), sep="\n  ")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "src" / "drol").resolve())

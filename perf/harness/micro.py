"""Instructions and allocations of the hot paths, by callgrind: the same at each run, on any machine of the kind."""

import pathlib
import re
import subprocess
import tempfile

from .servers import RELEASE

ALLOCATORS = re.compile(r"mi_(malloc|zalloc|realloc|malloc_aligned|zalloc_aligned|realloc_aligned)$|^(malloc|calloc|realloc)$")

MEASURED = "ringpost_micro::measured"


def measure():
    """Name → (instructions, allocations) of one operation."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "profile"
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--dump-before={MEASURED}", f"--dump-after={MEASURED}",
             f"--callgrind-out-file={output}", RELEASE / "ringpost-micro"],
            capture_output=True, text=True, check=True)
        tasks = [line.split("\t") for line in done.stdout.splitlines()]
        # Every other profile is of what lies between two calls.
        profiles = [read(pathlib.Path(f"{output}.{2 * number}")) for number in range(1, 2 * len(tasks) + 1)]
    results = {}
    for index, (name, operations, _) in enumerate(tasks):
        few, many = profiles[2 * index], profiles[2 * index + 1]
        results[name] = tuple((after - before) / int(operations) for before, after in zip(few, many))
    return results


def read(path):
    """Instructions and calls of allocators in a profile."""
    instructions, allocations, names, callee = 0, 0, {}, ""
    for line in path.read_text().splitlines():
        if line.startswith("cfn="):
            number, _, name = line[4:].partition(" ")
            callee = names.setdefault(number, name) if name else names.get(number, "")
        elif line.startswith("fn="):
            number, _, name = line[3:].partition(" ")
            if name:
                names[number] = name
        elif line.startswith("calls=") and ALLOCATORS.search(callee):
            allocations += int(line[6:].split()[0])
        elif line.startswith("totals:"):
            instructions = int(line.split()[1])
    return instructions, allocations


def lines(results):
    out = ["| path | instructions | allocations |", "|---|---:|---:|"]
    return out + [f"| {name} | {instructions:,.0f} | {allocations:,.1f} |"
                  for name, (instructions, allocations) in results.items()]

"""Prints otava.jsonl: series of numbers, and where Apache Otava finds their change points.

    python3 -m venv venv && venv/bin/pip install apache-otava==0.8.0 numpy==2.2.0 scipy==1.16.3
    venv/bin/pip download --no-deps --no-binary :all: apache-otava==0.8.0
    venv/bin/python oracle.py apache_otava-0.8.0.tar.gz > otava.jsonl

200 series are made from seeds. 20 are real: TigerBeetle's throughput from the tests of Otava's
source package (Apache License 2.0; the archive's own series, unchanged), and the runs of this
repository's own baselines and noise floor, in their order.
"""

import ast
import json
import pathlib
import random
import re
import sys
import tarfile

from otava.analysis import compute_change_points

# window, maximum p, minimum magnitude: Otava's defaults, what its documentation uses, and loose ones
# that find many points, so that the order in which points are merged shows.
SETTINGS = [(50, 0.001, 0.0), (30, 0.05, 0.05), (20, 0.2, 0.0), (7, 0.6, 0.01)]

ROOT = pathlib.Path(__file__).resolve().parents[3]


def rounded(values, digits=5):
    return [float(f"{v:.{digits}g}") for v in values]


def synthetic(seed):
    """A series of a kind, length and noise that follow from the seed."""
    r = random.Random(seed)
    kind = ["normal", "lognormal", "drift", "outliers", "steps", "integers", "alike", "spread",
            "constant", "tiny"][seed % 10]
    n = r.choice([2, 3, 4, 5, 7, 12, 20, 33, 50, 51, 60, 75, 100, 120])
    noise = r.choice([0.005, 0.02, 0.05])
    level, values, last = r.choice([1.0, 37.0, 12000.0]), [], 0.0
    places = sorted(r.sample(range(1, n), min(n - 1, r.randrange(4)))) if kind != "constant" else []
    for i in range(n):
        if i in places:
            level *= r.choice([0.9, 0.95, 0.97, 1.03, 1.05, 1.1, 1.5])
        e = r.gauss(0, noise)
        if kind == "lognormal":
            e = r.lognormvariate(0, 3 * noise) - 1
        if kind == "drift":
            e += 0.001 * i
        if kind == "outliers" and r.random() < 0.1:
            e += r.choice([0.4, 2])
        if kind == "alike":
            e = last = 0.7 * last + e
        if kind == "spread":
            e *= 1 + 4 * (i > n / 2)
        if kind == "constant":
            e = 0 if seed % 20 < 10 else e
        values.append(level * (1 + e))
    if kind == "integers":
        return kind, [float(round(10 * v / level)) for v in values]
    if kind == "tiny":
        return kind, rounded([v / level / 1e9 for v in values], 3)
    return kind, rounded(values)


def tigerbeetle(archive):
    with tarfile.open(archive) as tar:
        text = tar.extractfile("apache_otava-0.8.0/tests/tigerbeetle_test.py").read().decode()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.List):
            return [float(ast.literal_eval(v)) for v in node.value.elts]
    raise SystemExit("the archive has no such series")


def runs(path, benchmark, unit):
    """The values of one unit of one benchmark in a file, in their order."""
    found = []
    for line in (ROOT / path).read_text().splitlines():
        fields = line.split()
        if fields and fields[0] == benchmark:
            found += [float(v) for v, u in zip(fields[2::2], fields[3::2]) if u == unit]
    if not found:
        raise SystemExit(f"{path}: no {unit} of {benchmark}")
    return rounded(found)


def real(archive):
    yield "tigerbeetle", tigerbeetle(archive)
    of = ["single-cold", "single-cached", "concurrent-5", "concurrent-10", "pool-pressure"]
    for scenario in of:
        for unit in ["p50-ttft-ns", "p50-e2e-ns", "p99-e2e-ns"]:
            yield f"tiny.floor/{scenario}/{unit}", runs(
                "benchdata/baseline/tiny.floor", names("benchdata/baseline/tiny.floor")[scenario],
                unit)
    for model in ["tiny", "smollm2", "gemma3-270m"]:
        path = f"benchdata/baseline/{model}.txt"
        yield f"{model}/concurrent-10/tok/s", runs(path, names(path)["concurrent-10"], "tok/s")
    path = "benchdata/baseline/smollm2.txt"
    yield "smollm2/pool-pressure/p95-e2e-ns", runs(path, names(path)["pool-pressure"], "p95-e2e-ns")


def names(path):
    """Benchmarks of a file by their scenario."""
    found = {}
    for name in re.findall(r"^(Benchmark\S+)", (ROOT / path).read_text(), re.M):
        for scenario in ["single-cold", "single-cached", "concurrent-5", "concurrent-10",
                         "pool-pressure"]:
            if scenario in name and not name[name.index(scenario) + len(scenario):][:1].isdigit():
                found.setdefault(scenario, name)
    return found


def found(values, window, max_p, min_magnitude):
    points, _ = compute_change_points(list(values), window_len=window, max_pvalue=max_p,
                                      min_magnitude=min_magnitude)
    return {"window": window, "maxP": max_p, "minMagnitude": min_magnitude,
            "points": [[int(c.index)] + rounded([c.stats.mean_1, c.stats.mean_2, c.stats.pvalue], 11)
                       for c in points]}


def main():
    series = [("synthetic/%03d/%s" % (seed, kind), values)
              for seed in range(200) for kind, values in [synthetic(seed)]]
    series += list(real(sys.argv[1]))
    if len(series) != 220:
        raise SystemExit(f"{len(series)} series, want 220")
    for name, values in series:
        print(json.dumps({"name": name, "values": values,
                          "found": [found(values, *s) for s in SETTINGS]}, separators=(",", ":")))


main()

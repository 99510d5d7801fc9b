#!/usr/bin/env python3
"""The published procedure in scipy, as a yardstick for bench/fit/bench_fit. Written for this project.

    scipy_chinchilla.py DATA.csv [STARTS] [RESAMPLES] > FILE      then: bench/fit/bench_fit FILE
    DATA: $MUSCALE_REFERENCE/chinchilla_svg/svg_extracted_data.csv

Needs numpy and scipy: on Debian `apt-get install python3-scipy` (scipy 1.10, the one the figures of BENCHMARKS.md come
from), run with /usr/bin/python3. It uses one thread.

grid4500  sum of Huber (delta 1e-3) of ln L - logsumexp, 4,500 starts, L-BFGS-B with numerical gradient, best successful
          one (Hoffmann et al. 2022, appendix D.3; starts of Besiroglu et al. 2024, arXiv:2404.10102)
boot1000  1,000 resamples of the rows, each BFGS with exact gradient from the best fit
grid500   500 of the starts, BFGS with exact gradient and gtol 1e-9: what a global search in a resample costs
Lines `name=seconds` are CPU seconds of the process (the machine may be shared); the wall stands beside them.
"""
import csv
import itertools
import sys
import time

import numpy as np
import scipy
from scipy.optimize import minimize

DELTA = 1e-3


def load(path):
    rows = list(csv.DictReader(open(path)))
    loss = np.array([float(r["loss"]) for r in rows])
    keep = loss < 3.4469  # the published filter: without the five highest
    n = np.log([float(r["Model Size"]) for r in rows])[keep]
    c = np.log([float(r["Training FLOP"]) for r in rows])[keep]
    return n, c - n - np.log(6), np.log(loss[keep])


def terms(t, n, d):
    a, b, e, alpha, beta = t
    u = np.vstack([a - alpha * n, b - beta * d, np.full_like(n, e)])
    top = u.max(0)
    w = np.exp(u - top)
    s = w.sum(0)
    return w, s, top + np.log(s)


def objective(t, n, d, y):
    r = np.abs(y - terms(t, n, d)[2])
    return np.where(r <= DELTA, r * r / 2, DELTA * (r - DELTA / 2)).sum()


def with_gradient(t, n, d, y):
    w, s, q = terms(t, n, d)
    r = y - q
    size = np.abs(r)
    g = -np.clip(r, -DELTA, DELTA) * w / s
    return (np.where(size <= DELTA, r * r / 2, DELTA * (size - DELTA / 2)).sum(),
            np.array([g[0].sum(), g[1].sum(), g[2].sum(), -(g[0] * n).sum(), -(g[1] * d).sum()]))


def timed(name, job):
    cpu, wall = time.process_time(), time.perf_counter()
    note = job()
    print(f"{name}={time.process_time() - cpu:.3f}\n  wall {time.perf_counter() - wall:.3f} s; {note}", flush=True)


def bfgs(start, data):
    return minimize(with_gradient, start, data, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000})


def main():
    data = load(sys.argv[1])
    print(f"scipy {scipy.__version__}, numpy {np.__version__}, {len(data[0])} rows")
    exponents, floors, amplitudes = [0, .5, 1, 1.5, 2], [-1, -.5, 0, .5, 1], [0, 5, 10, 15, 20, 25]
    grid = list(itertools.product(amplitudes, amplitudes, floors, exponents, exponents))
    n_starts = int(sys.argv[2]) if len(sys.argv) > 2 else len(grid)
    n_resamples = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    best = {}

    def published():
        some = [grid[i] for i in np.linspace(0, len(grid) - 1, n_starts).astype(int)]
        ends = [minimize(objective, g, data, method="L-BFGS-B") for g in some]
        best["fit"] = min((r for r in ends if r.success), key=lambda r: r.fun)
        return f"F {best['fit'].fun:.14g} of {n_starts} starts"

    def bootstrap():
        start = bfgs(best["fit"].x, data).x
        rng = np.random.RandomState(42)
        ends = []
        for _ in range(n_resamples):
            i = rng.choice(len(data[0]), len(data[0]))
            ends.append(bfgs(start, tuple(v[i] for v in data)).x)
        return f"{n_resamples} resamples, sd of alpha, beta {np.std(ends, axis=0, ddof=1)[3:].round(5).tolist()}"

    def global_search():
        some = itertools.product([5, 20], [5, 20], floors, exponents, exponents)
        ends = [bfgs(g, data).fun for g in some]
        return f"F {min(ends):.14g}, {sum(f < min(ends) * (1 + 1e-6) for f in ends)} of {len(ends)} starts reach it"

    timed(f"grid{n_starts}", published)
    timed(f"boot{n_resamples}", bootstrap)
    timed("grid500", global_search)


main()

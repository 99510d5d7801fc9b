#!/usr/bin/env python3
"""The published procedure in scipy, as a yardstick: 4500 starts, L-BFGS-B, numerical gradient, sum of Huber (1e-3) on logs
(Hoffmann et al. 2022, appendix D.3; starts as in Besiroglu et al. 2024). Written for this project; needs numpy and scipy.

    scipy_chinchilla.py DATA.csv [STARTS] [RESAMPLES]     DATA: $MUSCALE_REFERENCE/chinchilla_svg/svg_extracted_data.csv
"""
import csv
import itertools
import sys
import time

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

DELTA = 1e-3
rows = list(csv.DictReader(open(sys.argv[1])))
loss = np.array([float(r["loss"]) for r in rows])
keep = loss < 3.4469
n = np.log([float(r["Model Size"]) for r in rows])[keep]
c = np.log([float(r["Training FLOP"]) for r in rows])[keep]
d, y = c - n - np.log(6), np.log(loss[keep])


def objective(t, n, d, y):
    a, b, e, alpha, beta = t
    r = np.abs(y - logsumexp([a - alpha * n, b - beta * d, np.full_like(n, e)], axis=0))
    return np.sum(np.where(r <= DELTA, r * r / 2, DELTA * (r - DELTA / 2)))


def gradient(t, n, d, y):
    a, b, e, alpha, beta = t
    u = np.array([a - alpha * n, b - beta * d, np.full_like(n, e)])
    q = logsumexp(u, axis=0)
    w = np.exp(u - q)
    psi = np.clip(y - q, -DELTA, DELTA)
    return -np.array([psi @ w[0], psi @ w[1], psi @ w[2], -psi @ (w[0] * n), -psi @ (w[1] * d)])


grid = list(itertools.product([0, 5, 10, 15, 20, 25], [0, 5, 10, 15, 20, 25], [-1, -.5, 0, .5, 1], [0, .5, 1, 1.5, 2], [0, .5, 1, 1.5, 2]))
starts = int(sys.argv[2]) if len(sys.argv) > 2 else len(grid)
resamples = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
grid = [grid[i] for i in np.linspace(0, len(grid) - 1, starts).astype(int)]

t0 = time.perf_counter()
best = min((minimize(objective, g, (n, d, y), method="L-BFGS-B") for g in grid), key=lambda r: r.fun)
print(f"scipy, {starts} starts L-BFGS-B: {time.perf_counter() - t0:.2f} s, F {best.fun:.13g}")

t0 = time.perf_counter()
best = minimize(objective, best.x, (n, d, y), jac=gradient, method="BFGS", options={"gtol": 1e-9})
rng = np.random.default_rng(42)
for _ in range(resamples):
    i = rng.integers(0, len(n), len(n))
    minimize(objective, best.x, (n[i], d[i], y[i]), jac=gradient, method="BFGS", options={"gtol": 1e-9})
print(f"scipy, {resamples} resamples, warm start, BFGS exact gradient: {time.perf_counter() - t0:.2f} s")

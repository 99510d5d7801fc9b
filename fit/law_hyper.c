/* Laws of hyperparameters: the target is the best learning rate or batch, not a loss. In logs they are straight lines, so
 * with --objective mse-log the fit is ordinary least squares, as the sources do it.
 * Published forms: Step law lr = 1.79 N^-.713 D^.307 (Li et al. 2025, arXiv:2503.04715), batch = .58 D^.571 tokens; Porian et al.
 * 2024 (arXiv:2406.19146) lr = 3.7 N^-.36, batch = .7576 N^.703 tokens; DeepSeek (arXiv:2401.02954) lr = .3118 C^-.125,
 * batch = .292 C^.3271 tokens. State what N counts. */
#include <math.h>

#include "fit/law.h"

#define SIGNED_EXPONENT(name, meaning) {name, meaning, false, -10, 10, 5, {-1, -.5, 0, .5, 1}}
#define FACTOR {"c", "factor", true, 0, INFINITY, 5, {-20, -10, 0, 10, 20}}

const fit_law fit_law_lr_power = {
    .name = "lr-power",
    .formula = "lr = c N^p D^q",
    .body = "c*N^p*D^q",
    .source = "Step law, Li et al. 2025 (arXiv:2503.04715); one variable: lr-power-x",
    .target = "lr",
    .n_params = 3,
    .params = {FACTOR, SIGNED_EXPONENT("p", "exponent of N"), SIGNED_EXPONENT("q", "exponent of D")},
    .n_cols = 2,
    .cols = {"N", "D"},
    LAW_OF_FORMULA};

const fit_law fit_law_lr_power_x = {
    .name = "lr-power-x",
    .formula = "lr = c x^p",
    .body = "c*x^p",
    .source = "x = C: DeepSeek (arXiv:2401.02954), eq. 1; x = N: Porian et al. 2024 (arXiv:2406.19146)",
    .target = "lr",
    .n_params = 2,
    .params = {FACTOR, SIGNED_EXPONENT("p", "exponent of x")},
    .n_cols = 1,
    .cols = {"x"},
    LAW_OF_FORMULA};

const fit_law fit_law_batch_power = {
    .name = "batch-power",
    .formula = "batch_tokens = c N^p D^q",
    .body = "c*N^p*D^q",
    .source = "Step law, Li et al. 2025 (arXiv:2503.04715), with p = 0; batch in tokens; one variable: batch-power-x",
    .target = "batch_tokens",
    .n_params = 3,
    .params = {FACTOR, SIGNED_EXPONENT("p", "exponent of N"), SIGNED_EXPONENT("q", "exponent of D")},
    .n_cols = 2,
    .cols = {"N", "D"},
    LAW_OF_FORMULA};

const fit_law fit_law_batch_power_x = {
    .name = "batch-power-x",
    .formula = "batch_tokens = c x^p",
    .body = "c*x^p",
    .source = "x = C: DeepSeek (arXiv:2401.02954); x = N: Porian et al. 2024 (arXiv:2406.19146); x = D: Step law. Tokens",
    .target = "batch_tokens",
    .n_params = 2,
    .params = {FACTOR, SIGNED_EXPONENT("p", "exponent of x")},
    .n_cols = 1,
    .cols = {"x"},
    LAW_OF_FORMULA};

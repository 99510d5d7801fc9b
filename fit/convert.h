/* Counts with and without embeddings, for models of one vocabulary and one aspect ratio d_model/n_layer:
 *   N_T = N_E + gamma N_E^(1/3),   gamma = V (aspect/12)^(1/3)      (N_E = 12 n_layer d_model^2, one table of V d_model)
 * and what the choice does to the exponent of N_opt(C). Pearce & Song 2024, "Reconciling Kaplan and Chinchilla scaling laws"
 * (arXiv:2406.12907), eq. 5 and section 3. Counts of parameters throughout; nothing here fails for N > 0. */
#ifndef FIT_CONVERT_H
#define FIT_CONVERT_H
#include "base/err.h"

/* "VOCAB,ASPECT", both above 0: ST_USAGE. */
status fit_embedding_gamma(double *gamma, const char *text, err *e);
double fit_n_total(double n_non_embed, double gamma);
double fit_n_non_embed(double n_total, double gamma);

/* d ln N_E / d ln C_E along the frontier of a chinchilla law fitted with N_T, when both count no embeddings (C_E = 6 N_E D):
 * from beta/(alpha/3 + beta) for small models to beta/(alpha + beta) for large ones. */
double fit_frontier_exponent(double n_non_embed, double gamma, double alpha, double beta);
#endif

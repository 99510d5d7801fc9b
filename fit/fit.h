/* Fitting laws to a table of observations; results, trust, prediction. Pure: no trainer, no GPU, no printing.
 * The owner of fit/ keeps this header; the JSON forms muscale.fit/1 and muscale.predict/1 are the contract with others
 * (doc/formats.md). */
#ifndef FIT_FIT_H
#define FIT_FIT_H
#endif

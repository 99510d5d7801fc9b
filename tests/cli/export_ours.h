/* Our side of the export proofs: the model of a written config.yaml, its weights, its logits. */
#ifndef TESTS_CLI_EXPORT_OURS_H
#define TESTS_CLI_EXPORT_OURS_H
#include "trainer/config.h"

typedef struct ours {
    trainer_config c;
    size_t n, stride;
    shape_tensor *shape;
    mup_tensor *tensor;
    mup_model mult;
    double beta1, beta2;
    bank *bank;     /* one replica, the config's batch, initial weights of its seed */
    float *weights; /* [stride], as drawn */
} ours;

status ours_open(ours *o, const char *config_yaml, err *e);
void ours_close(ours *o);
/* Logits of the drawn weights for n_seq * seq_len tokens: out [n_seq * seq_len][vocab]; ids (n_seq, seq_len + 1). Few
 * rows only. */
status ours_logits(const ours *o, double *out, const int32_t *ids, size_t n_seq, err *e);
void ours_tokens(const ours *o, int32_t *ids, size_t n, uint64_t step);
#endif

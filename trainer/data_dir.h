/* The directory of a data set under construction: made beside its target, swapped in whole. Private to trainer/. */
#ifndef TRAINER_DATA_DIR_H
#define TRAINER_DATA_DIR_H
#include "base/err.h"
#include "base/io.h"

/* Makes temp (IO_PATH_MAX) beside target, the cleaned form of out_dir (IO_PATH_MAX). ST_INPUT when out_dir exists and
 * is neither empty nor an older data set; ST_IO when it cannot be made. */
status data_dir_begin(char *temp, char *target, const char *out_dir, err *e);
/* Durable, then renamed onto target; an older data set there is swapped out and removed. */
status data_dir_publish(const char *temp, const char *target, err *e);
void data_dir_remove(const char *dir); /* its files, then itself */
#endif

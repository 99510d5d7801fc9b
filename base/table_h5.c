/* Tables from the run store. Placeholder until the store's reader stands here. */
#include "base/table.h"

status table_read_h5(table *t, const char *path, err *e)
{
    (void)t;
    return err_set(e, ST_INPUT, "%s: HDF5 run stores cannot be read yet; give a .csv file", path);
}

status table_read_dir(table *t, const char *path, err *e)
{
    (void)t;
    return err_set(e, ST_INPUT, "%s: campaigns cannot be read yet; give a .csv file", path);
}

/* What a launch hands over to the process that goes on with it: who is under suspicion, and who has failed. The rest is
 * on disk. "STRIKES ID:N ...": N = banks of at most so many, "alone", "failed"; of any run of a shape, "struck"
 * and "caught" (class_mark). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sweeps/launch_parts.h"

enum { LONGEST = 100000 }; /* Linux takes 131,072 bytes as one string of the environment */

char *launch_handover(const launch *l)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return NULL;
    fprintf(f, "%zu", l->strikes);
    for (size_t k = 0; k < l->p->n_classes; k++) {
        const char *id = l->p->runs[l->p->classes[k].example].id;
        if (l->marks[k].struck) fprintf(f, " %s:struck", id);
        if (l->marks[k].caught) fprintf(f, " %s:caught", id);
    }
    for (size_t i = 0; i < l->p->n_runs; i++) {
        const cell *c = &l->cells[i];
        const char *id = l->p->runs[i].id;
        if (c->state == CELL_FAILED) fprintf(f, " %s:failed", id);
        else if (c->state == CELL_WAITING && c->alone) fprintf(f, " %s:alone", id);
        else if (c->state == CELL_WAITING && c->at_most) fprintf(f, " %s:%zu", id, c->at_most);
    }
    if (fclose(f) || n > LONGEST) {
        free(text);
        return NULL;
    }
    return text;
}

static void take_over(launch *l, size_t run, const char *word)
{
    cell *c = &l->cells[run];
    class_mark *m = &l->marks[l->p->runs[run].class];
    if (!strcmp(word, "struck")) m->struck = true;
    if (!strcmp(word, "caught")) m->caught = true;
    if (!strcmp(word, "struck") || !strcmp(word, "caught")) return;
    if (c->state != CELL_WAITING) return;
    c->alone = !strcmp(word, "alone");
    c->at_most = c->alone ? 1 : strtoull(word, NULL, 10);
    if (strcmp(word, "failed")) return;
    c->state = CELL_FAILED;
    l->n_failed++;
}

void launch_resume(launch *l)
{
    const char *at = l->o->resumed;
    if (!at) return;
    l->strikes = strtoull(at, NULL, 10);
    while ((at = strchr(at, ' '))) {
        char id[SWEEP_ID_SIZE] = "", word[32] = "";
        if (sscanf(++at, "%16[^:]:%31s", id, word) != 2) continue;
        for (size_t i = 0; i < l->p->n_runs; i++)
            if (!strcmp(l->p->runs[i].id, id)) take_over(l, i, word);
    }
}

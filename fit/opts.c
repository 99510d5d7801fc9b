/* Options of a fit: defaults and the little texts of the command line (P=V, P=Q, P=LO,HI). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "fit/solver.h"

fit_opts fit_opts_default(const fit_law *law)
{
    fit_opts o = {
        .law = law, .objective = &fit_objectives[0], .solver = &fit_solvers[0], .delta = NAN, .bootstrap = 1000};
    for (size_t j = 0; j < FIT_MAX_PARAMS; j++) {
        o.fix[j] = o.lo[j] = o.hi[j] = NAN;
        o.tie[j] = -1;
    }
    return o;
}

static status known_params(const fit_law *law, const char *text, const char *name, err *e)
{
    char list[256] = "";
    for (size_t j = 0; j < law->n_params; j++) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", j ? ", " : "", law->params[j].name);
    }
    return err_set(e, ST_USAGE, "'%s': %s has no parameter '%s'; it has %s", text, law->name, name, list);
}

/* "NAME=rest": the parameter and where the rest begins. */
static status name_of(const fit_law *law, const char *text, size_t stop, int *param, const char **rest, err *e)
{
    char name[FIT_NAME];
    const char *eq = memchr(text, '=', stop);
    if (!eq || eq == text || (size_t)(eq - text) >= sizeof name)
        return err_set(e, ST_USAGE, "'%.*s': write PARAMETER=VALUE, as in %s=0.5", (int)stop, text,
                       law->params[law->n_params - 1].name);
    snprintf(name, sizeof name, "%.*s", (int)(eq - text), text);
    *param = fit_law_param(law, name);
    *rest = eq + 1;
    return *param < 0 ? known_params(law, text, name, e) : ST_OK;
}

static status value_of(const fit_law *law, const char *text, int param, const char *from, size_t n, bool zero_ok,
                       double *out, err *e)
{
    char number[64];
    const fit_param *q = &law->params[param];
    snprintf(number, sizeof number, "%.*s", (int)n, from);
    if (n >= sizeof number || !num_parse_f64(number, out))
        return err_set(e, ST_USAGE, "'%s': '%s' is not a finite number", text, number);
    char domain[64];
    snprintf(domain, sizeof domain, q->log ? "above 0" : "between %g and %g", q->lo, q->hi);
    if (*out < q->lo || *out > q->hi || (q->log && !zero_ok && *out == 0))
        return err_set(e, ST_USAGE, "'%s': %s must be %s", text, q->name, domain);
    return ST_OK;
}

status fit_opts_fix(fit_opts *o, const char *text, err *e)
{
    int j;
    const char *rest;
    double v;
    status s = name_of(o->law, text, strlen(text), &j, &rest, e);
    if (!s) s = value_of(o->law, text, j, rest, strlen(rest), false, &v, e);
    if (!s && o->tie[j] >= 0) return err_set(e, ST_USAGE, "'%s': %s is tied already", text, o->law->params[j].name);
    if (!s) o->fix[j] = v;
    return s;
}

status fit_opts_tie(fit_opts *o, const char *text, err *e)
{
    int j;
    const char *rest;
    status s = name_of(o->law, text, strlen(text), &j, &rest, e);
    if (s) return s;
    int k = fit_law_param(o->law, rest);
    if (k < 0) return known_params(o->law, text, rest, e);
    if (j == k || o->tie[k] >= 0 || !isnan(o->fix[j]))
        return err_set(e, ST_USAGE, "'%s': tie a free parameter to one that is not tied itself", text);
    for (size_t i = 0; i < o->law->n_params; i++)
        if (o->tie[i] == j)
            return err_set(e, ST_USAGE, "'%s': %s is tied to %s already", text, o->law->params[i].name,
                           o->law->params[j].name);
    if (o->law->params[j].log != o->law->params[k].log)
        return err_set(e, ST_USAGE, "'%s': an exponent and an amplitude cannot be tied", text);
    o->tie[j] = k;
    return ST_OK;
}

status fit_opts_bound(fit_opts *o, const char *text, err *e)
{
    int j;
    const char *rest;
    double lo, hi;
    status s = name_of(o->law, text, strlen(text), &j, &rest, e);
    if (s) return s;
    size_t n = strcspn(rest, ",");
    if (!rest[n]) return err_set(e, ST_USAGE, "'%s': write PARAMETER=LOW,HIGH", text);
    s = value_of(o->law, text, j, rest, n, true, &lo, e);
    if (!s) s = value_of(o->law, text, j, rest + n + 1, strlen(rest + n + 1), false, &hi, e);
    if (!s && lo >= hi) return err_set(e, ST_USAGE, "'%s': the low bound is not below the high one", text);
    if (!s) o->lo[j] = lo, o->hi[j] = hi;
    return s;
}

/* SD or SD@LOSS,SD@LOSS. */
status fit_opts_noise(fit_opts *o, const char *text, err *e)
{
    fit_noise z = {0};
    const char *p = text;
    for (bool more = true; more; z.n++) {
        char field[64];
        size_t n = strcspn(p, ",");
        snprintf(field, sizeof field, "%.*s", (int)n, p);
        char *at = strchr(field, '@');
        if (at) *at++ = 0;
        bool ok = z.n < 2 && n < sizeof field && num_parse_f64(field, &z.sd[z.n]) && z.sd[z.n] > 0;
        ok = ok && (at ? num_parse_f64(at, &z.loss[z.n]) && z.loss[z.n] > 0 : !p[n] && !z.n);
        if (!ok)
            return err_set(e, ST_USAGE,
                           "--noise '%s': write the sd of the loss in nats, above 0, as in 0.005, or at two losses, as in "
                           "0.002@3,0.05@7", text);
        more = p[n] == ',';
        p += n + more;
    }
    if (z.n == 1 && z.loss[0] > 0) return err_set(e, ST_USAGE, "--noise '%s': one sd goes without @LOSS", text);
    if (z.n == 2 && !(z.loss[0] < z.loss[1]))
        return err_set(e, ST_USAGE, "--noise '%s': the lower loss stands first", text);
    o->noise = z;
    return ST_OK;
}

status fit_opts_domain(fit_law *typed, const char *text, err *e)
{
    int j;
    const char *rest;
    char number[64];
    double v[2];
    status s = name_of(typed, text, strlen(text), &j, &rest, e);
    for (int k = 0; k < 2 && !s; k++) {
        size_t n = strcspn(rest, ",");
        snprintf(number, sizeof number, "%.*s", (int)n, rest);
        if ((k == 0) != (rest[n] == ','))
            return err_set(e, ST_USAGE, "'%s': write PARAMETER=LOW,HIGH", text);
        if (n >= sizeof number || !num_parse_f64(number, &v[k]))
            return err_set(e, ST_USAGE, "'%s': '%s' is not a finite number", text, number);
        rest += n + (rest[n] == ',');
    }
    if (!s && v[0] >= v[1]) return err_set(e, ST_USAGE, "'%s': the low bound is not below the high one", text);
    if (!s) fit_law_typed_domain(typed, j, v[0], v[1]);
    return s;
}

status fit_start_parse(double *start, const fit_law *law, const char *text, err *e)
{
    for (size_t j = 0; j < FIT_MAX_PARAMS; j++) start[j] = NAN;
    for (const char *p = text;;) {
        size_t n = strcspn(p, ",");
        int j;
        const char *rest;
        status s = name_of(law, p, n, &j, &rest, e);
        if (!s) s = value_of(law, text, j, rest, n - (size_t)(rest - p), false, &start[j], e);
        if (s) return s;
        if (!p[n]) break;
        p += n + 1;
    }
    for (size_t j = 0; j < law->n_params; j++)
        if (isnan(start[j]))
            return err_set(e, ST_USAGE, "'%s': a start needs all parameters, %s is missing", text, law->params[j].name);
    return ST_OK;
}

/* muscale doctor: what is installed, which devices, and what this machine really does per second. */
#include <gsl/gsl_version.h>
#include <hdf5.h>
#include <nettle/version.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>
#include <yaml.h>
#include <zlib.h>

#include "cli/cli.h"
#include "cli/doctor.h"
#include "config.h"
#include "kernels/blas.h"
#include "kernels/device.h"

enum { MAX_DEVICES = 16, MAX_HINTS = 4 };

typedef struct library { const char *name; char version[64]; } library; /* version "": not found */

typedef struct findings {
    library libs[9 + K_DEVICE_LIBRARIES];
    size_t n_libs;
    char gnuplot[96], blas_core[48];
    char cpu[128];
    const char *level, *forced; /* detected; MUSCALE_CPU or NULL */
    int cores;
    double memory_gb, disk_gb;
    char directory[512];
    double sgemm_gflops, copy_gb;
    k_device device[MAX_DEVICES];
    size_t n_devices;
    char no_device[256];
    char attention[320]; /* what a context will use; "": no CUDA in this build */
    char hint[MAX_HINTS][256];
    size_t n_hints;
} findings;

static void lib(findings *f, const char *name, const char *version)
{
    library *l = &f->libs[f->n_libs++];
    l->name = name;
    snprintf(l->version, sizeof l->version, "%s", version);
}

static void find_libraries(findings *f)
{
    char text[64];
    unsigned major, minor, release;
    lib(f, "gsl", gsl_version);
    H5get_libversion(&major, &minor, &release);
    snprintf(text, sizeof text, "%u.%u.%u", major, minor, release);
    lib(f, "hdf5", text);
    lib(f, "libyaml", yaml_get_version_string());
    lib(f, "jansson", JANSSON_VERSION);
    snprintf(text, sizeof text, "%d.%d", nettle_version_major(), nettle_version_minor());
    lib(f, "nettle", text);
    major = XXH_versionNumber();
    snprintf(text, sizeof text, "%u.%u.%u", major / 10000, major / 100 % 100, major % 100);
    lib(f, "xxhash", text);
    lib(f, "zlib", zlibVersion());
}

static void find_blas(findings *f)
{
    char version[64] = "unknown";
    snprintf(f->blas_core, sizeof f->blas_core, "%s", k_blas_core_name());
#ifdef HAVE_OPENBLAS_GET_CONFIG
    char *openblas_get_config(void); /* "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..." */
    const char *words = openblas_get_config();
    if (!strncmp(words, "OpenBLAS ", 9))
        snprintf(version, sizeof version, "%.*s", (int)strcspn(words + 9, " "), words + 9);
#endif
    lib(f, *f->blas_core ? "openblas" : "cblas", version);
}

static void hint(findings *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void hint(findings *f, const char *fmt, ...)
{
    va_list ap;
    if (f->n_hints == MAX_HINTS) return;
    va_start(ap, fmt);
    vsnprintf(f->hint[f->n_hints++], sizeof f->hint[0], fmt, ap);
    va_end(ap);
}

/* What a context will use: the word in MUSCALE_ATTENTION, or why not. */
static void find_attention(findings *f, const k_device_library *cudnn)
{
    const char *asked = getenv("MUSCALE_ATTENTION");
    if (!asked || !*asked || !strcmp(asked, "own")) snprintf(f->attention, sizeof f->attention, "own");
    else if (strcmp(asked, "cudnn"))
        snprintf(f->attention, sizeof f->attention, "refused: MUSCALE_ATTENTION=%.32s; it is own or cudnn", asked);
    else if (cudnn && *cudnn->version)
        snprintf(f->attention, sizeof f->attention, "cudnn %s forward where it has a deterministic plan, else own",
                 cudnn->version);
    else
        snprintf(f->attention, sizeof f->attention, "own; cudnn is asked for, but %s",
                 cudnn && *cudnn->why ? cudnn->why : "this build has none");
}

static void find_device_libraries(findings *f)
{
    k_device_library l[K_DEVICE_LIBRARIES];
    const k_device_library *cudnn = NULL;
    const size_t n = k_device_libraries(l);
    for (size_t i = 0; i < n; i++) {
        lib(f, l[i].name, l[i].version);
        if (!strcmp(l[i].name, "cudnn")) cudnn = &l[i]; /* nobody's duty: no hint */
        else if (*l[i].why) hint(f, "%s", l[i].why);
    }
    if (n) find_attention(f, cudnn);
}

static void find_machine(findings *f)
{
    cpu_set_t set;
    struct statvfs disk;
    const cpu_level level = cpu_level_detect();
    doctor_cpu_model(f->cpu, sizeof f->cpu);
    f->level = cpu_level_name(level);
    f->forced = getenv("MUSCALE_CPU");
    f->cores = sched_getaffinity(0, sizeof set, &set) ? (int)sysconf(_SC_NPROCESSORS_ONLN) : CPU_COUNT(&set);
    f->memory_gb = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) * 1e-9;
    if (!getcwd(f->directory, sizeof f->directory)) snprintf(f->directory, sizeof f->directory, ".");
    f->disk_gb = statvfs(".", &disk) ? -1 : (double)disk.f_bavail * (double)disk.f_frsize * 1e-9;
    if (*f->blas_core && !k_blas_core_fits(f->blas_core, level) && k_blas_core_for_level(level))
        hint(f,
             "OpenBLAS uses its %s code on a processor of level %s; OPENBLAS_CORETYPE=%s in the environment makes "
             "matmul faster",
             f->blas_core, f->level, k_blas_core_for_level(level));
    if (f->disk_gb >= 0 && f->disk_gb < 1)
        hint(f, "less than 1 GB is free in %.150s; runs write checkpoints there", f->directory);
}

static status examine(findings *f, err *e)
{
    const char *gnuplot = getenv("GNUPLOT");
    find_libraries(f);
    find_blas(f);
    find_device_libraries(f);
    find_machine(f);
    doctor_version_of(f->gnuplot, sizeof f->gnuplot, gnuplot && *gnuplot ? gnuplot : "gnuplot");
    if (!strncmp(f->gnuplot, "gnuplot ", 8)) memmove(f->gnuplot, f->gnuplot + 8, strlen(f->gnuplot + 8) + 1);
    if (!*f->gnuplot)
        hint(f, "gnuplot was not found: everything but figures works; `apt-get install gnuplot-nox` gives it");
    f->n_devices = k_devices(f->device, MAX_DEVICES, f->no_device);
    status s = doctor_sgemm(&f->sgemm_gflops, 0.6, e);
    return s ? s : doctor_copy(&f->copy_gb, 0.3, e);
}

static json_t *text_or_null(const char *x) { return x && *x ? json_string(x) : json_null(); }

static int print_json(const findings *f)
{
    json_t *libs = json_object(), *devices = json_array(), *hints = json_array();
    for (size_t i = 0; i < f->n_libs; i++) json_object_set_new(libs, f->libs[i].name, text_or_null(f->libs[i].version));
    for (size_t i = 0; i < f->n_devices; i++) {
        const k_device *d = &f->device[i];
        json_array_append_new(devices, json_pack("{s:s, s:[i,i], s:i, s:f}", "name", d->name, "compute_capability",
                                                 d->major, d->minor, "multiprocessors", d->multiprocessors, "memory_gb",
                                                 (double)d->memory_bytes * 1e-9));
    }
    for (size_t i = 0; i < f->n_hints; i++) json_array_append_new(hints, json_string(f->hint[i]));
    return cli_json_out(json_pack(
        "{s:s, s:s, s:o, s:o, s:{s:s, s:s, s:o, s:i, s:o, s:f}, s:{s:o, s:o, s:o}, s:{s:i, s:f, s:f}, s:{s:s, s:o}, "
        "s:o}",
        "schema", "muscale.doctor/1", "version", PACKAGE_VERSION, "libraries", libs, "gnuplot",
        text_or_null(f->gnuplot), "cpu", "model", f->cpu, "level", f->level, "level_forced", text_or_null(f->forced),
        "cores", f->cores, "blas_core", text_or_null(f->blas_core), "memory_gb", f->memory_gb, "cuda", "devices",
        devices, "why", text_or_null(f->n_devices ? NULL : f->no_device), "attention", text_or_null(*f->attention ? f->attention : NULL),
        "measured", "threads", 1, "sgemm_gflops", f->sgemm_gflops, "copy_gb_per_s", f->copy_gb, "disk", "directory",
        f->directory, "free_gb", f->disk_gb >= 0 ? json_real(f->disk_gb) : json_null(), "hints", hints));
}

static int print_text(const findings *f)
{
    printf("muscale %s\n\ninstalled\n", PACKAGE_VERSION);
    for (size_t i = 0; i < f->n_libs; i++)
        printf("  %-10s %s\n", f->libs[i].name, *f->libs[i].version ? f->libs[i].version : "not found");
    printf("  %-10s %s\n", "gnuplot", *f->gnuplot ? f->gnuplot : "not found");
    printf("\nprocessor\n  %s\n  level %s%s%s; %d core%s", f->cpu, f->level, f->forced ? ", MUSCALE_CPU=" : "",
           f->forced ? f->forced : "", f->cores, f->cores == 1 ? "" : "s");
    if (*f->blas_core) printf("; OpenBLAS core %s", f->blas_core);
    printf("\n  memory %.1f GB\n", f->memory_gb);
    printf("  measured, one thread: sgemm %.1f GFLOP/s, copy %.1f GB/s\n\naccelerators\n", f->sgemm_gflops, f->copy_gb);
    if (!f->n_devices) printf("  %s\n", f->no_device);
    for (size_t i = 0; i < f->n_devices; i++)
        printf("  %s, compute capability %d.%d, %d multiprocessors, %.1f GB\n", f->device[i].name, f->device[i].major,
               f->device[i].minor, f->device[i].multiprocessors, (double)f->device[i].memory_bytes * 1e-9);
    if (*f->attention) printf("  attention: %s\n", f->attention);
    printf("\ndisk\n  ");
    if (f->disk_gb >= 0) printf("%.1f GB free in %s\n", f->disk_gb, f->directory);
    else printf("free space in %s is unknown\n", f->directory);
    for (size_t i = 0; i < f->n_hints; i++) printf("%s  %s\n", i ? "" : "\nhints\n", f->hint[i]);
    return 0;
}

int cmd_doctor(cli *c, int argc, char **argv)
{
    cli_list rest = {0};
    err e = {0};
    status s = cli_parse(c, NULL, 0, argc, argv, &rest, &e);
    if (!s && rest.n) s = err_set(&e, ST_USAGE, "doctor: unexpected '%s'; it takes no arguments", rest.items[0]);
    free(rest.items);
    if (s) return cli_usage(c, "doctor", &e);
    if (c->show_help) return 0;
    findings *f = calloc(1, sizeof *f);
    if (!f) s = err_set(&e, ST_NOMEM, "no memory");
    if (!s) s = examine(f, &e);
    int rc = s ? cli_fail(c, &e) : c->json ? print_json(f) : print_text(f);
    free(f);
    return rc;
}

#include "driver/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int exit_of(xgc_status s) {
    return s == XGC_OK ? EXIT_GOOD : s == XGC_USAGE ? EXIT_USAGE : EXIT_FAULT;
}

/* ---- messages and progress
 * -------------------------------------------------------------------------------------- */

static bool use_colour(void) {
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDERR_FILENO) && !(no && *no) && !(term && !strcmp(term, "dumb"));
}

/* One line: control characters of hostile names are not sent to the terminal. */
static void put_clean(const char *s) {
    for (; *s; s++) fputc((unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s, stderr);
}

void print_messages(const cli *c, size_t from) {
    static const char *const word[] = {"note", "warning", "error"};
    static const char *const colour[] = {"\033[36m", "\033[35m", "\033[31m"};
    bool coloured = use_colour();
    for (size_t i = from; i < xgc_message_count(c->x); i++) {
        xgc_message m = xgc_message_at(c->x, i);
        if ((m.level == XGC_NOTE && !c->o.verbose) || (m.level == XGC_WARNING && c->o.quiet))
            continue;
        fprintf(stderr, "xgc: %s%s:%s ", coloured ? colour[m.level] : "", word[m.level],
                coloured ? "\033[0m" : "");
        if (m.where && *m.where) {
            put_clean(m.where);
            fputs(": ", stderr);
        }
        put_clean(m.text);
        fputc('\n', stderr);
    }
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void show_progress(void *arg, const char *what, double share) {
    cli *c = arg;
    if (c->o.quiet || !isatty(STDERR_FILENO)) return;
    if (c->started == 0) c->started = now();
    if (now() - c->started < 1.0) return;
    char bar[31];
    for (int i = 0; i < 30; i++) bar[i] = i < (int)(share * 30) ? '#' : '.';
    bar[30] = 0;
    fprintf(stderr, "\r%s %s %3.0f %%", what, bar, share * 100);
    c->bar_shown = true;
}

void end_progress(cli *c) {
    if (c->bar_shown) fputs("\r\033[K", stderr);
    c->bar_shown = false;
}

/* ---- what many commands begin with
 * ------------------------------------------------------------------------------ */

bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

xgc_status load_machine(cli *c, const char *fallback, xgc_machine **out) {
    const char *name = c->o.machine ? c->o.machine : fallback;
    *out = NULL;
    if (!name) {
        usage_error("no machine; give one with -m: a name that `xgc machines` lists, or a file");
        return XGC_USAGE;
    }
    return xgc_machine_load(c->x, name, c->o.encoding, out);
}

xgc_model_options model_options(const cli *c) {
    return (xgc_model_options){
        .shape = c->o.shape.v,
        .nshape = c->o.shape.n,
        .input_type = c->o.input_type.v,
        .ninput_type = c->o.input_type.n,
        .cut = c->o.cut.v,
        .ncut = c->o.cut.n,
        .batch = c->o.batch > INT32_MAX ? INT32_MAX : (int64_t)c->o.batch,
        .calibration = c->o.calib,
        .calibration_table = c->o.calib_table,
        .calibration_method = c->o.calib_method,
        .equalise = c->o.equalise,
        .bias_correction = c->o.bias_correction,
        .keep_float = c->o.keep_float.v,
        .nkeep_float = c->o.keep_float.n,
        .keep_int16 = c->o.keep_int16.v,
        .nkeep_int16 = c->o.keep_int16.n,
        .image_mean = c->o.mean,
        .image_std = c->o.std,
        .image_crop = c->o.crop,
        .image_bgr = c->o.bgr,
        .random_weights = c->o.random_weights,
    };
}

xgc_status load_model(cli *c, const char *path, const xgc_machine *m, const char *recorded,
                      const char *difference, xgc_model **out) {
    xgc_model_options o = model_options(c);
    o.recorded = recorded;
    o.difference = c->o.difference ? c->o.difference : difference;
    return xgc_model_load(c->x, path, m, &o, out);
}

xgc_status compile_model(cli *c, const xgc_model *g, xgc_binary **out) {
    const xgc_compile_options o = {.strategy = c->o.strategy,
                                   .selection = c->o.sel,
                                   .patterns = c->o.patterns,
                                   .keep_ilp = c->o.dump_ilp != NULL};
    return xgc_compile(c->x, g, &o, out);
}

/* ---- outputs
 * -----------------------------------------------------------------------------------------------------
 */

xgc_status print_model(xgc *x, const void *what, const char *form, xgc_blob *out) {
    return xgc_model_print(x, what, form, out);
}

xgc_status print_binary(xgc *x, const void *what, const char *form, xgc_blob *out) {
    return xgc_binary_print(x, what, form, out);
}

xgc_status print_result(xgc *x, const void *what, const char *form, xgc_blob *out) {
    return xgc_result_print(x, what, form, out);
}

xgc_status emit(cli *c, printer p, const void *what, const char *form, const char *path) {
    xgc_blob b;
    xgc_status st = p(c->x, what, form, &b);
    if (st == XGC_OK) st = xgc_write_file(c->x, path ? path : "-", b.data, b.size);
    xgc_blob_free(&b);
    return st;
}

xgc_status outputs_add(cli *c, outputs *o, printer p, const void *what, const char *form,
                       const char *dir, const char *path) {
    if (!path) return XGC_OK;
    if (o->n == OUTPUTS_MAX) return XGC_INTERNAL;
    xgc_blob b;
    xgc_status st = p(c->x, what, form, &b);
    if (st != XGC_OK) return st;
    size_t n = strlen(path) + (dir ? strlen(dir) : 0) + 2;
    char *full = malloc(n);
    if (!full) {
        xgc_blob_free(&b);
        return XGC_NOMEM;
    }
    snprintf(full, n, "%s%s%s", dir ? dir : "", dir ? "/" : "", path);
    o->v[o->n].blob = b;
    o->v[o->n++].path = full;
    return XGC_OK;
}

xgc_status outputs_write(cli *c, outputs *o) {
    for (size_t i = 0; i < o->n; i++) {
        xgc_status st = xgc_write_file(c->x, o->v[i].path, o->v[i].blob.data, o->v[i].blob.size);
        if (st != XGC_OK) return st;
    }
    return XGC_OK;
}

void outputs_free(outputs *o) {
    for (size_t i = 0; i < o->n; i++) {
        xgc_blob_free(&o->v[i].blob);
        free(o->v[i].path);
    }
    o->n = 0;
}

xgc_status make_dir(cli *c, const char *path) {
    (void)c;
    if (mkdir(path, 0777) == 0) return XGC_OK;
    struct stat st;
    if (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return XGC_OK;
    fprintf(stderr, "xgc: error: %s: cannot make the folder: %s\n", path,
            errno == EEXIST ? "a file is in its place" : strerror(errno));
    return XGC_IO;
}

#include "driver/api.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES_DEFAULT = 16 };

typedef struct {
    guarded g;
    xgc *x;
    const char *path;
    const xgc_machine *machine;
    const xgc_model_options *model;
    const xgc_quantize_options *o;
    xgc_result *r;
} quantizing;

static xg_status choose_target(quantizing *k, quantize_result *q) {
    const char *profile = k->o->profile ? k->o->profile : "ort";
    if (k->machine) {
        q->record = k->machine->m->rq;
        q->target = xg_strdup(k->g.arena, k->machine->m->name);
        return XG_OK;
    }
    q->target = xg_strf(k->g.arena, "profile %s", profile);
    if (xg_rqrec_profile(profile, &q->record)) return XG_OK;
    return xg_error(k->x->ctx, XG_USAGE, "",
                    "there is no profile '%.40s'; there are ort, tflite1, tflite2, dpu, nvdla, "
                    "mul16 and mul8",
                    profile);
}

static xg_status choose_type(quantizing *k, quantize_result *q) {
    const char *type = k->o->activations ? k->o->activations : "int8";
    q->activations = !strcmp(type, "uint8") ? XG_U8 : XG_I8;
    if (!strcmp(type, "int8") || !strcmp(type, "uint8")) return XG_OK;
    return xg_error(k->x->ctx, XG_USAGE, "", "activations are '%.40s', expected int8 or uint8",
                    type);
}

static void progress(const quantizing *k, const char *what, double share) {
    if (k->o->progress) k->o->progress(k->o->progress_arg, what, share);
}

/* The labels of a file that may hold the images, too: its only integers in one dimension. */
static xg_status read_labels(quantizing *k, const xg_array **out) {
    xg_array *all;
    uint32_t n;
    xg_status st = xg_array_read(k->g.arena, k->o->labels, &all, &n);
    if (st != XG_OK) return st;
    *out = n == 1 ? &all[0] : NULL;
    uint32_t found = n == 1;
    for (uint32_t i = 0; i < n && n > 1; i++) {
        if (all[i].rank != 1 || all[i].dtype == XG_F32) continue;
        *out = &all[i];
        found++;
    }
    if (found != 1 || (*out)->dtype == XG_F32)
        return xg_error(k->x->ctx, XG_INPUT, k->o->labels,
                        "labels are one array of integers in one dimension");
    return XG_OK;
}

static xg_status measure_accuracy(quantizing *k, const xg_image_options *images,
                                  quantize_result *q) {
    const xg_array *labels;
    xg_samples *s;
    progress(k, "accuracy", 0);
    xg_status st = read_labels(k, &labels);
    if (st == XG_OK) st = xg_samples_open(k->g.arena, q->front.before, k->o->input, images, &s);
    if (st != XG_OK) return st;
    q->images = xg_samples_images(s);
    st = xg_quant_accuracy(k->g.arena, q->front.before, NULL, s, labels, &q->right_before);
    progress(k, "accuracy", 0.5);
    if (st == XG_OK)
        st = xg_quant_accuracy(k->g.arena, q->front.graph, &q->record, s, labels, &q->right_after);
    return st;
}

/* ---- quantising until the outputs are good enough ---- */

static xg_status quantise_once(quantizing *k, xg_arena *a, const xg_front_options *f,
                               quantize_result *q) {
    xg_status st = xg_front_full(a, k->path, f, &q->record, &q->front, &q->report);
    if (st != XG_OK) return st;
    uint64_t most = k->o->samples ? k->o->samples : SAMPLES_DEFAULT;
    uint64_t sets = xg_samples_count(q->front.samples);
    q->compared = most < sets ? most : sets;
    return xg_quant_compare(a, q->front.before, q->front.graph, &q->record, q->front.samples, most,
                            &q->report);
}

static double least_cosine(const xg_quant_report *r) {
    double least = 1;
    for (uint32_t i = 0; i < r->output.n; i++) least = fmin(least, r->output.v[i].cosine);
    return least;
}

static int by_loss(const void *a, const void *b) {
    const xg_quant_row *x = a, *y = b;
    return x->own_db < y->own_db ? -1 : x->own_db > y->own_db;
}

/* Whether the quantiser made an integer node of the float one with that name. */
static bool becomes_integer(const xg_quant_map *map, const char *name) {
    for (uint32_t i = 0; i < map->from->node.n; i++)
        if (map->node[i] != XG_NONE && !strcmp(xg_nodep(map->from, i)->name, name)) return true;
    return false;
}

/* The names of the layers that an option may name, those that lose most by themselves first,
 * behind the caller's own; at last "*", which is all. *n counts them. */
static const char **ranked_names(xg_arena *a, const quantize_result *q, const xg_front_options *f,
                                 uint32_t *n) {
    const xg_quant_report *r = &q->report;
    uint32_t count = 0, own = f->quant.nkeep_int16;
    xg_quant_row *row = xg_newn(a, xg_quant_row, r->row.n + 1);
    for (uint32_t i = 0; i < r->row.n; i++) {
        const xg_quant_row *x = &r->row.v[i];
        if (!x->known || !x->op || !becomes_integer(&q->front.map, x->node)) continue;
        row[count] = *x;
        if (isnan(x->own_db)) row[count].own_db = INFINITY;
        count++;
    }
    qsort(row, count, sizeof *row, by_loss);
    const char **name = xg_newn(a, const char *, own + count + 2);
    for (uint32_t i = 0; i < own; i++) name[i] = f->quant.keep_int16[i];
    for (uint32_t i = 0; i < count; i++) name[own + i] = xg_strdup(a, row[i].node);
    name[own + count++] = "*";
    *n = own + count;
    return name;
}

/* Whether the cosine is reached with the first n names in 16 bits. */
static xg_status reaches(quantizing *k, const xg_front_options *f, const quantize_result *q,
                         uint32_t n, bool *yes) {
    xg_front_options g = *f;
    quantize_result once = {.record = q->record};
    xg_arena *scratch = xg_arena_new(k->x->ctx);
    g.quant.nkeep_int16 = n;
    xg_status st = quantise_once(k, scratch, &g, &once);
    *yes = st == XG_OK && least_cosine(&once.report) >= k->o->min_cosine;
    xg_arena_free(scratch);
    return st;
}

/* Holds as few of the ranked layers in 16 bits as it takes, found by doubling, then halving. */
static xg_status widen(quantizing *k, xg_front_options *f, quantize_result *q) {
    xg_arena *a = k->g.arena;
    uint32_t own = f->quant.nkeep_int16, all, low, high;
    const char **name = ranked_names(a, q, f, &all);
    f->quant.keep_int16 = name;
    bool yes = false;
    xg_status st = XG_OK;
    for (low = high = own; st == XG_OK && !yes && high < all;) {
        low = high;
        high = high == own ? own + 1 : own + 2 * (high - own);
        if (high > all) high = all;
        progress(k, "widen", (double)(high - own) / (double)(all - own + 1));
        st = reaches(k, f, q, high, &yes);
    }
    if (st == XG_OK && !yes)
        return xg_error(k->x->ctx, XG_LIMIT, k->path,
                        "no output's cosine may be below %g, and that is not reached even with "
                        "all layers in 16 bits",
                        k->o->min_cosine);
    while (st == XG_OK && low + 1 < high) {
        uint32_t middle = low + (high - low) / 2;
        st = reaches(k, f, q, middle, &yes);
        if (yes)
            high = middle;
        else
            low = middle;
    }
    f->quant.nkeep_int16 = high;
    q->widened = high == all ? &name[all - 1] : name + own;
    q->nwidened = high == all ? 1 : high - own;
    xg_quant_report none = {0};
    q->report = none;
    return st == XG_OK ? quantise_once(k, a, f, q) : st;
}

static xg_status quantize_body(void *arg) {
    quantizing *k = arg;
    xg_arena *a = k->g.arena = xg_arena_new(k->x->ctx);
    k->r = xg_new(a, xgc_result);
    k->r->arena = a;
    k->r->kind = RESULT_QUANTIZE;
    quantize_result *q = &k->r->quantize;
    const xgc_model_options none = {0}, *m = k->model ? k->model : &none;
    xg_front_options f;
    xg_image_options images;
    q->name = xg_strdup(a, k->o->name ? k->o->name : k->path);
    if (!m->calibration)
        return xg_error(k->x->ctx, XG_USAGE, "", "quantising needs example inputs to compare with");
    if (!k->o->input != !k->o->labels)
        return xg_error(k->x->ctx, XG_USAGE, "", "accuracy needs both inputs and labels");
    xg_status st = choose_target(k, q);
    if (st == XG_OK) st = choose_type(k, q);
    if (st == XG_OK) st = xgc_front_options(k->x->ctx, m, &images, &f);
    if (st != XG_OK) return st;
    progress(k, "quantise", 0);
    st = quantise_once(k, a, &f, q);
    if (st == XG_OK && q->front.was_float && least_cosine(&q->report) < k->o->min_cosine)
        st = widen(k, &f, q);
    return st == XG_OK && k->o->labels ? measure_accuracy(k, &images, q) : st;
}

xgc_status xgc_quantize(xgc *x, const char *path, const xgc_machine *m,
                        const xgc_model_options *model, const xgc_quantize_options *o,
                        xgc_result **out) {
    const xgc_quantize_options none = {0};
    quantizing k = {.g = {.keep = true}, .x = x, .path = path, .machine = m, .model = model};
    k.o = o ? o : &none;
    xgc_status st = xgc_guard(x, quantize_body, &k.g);
    *out = st == XGC_OK ? k.r : NULL;
    return st;
}

#include "driver/api.h"

#include <math.h>
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

static xg_status compare(quantizing *k, xg_arena *a, quantize_result *q) {
    uint64_t most = k->o->samples ? k->o->samples : SAMPLES_DEFAULT;
    uint64_t sets = xg_samples_count(q->front.samples);
    q->compared = most < sets ? most : sets;
    return xg_quant_compare(a, q->front.before, q->front.graph, &q->record, q->front.samples, most,
                            &q->report);
}

/* The output with the least cosine. */
static uint32_t worst_output(const xg_quant_report *r) {
    uint32_t worst = 0;
    for (uint32_t i = 1; i < r->output.n; i++)
        if (r->output.v[i].cosine < r->output.v[worst].cosine) worst = i;
    return worst;
}

static double least_cosine(const xg_quant_report *r) {
    return r->output.n ? fmin(r->output.v[worst_output(r)].cosine, 1) : 1;
}

/* What each layer costs the outputs, for the report and for the choice of layers. */
static xg_status find_effects(quantizing *k, quantize_result *q) {
    const xg_quant_map *map = &q->front.map;
    xg_arena *a = k->g.arena;
    xg_map nodes = {.arena = a};
    uint32_t outputs = map->from->output.n, worst = worst_output(&q->report);
    progress(k, "effects", 0);
    xg_status st =
        xg_quant_effects(a, map, q->front.samples, q->compared, q->report.corrected > 0, &q->noise);
    if (st != XG_OK) return st;
    double all = 0;
    for (uint32_t i = 0; i < map->from->node.n; i++) {
        all += q->noise[i * outputs + worst];
        if (map->node[i] != XG_NONE) xg_map_set(&nodes, xg_nodep(map->from, i)->name, i);
    }
    for (uint32_t i = 0; i < q->report.row.n; i++) {
        xg_quant_row *row = &q->report.row.v[i];
        uint32_t node = xg_map_get(&nodes, row->node);
        if (node != XG_NONE && all > 0) row->effect = q->noise[node * outputs + worst] / all;
    }
    return XG_OK;
}

/* Noise beside a signal of 1 that makes this cosine. */
static double noise_of(double cosine) {
    return 1 / (cosine * cosine) - 1;
}

/* The names of the layers in the order of their use to the outputs, behind the caller's own; at
 * last "*", which is all. *n counts them; *first: how many are worth trying first. */
static const char **ranked_names(quantizing *k, const quantize_result *q, const xg_front_options *f,
                                 uint32_t *n, uint32_t *first) {
    const xg_graph *g = q->front.map.from;
    xg_arena *a = k->g.arena;
    uint32_t *order, own = f->quant.nkeep_int16, enough;
    uint32_t count = xg_quant_order(a, q->noise, g->node.n, g->output.n, noise_of(k->o->min_cosine),
                                    &order, &enough);
    const char **name = xg_newn(a, const char *, own + count + 1);
    for (uint32_t i = 0; i < own; i++) name[i] = f->quant.keep_int16[i];
    for (uint32_t i = 0; i < count; i++) name[own + i] = xg_nodep(g, order[i])->name;
    name[own + count] = "*";
    *n = own + count + 1;
    *first = own + (uint32_t)xg_clamp(enough, 1, (int64_t)count + 1);
    return name;
}

/* Whether the cosine is reached with the first n names in 16 bits. */
static xg_status reaches(quantizing *k, const xg_front_options *f, const quantize_result *q,
                         uint32_t n, bool *yes) {
    xg_front_options g = *f;
    quantize_result once = {.record = q->record};
    xg_arena *scratch = xg_arena_new(k->x->ctx);
    g.quant.nkeep_int16 = n;
    xg_status st = xg_front_again(scratch, &g, &q->record, &q->front, &once.front, &once.report);
    if (st == XG_OK) st = compare(k, scratch, &once);
    *yes = st == XG_OK && least_cosine(&once.report) >= k->o->min_cosine;
    xg_arena_free(scratch);
    return st;
}

/* The least number of names in (low, all] that reaches the goal, found from a guess in ever larger
 * steps, then by halving; `low` does not. LIMIT when not even all do. */
static xg_status search(quantizing *k, const xg_front_options *f, const quantize_result *q,
                        uint32_t low, uint32_t guess, uint32_t all, uint32_t *high) {
    bool yes = false, down = true;
    xg_status st = XG_OK;
    uint32_t step = 1, at = guess;
    for (; st == XG_OK; at = (uint32_t)xg_min(at + step, all), step *= 2) {
        progress(k, "widen", 0);
        st = reaches(k, f, q, at, &yes);
        if (yes || at == all) break;
        low = at;
        down = false;
    }
    if (st == XG_OK && !yes)
        return xg_error(k->x->ctx, XG_LIMIT, k->path,
                        "no output's cosine may be below %g, and that is not reached even with "
                        "all layers in 16 bits",
                        k->o->min_cosine);
    step = 1;
    for (*high = at; st == XG_OK && low + 1 < *high;) {
        progress(k, "widen", 0.5);
        at = down ? (uint32_t)xg_max((int64_t)*high - step, low + 1) : low + (*high - low) / 2;
        st = reaches(k, f, q, at, &yes);
        *(yes ? high : &low) = at;
        down = down && yes;
        step *= 2;
    }
    return st;
}

/* Holds as few of the ranked layers in 16 bits as it takes. */
static xg_status widen(quantizing *k, xg_front_options *f, quantize_result *q) {
    uint32_t own = f->quant.nkeep_int16, n = own, all, guess;
    const xg_front_result first = q->front;
    const char **name = ranked_names(k, q, f, &all, &guess);
    f->quant.keep_int16 = name;
    xg_status st = search(k, f, q, own, guess, all, &n);
    if (st != XG_OK) return st;
    f->quant.nkeep_int16 = n;
    q->widened = n == all ? &name[all - 1] : name + own;
    q->nwidened = n == all ? 1 : n - own;
    xg_quant_report none = {0};
    q->report = none;
    st = xg_front_again(k->g.arena, f, &q->record, &first, &q->front, &q->report);
    return st == XG_OK ? compare(k, k->g.arena, q) : st;
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
    if (st == XG_OK) st = xgc_front_options(k->x->ctx, m, k->machine, &images, &f);
    if (st != XG_OK) return st;
    progress(k, "quantise", 0);
    st = xg_front_full(a, k->path, &f, &q->record, &q->front, &q->report);
    if (st == XG_OK) st = compare(k, a, q);
    double least = least_cosine(&q->report);
    if (st == XG_OK && q->front.was_float && least < fmax(k->o->min_cosine, XG_LOW_COSINE))
        st = find_effects(k, q);
    if (st == XG_OK && q->noise && least < k->o->min_cosine) st = widen(k, &f, q);
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

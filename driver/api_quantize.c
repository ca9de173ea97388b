#include "driver/api.h"

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
    st = xg_front_full(a, k->path, &f, &q->record, &q->front, &q->report);
    progress(k, "compare", 0.5);
    if (st != XG_OK) return st;
    uint64_t most = k->o->samples ? k->o->samples : SAMPLES_DEFAULT;
    uint64_t sets = xg_samples_count(q->front.samples);
    q->compared = most < sets ? most : sets;
    st = xg_quant_compare(a, q->front.before, q->front.graph, &q->record, q->front.samples, most,
                          &q->report);
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

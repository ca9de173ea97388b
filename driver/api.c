#include "driver/api.h"

#include <stdlib.h>
#include <string.h>

#define SAME(name) _Static_assert((int)XGC_##name == (int)XG_##name, #name)
SAME(OK);
SAME(INPUT);
SAME(UNSUPPORTED);
SAME(LIMIT);
SAME(IO);
SAME(MISMATCH);
SAME(USAGE);
SAME(NOMEM);
SAME(INTERNAL);
#undef SAME
_Static_assert((int)XGC_NOTE == (int)XG_NOTE && (int)XGC_ERROR == (int)XG_ERROR, "levels");

/* ---- context
 * ------------------------------------------------------------------------------------------------
 */

xgc *xgc_new(void) {
    if (!xg_fixed_selftest()) return NULL;
    xgc *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    x->ctx = xg_ctx_new();
    if (!x->ctx) {
        free(x);
        return NULL;
    }
    return x;
}

void xgc_free(xgc *x) {
    if (!x) return;
    xg_ctx_free(x->ctx);
    free(x);
}

const char *xgc_version(void) {
    return XGC_VERSION;
}

const char *xgc_status_text(xgc_status s) {
    return xg_status_text((xg_status)s);
}

size_t xgc_message_count(const xgc *x) {
    return xg_diag_count(x->ctx);
}

const char *xgc_file_at(const xgc *x, size_t i) {
    return xg_ctx_file_at(x->ctx, i);
}

xgc_message xgc_message_at(const xgc *x, size_t i) {
    const xg_diag *d = xg_diag_at(x->ctx, i);
    return (xgc_message){(xgc_level)d->severity, d->where, d->text};
}

void xgc_clear_messages(xgc *x) {
    xg_diag_truncate(x->ctx, 0);
}

/* ---- guards
 * ----------------------------------------------------------------------------------------------------
 */

xgc_status xgc_guard(xgc *x, xg_status (*fn)(void *arg), guarded *arg) {
    xg_status st = xg_ctx_run(x->ctx, fn, arg);
    if (!arg->keep || (st != XG_OK && st != XG_MISMATCH)) {
        xg_arena_free(arg->arena);
        arg->arena = NULL;
    }
    return (xgc_status)st;
}

/* Prints and takes what was printed out of the arena: a binary is not copied once more. */
static xg_status print_and_take(void *arg) {
    printing *p = arg;
    xg_status st = p->fn(p);
    if (st != XG_OK) return st;
    xg_put(&p->buf, "", 0); /* has a block, also when nothing was printed */
    p->taken = xg_arena_take(p->g.arena, p->buf.p, p->buf.cap);
    return XG_OK;
}

xgc_status xgc_print_guard(xgc *x, xg_status (*fn)(void *arg), const void *what, const char *form,
                           xgc_blob *out) {
    *out = (xgc_blob){NULL, 0};
    printing p = {.g = {.keep = true}, .x = x, .fn = fn, .what = what, .form = form};
    xgc_status st = xgc_guard(x, print_and_take, &p.g);
    if (st == XGC_OK) *out = (xgc_blob){p.taken, p.buf.n};
    xg_arena_free(p.g.arena);
    return st;
}

xg_status xgc_bad_form(xg_ctx *c, const char *form, const char *known) {
    return xg_error(c, XG_USAGE, "", "there is no form '%s'; there are %s", form, known);
}

void xgc_blob_free(xgc_blob *b) {
    if (!b) return;
    xg_taken_free(b->data);
    *b = (xgc_blob){NULL, 0};
}

typedef struct {
    guarded g;
    xg_ctx *c;
    const char *path;
    const void *data;
    size_t size;
} writing;

static xg_status write_body(void *arg) {
    writing *w = arg;
    return xg_write_file(w->c, w->path, w->data, w->size);
}

xgc_status xgc_write_file(xgc *x, const char *path, const void *data, size_t size) {
    writing w = {.c = x->ctx, .path = path, .data = data, .size = size};
    return xgc_guard(x, write_body, &w.g);
}

/* ---- machines
 * ---------------------------------------------------------------------------------------------------
 */

typedef struct {
    guarded g;
    xgc *x;
    const char *name, *encoding;
    xgc_machine *m;
} loading;

static xg_status load_body(void *arg) {
    loading *l = arg;
    xg_arena *a = l->g.arena = xg_arena_new(l->x->ctx);
    l->m = xg_new(a, xgc_machine);
    l->m->arena = a;
    return xg_machine_load(a, l->name, l->encoding, &l->m->m);
}

xgc_status xgc_machine_load(xgc *x, const char *name_or_path, const char *encoding,
                            xgc_machine **out) {
    loading l = {.g = {.keep = true}, .x = x, .name = name_or_path, .encoding = encoding};
    xgc_status st = xgc_guard(x, load_body, &l.g);
    *out = st == XGC_OK ? l.m : NULL;
    return st;
}

void xgc_machine_free(xgc_machine *m) {
    if (m) xg_arena_free(m->arena);
}

const char *const *xgc_machine_names(void) {
    return xg_machine_names();
}

xgc_machine_info xgc_machine_describe(const xgc_machine *handle) {
    const xg_machine *m = handle->m;
    uint64_t on_chip = 0;
    for (uint8_t i = 1; i < m->family->nmem; i++) {
        xg_mem_desc d = {0};
        m->family->mem_desc(m, i, &d);
        on_chip += (uint64_t)d.banks * d.depth * d.word_bytes;
    }
    double hz = (double)m->clock_khz * 1000.0;
    return (xgc_machine_info){
        .name = m->name,
        .description = m->description ? m->description : "",
        .family = m->family->name,
        .profile = m->profile,
        .file = m->text_path,
        .cores = m->cores,
        .clock_hz = hz,
        .peak_ops = xg_machine_peak_ops(m),
        .ddr_bytes_per_s = (double)m->ddr.bytes_per_cycle_x256 / 256.0 * hz,
        .ddr_bytes = m->ddr.bytes,
        .on_chip_bytes = on_chip,
        .digest = m->digest,
    };
}

static xg_status machine_print_body(void *arg) {
    printing *p = arg;
    const xg_machine *m = ((const xgc_machine *)p->what)->m;
    p->buf.arena = p->g.arena = xg_arena_new(p->x->ctx);
    if (!strcmp(p->form, "machine"))
        xg_machine_print(m, &p->buf);
    else if (!strcmp(p->form, "encoding"))
        xg_encoding_print(m->encoding, &p->buf);
    else if (!strcmp(p->form, "ops") || !strcmp(p->form, "ops-json"))
        xgc_print_operators(p->g.arena, m, !strcmp(p->form, "ops-json"), &p->buf);
    else if (!strcmp(p->form, "md") || !strcmp(p->form, "h") || !strcmp(p->form, "sv"))
        return xg_isa_manual(p->x->ctx, m, p->form, &p->buf);
    else
        return xgc_bad_form(p->x->ctx, p->form, "md, h, sv, encoding, machine, ops, ops-json");
    return XG_OK;
}

xgc_status xgc_machine_print(xgc *x, const xgc_machine *m, const char *form, xgc_blob *out) {
    return xgc_print_guard(x, machine_print_body, m, form, out);
}

static xg_status operators_body(void *arg) {
    printing *p = arg;
    p->buf.arena = p->g.arena = xg_arena_new(p->x->ctx);
    if (strcmp(p->form, "text") && strcmp(p->form, "json"))
        return xgc_bad_form(p->x->ctx, p->form, "text, json");
    xgc_print_operators(p->g.arena, NULL, !strcmp(p->form, "json"), &p->buf);
    return XG_OK;
}

xgc_status xgc_operators(xgc *x, const char *form, xgc_blob *out) {
    return xgc_print_guard(x, operators_body, NULL, form, out);
}

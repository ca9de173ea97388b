#include "driver/api.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- options as they are recorded in binaries: `key` and `key=value`, divided by blanks
 * ------------------------ */

static void put_value(xg_buf *b, const char *s) {
    for (; *s; s++)
        if (*s == ' ' || *s == '%')
            xg_putf(b, "%%%02x", (unsigned char)*s);
        else
            xg_put(b, s, 1);
}

static char *value_text(xg_arena *a, const char *s, size_t n) {
    char *out = xg_alloc(a, n + 1), *p = out;
    for (size_t i = 0; i < n; i++)
        if (s[i] == '%' && i + 2 < n) {
            char hex[3] = {s[i + 1], s[i + 2], 0};
            *p++ = (char)strtol(hex, NULL, 16);
            i += 2;
        } else {
            *p++ = s[i];
        }
    return out;
}

static bool is_random(const char *calibration) {
    return !strcmp(calibration, "random") || !strncmp(calibration, "random:", 7);
}

static xg_status file_digest(xg_ctx *c, const char *path, char digest[65]) {
    xg_arena *scratch = xg_arena_new(c);
    xg_bytes data;
    xg_status st = xg_read_file(scratch, path, &data);
    if (st == XG_OK) xg_sha256_hex(data.p, data.n, digest);
    xg_arena_free(scratch);
    return st;
}

/* A file is recorded by its digest: no path may enter a binary. */
static xg_status put_file(xg_arena *a, const char *key, const char *path, xg_buf *b) {
    char digest[65];
    xg_status st = file_digest(xg_arena_ctx(a), path, digest);
    if (st != XG_OK) return st;
    xg_putf(b, " %s=sha256:%.16s", key, digest);
    return XG_OK;
}

/* Options that are texts, by the words that record them. */
typedef struct {
    const char *key;
    size_t at;
} text_option;
static const text_option text_options[] = {
    {"calib-method", offsetof(xgc_model_options, calibration_method)},
    {"equalise", offsetof(xgc_model_options, equalise)},
    {"bias-correction", offsetof(xgc_model_options, bias_correction)},
    {"mean", offsetof(xgc_model_options, image_mean)},
    {"std", offsetof(xgc_model_options, image_std)},
};

/* Options that may be given several times. */
typedef struct {
    const char *key;
    size_t list, count;
} list_option;
#define LIST(key, list)                                                                            \
    { key, offsetof(xgc_model_options, list), offsetof(xgc_model_options, n##list) }
static const list_option list_options[] = {
    LIST("shape", shape),           LIST("cut", cut),
    LIST("input-type", input_type), LIST("keep-float", keep_float),
    LIST("keep-int16", keep_int16),
};
#undef LIST
enum { LISTS = XG_COUNT(list_options) };

static const char *const **list_at(xgc_model_options *o, const list_option *l) {
    return (const char *const **)((char *)o + l->list);
}

static size_t *count_at(xgc_model_options *o, const list_option *l) {
    return (size_t *)((char *)o + l->count);
}

static const char **text_at(xgc_model_options *o, const text_option *t) {
    return (const char **)((char *)o + t->at);
}

static void put_lists(const xgc_model_options *o, xg_buf *b) {
    xgc_model_options copy = *o;
    for (size_t k = 0; k < LISTS; k++)
        for (size_t i = 0; i < *count_at(&copy, &list_options[k]); i++) {
            xg_putf(b, " %s=", list_options[k].key);
            put_value(b, (*list_at(&copy, &list_options[k]))[i]);
        }
}

static void put_texts(const xgc_model_options *o, xg_buf *b) {
    xgc_model_options copy = *o;
    for (size_t i = 0; i < XG_COUNT(text_options); i++) {
        const char *value = *text_at(&copy, &text_options[i]);
        if (!value) continue;
        xg_putf(b, " %s=", text_options[i].key);
        put_value(b, value);
    }
    if (o->image_crop) xg_puts(b, " crop");
    if (o->image_bgr) xg_puts(b, " bgr");
}

static xg_status record(xg_arena *a, const xgc_model_options *o, const char **out) {
    xg_buf b = {.arena = a};
    xg_status st = XG_OK;
    if (o->batch > 0) xg_putf(&b, " batch=%" PRId64, o->batch);
    put_lists(o, &b);
    if (o->random_weights) xg_puts(&b, " random-weights");
    put_texts(o, &b);
    if (o->calibration_table) st = put_file(a, "calib-table", o->calibration_table, &b);
    if (st != XG_OK) return st;
    if (o->calibration && is_random(o->calibration))
        xg_putf(&b, " calib=%s", o->calibration);
    else if (o->calibration)
        st = put_file(a, "calib", o->calibration, &b);
    *out = b.n ? b.p + 1 : "";
    return st;
}

/* The values that a record gives, by list. */
typedef struct {
    const char **v[LISTS];
    size_t n[LISTS];
} lists;

/* True when the word is one of the lists; the caller's own list beats it. */
static bool take_item(xg_arena *a, xgc_model_options *o, lists *s, const char *word,
                      const char *value) {
    for (size_t k = 0; k < LISTS && value; k++) {
        if (strcmp(word, list_options[k].key)) continue;
        if (!*count_at(o, &list_options[k]))
            s->v[k][s->n[k]++] = value_text(a, value, strlen(value));
        return true;
    }
    return false;
}

/* True when the word is one of the text options, which the caller's own value beats. */
static bool take_text(xg_arena *a, xgc_model_options *o, const char *word, const char *value) {
    for (size_t i = 0; i < XG_COUNT(text_options) && value; i++) {
        if (strcmp(word, text_options[i].key)) continue;
        const char **at = text_at(o, &text_options[i]);
        if (!*at) *at = value_text(a, value, strlen(value));
        return true;
    }
    return false;
}

static xg_status take_word(xg_arena *a, xgc_model_options *o, lists *s, const char *w, size_t n) {
    char *word = xg_strndup(a, w, n), *value = strchr(word, '=');
    if (value) *value++ = 0;
    if (take_text(a, o, word, value) || take_item(a, o, s, word, value)) return XG_OK;
    if (!strcmp(word, "batch") && value && o->batch == 0)
        o->batch = strtoll(value, NULL, 10);
    else if (!strcmp(word, "random-weights"))
        o->random_weights = true;
    else if (!strcmp(word, "crop"))
        o->image_crop = true;
    else if (!strcmp(word, "bgr"))
        o->image_bgr = true;
    else if ((!strcmp(word, "calib") || !strcmp(word, "calib-table")) && value && !o->calibration &&
             !o->calibration_table) {
        if (strcmp(word, "calib") || !is_random(value))
            return xg_error(
                xg_arena_ctx(a), XG_USAGE, "",
                "the binary was compiled with --%s and a file (%s); give that file again", word,
                value);
        o->calibration = value;
    }
    return XG_OK;
}

/* Fills in what the caller left open from a binary's record. */
static xg_status apply_record(xg_arena *a, xgc_model_options *o) {
    const char *p = o->recorded ? o->recorded : "";
    size_t most = strlen(p) / 2 + 1;
    lists s = {0};
    for (size_t k = 0; k < LISTS; k++) s.v[k] = xg_newn(a, const char *, most);
    while (*p) {
        size_t n = strcspn(p, " ");
        xg_status st = n ? take_word(a, o, &s, p, n) : XG_OK;
        if (st != XG_OK) return st;
        p += n;
        p += strspn(p, " ");
    }
    for (size_t k = 0; k < LISTS; k++) {
        if (!s.n[k]) continue;
        *list_at(o, &list_options[k]) = s.v[k];
        *count_at(o, &list_options[k]) = s.n[k];
    }
    return XG_OK;
}

/* ---- models
 * ----------------------------------------------------------------------------------------------------
 */

typedef struct {
    guarded g;
    xgc *x;
    const char *path;
    const xgc_machine *machine;
    const xgc_model_options *o;
    xgc_model *model;
} importing;

/* Both ways take about a tenth of a second for that much. */
static xg_status find_limit(xg_ctx *c, const xgc_model_options *o, uint64_t *most_macs) {
    const char *when = o->difference ? o->difference : "cheap";
    *most_macs = !strcmp(when, "always") ? UINT64_MAX : !strcmp(when, "cheap") ? 400000000 : 0;
    if (*most_macs || !strcmp(when, "never")) return XG_OK;
    return xg_error(c, XG_USAGE, "", "the difference is '%.40s', expected always, cheap or never",
                    when);
}

static xg_status model_body(void *arg) {
    importing *l = arg;
    xg_arena *a = l->g.arena = xg_arena_new(l->x->ctx);
    xgc_model *g = l->model = xg_new(a, xgc_model);
    g->arena = a;
    g->machine = l->machine;
    xgc_model_options o = l->o ? *l->o : (xgc_model_options){0};
    xg_status st = apply_record(a, &o);
    if (st == XG_OK) st = record(a, &o, &g->options);
    if (st != XG_OK) return st;
    xg_front_options f;
    xg_image_options images;
    st = xgc_front_options(l->x->ctx, &o, l->machine, &images, &f);
    if (st != XG_OK) return st;
    const xg_rqrec *record = &l->machine->m->rq;
    xg_front_result front;
    uint64_t most_macs;
    st = find_limit(l->x->ctx, &o, &most_macs);
    if (st == XG_OK) st = xg_front_full(a, l->path, &f, record, &front, &g->quant);
    if (st == XG_OK)
        st = xg_scheme_compare(a, l->path, &f, record, &front, &g->quant, most_macs, &g->scheme);
    if (st != XG_OK) return st;
    g->graph = front.graph;
    for (uint32_t i = 0; i < g->graph->log.n; i++) xg_note(l->x->ctx, "", "%s", g->graph->log.v[i]);
    char digest[65] = "";
    st = file_digest(l->x->ctx, l->path, digest);
    g->input_digest = xg_strdup(a, digest);
    return st;
}

xgc_status xgc_model_load(xgc *x, const char *path, const xgc_machine *m,
                          const xgc_model_options *o, xgc_model **out) {
    importing l = {.g = {.keep = true}, .x = x, .path = path, .machine = m, .o = o};
    xgc_status st = xgc_guard(x, model_body, &l.g);
    *out = st == XGC_OK ? l.model : NULL;
    return st;
}

void xgc_model_free(xgc_model *g) {
    if (g) xg_arena_free(g->arena);
}

static xg_status model_print_body(void *arg) {
    printing *p = arg;
    const xgc_model *g = p->what;
    p->buf.arena = p->g.arena = xg_arena_new(p->x->ctx);
    if (!strcmp(p->form, "xg")) return xg_graph_pack(p->x->ctx, g->graph, &p->buf);
    if (!strcmp(p->form, "qoperator"))
        return xg_export_qoperator(p->x->ctx, g->graph, true, &p->buf);
    const char *difference = xg_scheme_text(p->g.arena, &g->scheme);
    if (!strcmp(p->form, "difference"))
        xg_putf(&p->buf, "%s%s", difference ? difference : "", difference ? "\n" : "");
    else if (!strcmp(p->form, "text"))
        xg_graph_print(g->graph, false, &p->buf);
    else if (!strcmp(p->form, "text-data"))
        xg_graph_print(g->graph, true, &p->buf);
    else
        return xgc_bad_form(p->x->ctx, p->form, "xg, text, text-data, qoperator, difference");
    return XG_OK;
}

xgc_status xgc_model_print(xgc *x, const xgc_model *g, const char *form, xgc_blob *out) {
    return xgc_print_guard(x, model_print_body, g, form, out);
}

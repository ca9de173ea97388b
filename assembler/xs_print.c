#include "assembler/xs.h"

#include "assembler/xgb.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *const xg_xs_region_names[XG_REGIONS + 1] = {"const", "work", "in", "out", NULL};

int32_t xg_xs_default(const char *operand) {
    static const char *const ones[] = {"kh", "kw", "sh", "sw", "dh", "dw", "il", "fold", "fold_s"};
    static const char *const heads[] = {"in_", "out_", "a_", "b_"};
    for (size_t i = 0; i < XG_COUNT(heads); i++)
        if (!strncmp(operand, heads[i], strlen(heads[i])) &&
            !strcmp(operand + strlen(heads[i]), "il"))
            return 1;
    for (size_t i = 0; i < XG_COUNT(ones); i++)
        if (!strcmp(operand, ones[i])) return 1;
    return 0;
}

static void put_engines(const xg_family *f, const char *key, uint32_t mask, xg_buf *b) {
    if (!mask) return;
    xg_putf(b, " %s=", key);
    const char *bar = "";
    for (uint32_t e = 0; e < f->nengine; e++)
        if (mask >> e & 1) {
            xg_putf(b, "%s%s", bar, f->engine_names[e]);
            bar = "|";
        }
}

void xg_inst_print(const xg_family *f, const xg_inst *in, xg_buf *b) {
    const xg_inst_desc *d = &f->inst[in->op];
    xg_puts(b, d->mnemonic);
    for (uint32_t i = 0; i < d->noperand; i++)
        if (in->f[i] != xg_xs_default(d->operand[i].name))
            xg_putf(b, " %s=%" PRId32, d->operand[i].name, in->f[i]);
    put_engines(f, "wait", in->wait, b);
    put_engines(f, "post", in->post, b);
}

static void put_string(xg_buf *b, const char *head, const char *s) {
    if (!s) return;
    xg_puts(b, head);
    xg_put_quoted(b, s, false);
}

/* A whole line with one string; nothing when there is none. */
static void put_line(xg_buf *b, const char *word, const char *s) {
    if (!s || !*s) return;
    put_string(b, word, s);
    xg_puts(b, "\n");
}

static void put_place(xg_buf *b, const xg_place *p) {
    if (p->on_chip) xg_puts(b, " at=chip");
    if (!p->on_chip || p->region) xg_putf(b, " region=%s", xg_xs_region_names[p->region]);
#define X(key, member)                                                                             \
    if (p->member) xg_putf(b, " %s=%" PRIu32, #key, p->member);
    XG_XS_PLACE(X)
#undef X
}

static void put_head(const xg_machine *m, const xg_program *p, xg_buf *b) {
    xg_putf(b, "xs version=%d\n", XG_XS_VERSION);
    put_string(b, "machine ", p->machine_name ? p->machine_name : m->name);
    put_string(b, " digest=", p->machine_digest ? p->machine_digest : m->digest);
    put_string(b, " encoding=", p->encoding_digest ? p->encoding_digest : m->encoding->digest);
    xg_puts(b, "\n");
    put_line(b, "tool ", p->tool_version);
    put_line(b, "input ", p->input_digest);
    put_line(b, "options ", p->options);
    xg_buf record = {.arena = b->arena};
    xg_rqrec_print(&m->rq, &record);
    put_line(b, "record ", p->record_text && *p->record_text ? p->record_text : record.p);
    put_line(b, "strategy ", p->strategy);
    put_line(b, "solver ", p->solver_note);
    for (int r = 0; r < XG_REGIONS; r++)
        xg_putf(b, "region %s bytes=%" PRIu64 "\n", xg_xs_region_names[r], p->region_bytes[r]);
}

static void put_tensors(const xg_program *p, xg_buf *b) {
    for (uint32_t i = 0; i < p->tensor.n; i++) {
        const xg_prog_tensor *t = &p->tensor.v[i];
        put_string(b, "tensor ", t->name);
        put_string(b, " onnx=", t->onnx);
        xg_putf(b, " type=%s dim=[%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "] scale=",
                xg_dtype_name(t->dtype), t->dim[0], t->dim[1], t->dim[2], t->dim[3]);
        xg_put_f32(b, t->scale);
        xg_putf(b, " zp=%" PRId32 " materialised=%d", t->zp, t->materialised);
        put_place(b, &t->place);
        xg_puts(b, "\n");
    }
}

static void put_names(const xg_program *p, const char *key, const uint32_t *v, uint32_t n,
                      xg_buf *b) {
    if (!n) return;
    xg_putf(b, " %s=[", key);
    for (uint32_t i = 0; i < n; i++) put_string(b, i ? "," : "", p->tensor.v[v[i]].name);
    xg_puts(b, "]");
}

static void put_steps(const xg_program *p, xg_buf *b) {
    for (uint32_t i = 0; i < p->step.n; i++) {
        const xg_step *s = &p->step.v[i];
        xg_puts(b, s->kind == XG_STEP_HOST ? "step host" : "step accel");
        if (s->kind == XG_STEP_ACCEL || s->segment) xg_putf(b, " segment=%" PRIu32, s->segment);
        if (s->nnode) xg_puts(b, " nodes=[");
        for (uint32_t k = 0; k < s->nnode; k++) xg_putf(b, "%s%" PRIu32, k ? "," : "", s->node[k]);
        if (s->nnode) xg_puts(b, "]");
        put_names(p, "read", s->read, s->nread, b);
        put_names(p, "written", s->written, s->nwritten, b);
        for (uint32_t k = 0; k < s->nnode; k++)
            put_string(b, k ? " " : " # ", p->host->node.v[s->node[k]].name);
        xg_puts(b, "\n");
    }
}

static void put_map(const xg_program *p, xg_buf *b) {
    for (uint32_t i = 0; i < p->map.n; i++) {
        const xg_map_row *r = &p->map.v[i];
        xg_putf(b, "map segment=%" PRIu32 " core=%" PRIu32 " first=%" PRIu32 " last=%" PRIu32,
                r->segment, r->core, r->first, r->last);
        if (r->tensor != XG_NONE) put_string(b, " tensor=", p->tensor.v[r->tensor].name);
        put_string(b, " node=", r->node);
        put_string(b, " onnx=", r->onnx);
        xg_putf(b,
                " group=%" PRIu32 " tile=%" PRIu32 " n=%" PRIu32 " h=[%" PRIu32 ",%" PRIu32
                "] w=[%" PRIu32 ",%" PRIu32 "] c=[%" PRIu32 ",%" PRIu32 "]",
                r->group, r->tile, r->n, r->h0, r->h1, r->w0, r->w1, r->c0, r->c1);
        if (r->flat) xg_putf(b, " flat=%" PRIu32, r->flat);
        put_place(b, &r->place);
        xg_puts(b, "\n");
    }
}

/* Nothing when n is 0; else `word bytes=n`, then lines of 32 bytes in hexadecimal. */
static void put_hex(const char *word, const uint8_t *p, size_t n, xg_buf *b) {
    static const char digit[] = "0123456789abcdef";
    if (!n) return;
    xg_putf(b, "%s bytes=%zu\n", word, n);
    for (size_t i = 0; i < n; i += XG_XS_HEX_BYTES) {
        char line[2 * XG_XS_HEX_BYTES + 1];
        size_t k = 0;
        for (; k < XG_XS_HEX_BYTES && i + k < n; k++) {
            line[2 * k] = digit[p[i + k] >> 4];
            line[2 * k + 1] = digit[p[i + k] & 15];
        }
        line[2 * k] = '\n';
        xg_put(b, line, 2 * k + 1);
    }
}

/* ---- instructions with comments from the map ------------------------------------------------- */

static int compare_rows(const void *a, const void *b) {
    const xg_map_row *x = *(const xg_map_row *const *)a, *y = *(const xg_map_row *const *)b;
    if (x->segment != y->segment) return x->segment < y->segment ? -1 : 1;
    if (x->core != y->core) return x->core < y->core ? -1 : 1;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x < y ? -1 : x > y;
}

static void put_comment(const xg_program *p, const xg_map_row *r, xg_buf *b) {
    xg_putf(b, "# group %" PRIu32 " tile %" PRIu32, r->group, r->tile);
    put_string(b, " node ", r->node);
    if (r->tensor != XG_NONE) put_string(b, " tensor ", p->tensor.v[r->tensor].name);
    xg_putf(b,
            " n %" PRIu32 " h %" PRIu32 "..%" PRIu32 " w %" PRIu32 "..%" PRIu32 " c %" PRIu32
            "..%" PRIu32,
            r->n, r->h0, r->h1, r->w0, r->w1, r->c0, r->c1);
    if (r->flat) xg_putf(b, " of rows of %" PRIu32, r->flat);
    xg_puts(b, "\n");
}

static void put_segments(xg_arena *a, const xg_family *f, const xg_program *p, xg_buf *b) {
    const xg_map_row **row = xg_newn(a, const xg_map_row *, p->map.n);
    for (uint32_t i = 0; i < p->map.n; i++) row[i] = &p->map.v[i];
    if (p->map.n) qsort(row, p->map.n, sizeof(const xg_map_row *), compare_rows);
    uint32_t next = 0;
    for (uint32_t s = 0; s < p->segment.n; s++) {
        xg_putf(b, "segment %" PRIu32 "\n", s);
        for (uint32_t k = 0; k < p->ncore; k++) {
            const xg_stream *st = &p->segment.v[s].core[k];
            xg_putf(b, "core %" PRIu32 "\n", k);
            for (uint32_t i = 0; i <= st->n; i++) {
                for (; next < p->map.n && row[next]->segment == s && row[next]->core == k &&
                       row[next]->first == i;
                     next++)
                    put_comment(p, row[next], b);
                if (i == st->n) break;
                xg_puts(b, "  ");
                xg_inst_print(f, &st->inst[i], b);
                xg_puts(b, "\n");
            }
        }
    }
}

static xg_status print(xg_arena *a, const xg_machine *m, const xg_program *p, xg_buf *out) {
    xg_buf host = {.arena = a};
    if (p->host) {
        xg_status st = xg_graph_pack(xg_arena_ctx(a), p->host, &host);
        if (st) return st;
    }
    put_head(m, p, out);
    put_tensors(p, out);
    if (!p->host) xg_puts(out, "host bytes=0\n"); /* else the parser would make one */
    put_hex("host", (const uint8_t *)host.p, host.n, out);
    put_steps(p, out);
    put_map(p, out);
    put_hex("const", p->constants.p, p->constants.n, out);
    put_segments(a, m->family, p, out);
    return XG_OK;
}

xg_status xg_xs_print(xg_ctx *c, const xg_machine *m, const xg_program *p, xg_buf *out) {
    xg_arena *a = xg_arena_new(c);
    xg_status st = xg_program_verify(a, "program", m, p);
    if (!st) st = print(a, m, p, out);
    xg_arena_free(a);
    return st;
}

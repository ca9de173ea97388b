#include "assembler/xgb.h"

#include "assembler/bytes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Strings of the tables: each once, NUL-terminated, named by offset; NULL is XG_NONE. */
typedef struct strings {
    xg_buf text;
    xg_map seen;
} strings;

static uint32_t string_at(strings *s, const char *text) {
    if (!text) return XG_NONE;
    uint32_t at = xg_map_get(&s->seen, text);
    if (at != XG_NONE) return at;
    at = (uint32_t)s->text.n;
    xg_put(&s->text, text, strlen(text) + 1);
    xg_map_set(&s->seen, text, at);
    return at;
}

static void put_place(xg_buf *b, const xg_place *p) {
    put_u32(b, (uint32_t)p->on_chip | (uint32_t)p->region << 8);
    put_u32(b, p->addr);
    put_u32(b, p->row_step);
    put_u32(b, p->pix_step);
    put_u32(b, p->row0);
    put_u32(b, p->ring);
    put_u32(b, p->il);
    put_u32(b, p->lane);
    put_u32(b, p->image_step);
}

static void put_tensors(xg_buf *b, strings *s, const xg_program *p) {
    put_u32(b, p->tensor.n);
    for (uint32_t i = 0; i < p->tensor.n; i++) {
        const xg_prog_tensor *t = &p->tensor.v[i];
        uint32_t scale;
        memcpy(&scale, &t->scale, sizeof scale);
        put_u32(b, string_at(s, t->name));
        put_u32(b, string_at(s, t->onnx));
        put_u32(b, (uint32_t)t->dtype | (uint32_t)t->materialised << 8);
        put_u32(b, scale);
        put_u32(b, (uint32_t)t->zp);
        for (int d = 0; d < 4; d++) put_u64(b, (uint64_t)t->dim[d]);
        put_place(b, &t->place);
    }
}

static void put_map(xg_buf *b, strings *s, const xg_program *p) {
    put_u32(b, p->map.n);
    for (uint32_t i = 0; i < p->map.n; i++) {
        const xg_map_row *r = &p->map.v[i];
        const uint32_t v[] = {r->segment, r->core, r->first, r->last, r->tensor, r->group, r->tile};
        for (size_t k = 0; k < XG_COUNT(v); k++) put_u32(b, v[k]);
        put_u32(b, string_at(s, r->node));
        put_u32(b, string_at(s, r->onnx));
        const uint32_t slice[] = {r->n, r->h0, r->h1, r->w0, r->w1, r->c0, r->c1, r->flat};
        for (size_t k = 0; k < XG_COUNT(slice); k++) put_u32(b, slice[k]);
        put_place(b, &r->place);
    }
}

static void put_list(xg_buf *b, const uint32_t *v, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) put_u32(b, v[i]);
}

static void put_steps(xg_buf *b, const xg_program *p) {
    put_u32(b, p->step.n);
    for (uint32_t i = 0; i < p->step.n; i++) {
        const xg_step *s = &p->step.v[i];
        put_u32(b, s->kind);
        put_u32(b, s->segment);
        put_u32(b, s->nnode);
        put_u32(b, s->nread);
        put_u32(b, s->nwritten);
        put_list(b, s->node, s->nnode);
        put_list(b, s->read, s->nread);
        put_list(b, s->written, s->nwritten);
    }
}

static xg_status put_stream(xg_ctx *c, const xg_machine *m, uint32_t segment, uint32_t core,
                            const xg_stream *st, xg_buf *b) {
    for (uint32_t i = 0; i < st->n; i++) {
        char where[80];
        uint32_t word[XG_INST_WORDS_MAX], n;
        snprintf(where, sizeof where, "segment %" PRIu32 " core %" PRIu32 " instruction %" PRIu32,
                 segment, core, i);
        xg_status s = xg_encode(c, m->encoding, &st->inst[i], where, word, &n);
        if (s) return s;
        for (uint32_t k = 0; k < n; k++) put_u32(b, word[k]);
    }
    return XG_OK;
}

static void add(xg_arena *a, xg_secs *s, const char *name, xg_sec_kind kind, const void *p,
                uint64_t n) {
    xg_push(a, s, (xg_sec){name, kind, p, n});
}

static void add_buf(xg_arena *a, xg_secs *s, const char *name, xg_sec_kind kind, const xg_buf *b) {
    add(a, s, name, kind, b->p ? b->p : "", b->n);
}

static xg_status add_text(xg_arena *a, const xg_machine *m, const xg_program *p, xg_secs *secs) {
    for (uint32_t s = 0; s < p->segment.n; s++)
        for (uint32_t k = 0; k < p->ncore; k++) {
            xg_buf b = {.arena = a};
            xg_status st = put_stream(xg_arena_ctx(a), m, s, k, &p->segment.v[s].core[k], &b);
            if (st) return st;
            add_buf(a, secs, xg_strf(a, ".text.s%" PRIu32 ".c%" PRIu32, s, k), XG_SEC_TEXT, &b);
        }
    return XG_OK;
}

static const char *text_of(const char *s) {
    return s ? s : "";
}

/* Identity that the program does not state is the machine's. */
static void add_note(xg_arena *a, const xg_machine *m, const xg_program *p, xg_secs *secs) {
    xg_xgb_note k = {.version = XG_XGB_VERSION, .ncore = p->ncore, .nsegment = p->segment.n};
    memcpy(k.region_bytes, p->region_bytes, sizeof k.region_bytes);
#define X(member) k.member = text_of(p->member);
    XG_XGB_NOTE_STRINGS(X)
#undef X
    xg_buf b = {.arena = a}, record = {.arena = a};
    xg_rqrec_print(&m->rq, &record);
    if (!*k.machine_name) k.machine_name = m->name;
    if (!*k.machine_digest) k.machine_digest = m->digest;
    if (!*k.encoding_digest) k.encoding_digest = m->encoding->digest;
    if (!*k.record_text) k.record_text = record.p;
    xg_xgb_note_put(&k, &b);
    add_buf(a, secs, ".note.xgc", XG_SEC_NOTE, &b);
}

static xg_status write_file(xg_arena *a, const xg_machine *m, const xg_program *p, xg_buf *out) {
    xg_ctx *c = xg_arena_ctx(a);
    xg_status st = xg_program_verify(a, "program", m, p);
    if (st) return st;
    xg_secs secs = {0};
    strings s = {.text = {.arena = a}, .seen = {.arena = a}};
    xg_buf host = {.arena = a}, tensors = {.arena = a}, map = {.arena = a}, steps = {.arena = a};
    string_at(&s, "");
    put_tensors(&tensors, &s, p);
    put_map(&map, &s, p);
    put_steps(&steps, p);
    if (p->host) st = xg_graph_pack(c, p->host, &host);
    if (st) return st;
    add_note(a, m, p, &secs);
    add(a, &secs, ".rodata.const", XG_SEC_DATA,
        p->constants.n ? p->constants.p : (const uint8_t *)"", p->constants.n);
    add_buf(a, &secs, ".xgc.tensors", XG_SEC_INFO, &tensors);
    add_buf(a, &secs, ".xgc.map", XG_SEC_INFO, &map);
    add_buf(a, &secs, ".xgc.steps", XG_SEC_INFO, &steps);
    add_buf(a, &secs, ".xgc.host", XG_SEC_INFO, &host);
    add_buf(a, &secs, ".strtab", XG_SEC_STRINGS, &s.text);
    st = add_text(a, m, p, &secs);
    return st ? st : xg_elf_build(c, &secs, out);
}

xg_status xg_xgb_write(xg_ctx *c, const xg_machine *m, const xg_program *p, xg_buf *out) {
    xg_arena *a = xg_arena_new(c);
    xg_status st = write_file(a, m, p, out);
    xg_arena_free(a);
    return st;
}

#include "assembler/xgb.h"

#include "assembler/bytes.h"

#include <inttypes.h>
#include <string.h>

typedef struct reader {
    xg_arena *arena;
    const char *path;
    const xg_machine *m;
    xg_program *p;
    const xg_sec *strtab;
    bool bad_string;
} reader;

static xg_status damaged(const reader *r, const char *section) {
    return xg_error(xg_arena_ctx(r->arena), XG_INPUT, r->path,
                    "damaged: section %s contradicts itself", section);
}

/* ---- the fixed list of sections -------------------------------------------------------------- */

enum { S_NOTE, S_CONST, S_TENSORS, S_MAP, S_STEPS, S_HOST, S_STRTAB, S_TEXT };
static const struct {
    const char *name;
    xg_sec_kind kind;
} fixed[S_TEXT] = {{".note.xgc", XG_SEC_NOTE},    {".rodata.const", XG_SEC_DATA},
                   {".xgc.tensors", XG_SEC_INFO}, {".xgc.map", XG_SEC_INFO},
                   {".xgc.steps", XG_SEC_INFO},   {".xgc.host", XG_SEC_INFO},
                   {".strtab", XG_SEC_STRINGS}};

static xg_status check_order(xg_arena *a, const char *path, const xg_secs *s) {
    for (uint32_t i = 0; i < S_TEXT; i++)
        if (i >= s->n || strcmp(s->v[i].name, fixed[i].name) || s->v[i].kind != fixed[i].kind)
            return xg_error(xg_arena_ctx(a), XG_INPUT, path,
                            "not an .xgb file, or damaged: section %" PRIu32 " is not %s", i + 1,
                            fixed[i].name);
    return XG_OK;
}

static xg_status check_digest(xg_arena *a, const char *path, const uint8_t *data, size_t n) {
    char hex[65];
    size_t body = n - XG_XGB_DIGEST_BYTES;
    xg_sha256_hex(data, body, hex);
    if (!memcmp(data + body, hex, XG_XGB_DIGEST_BYTES)) return XG_OK;
    char stored[17] = {0};
    for (int i = 0; i < 16; i++)
        stored[i] = data[body + (size_t)i] > ' ' && data[body + (size_t)i] < 127
                        ? (char)data[body + (size_t)i]
                        : '?';
    return xg_error(xg_arena_ctx(a), XG_INPUT, path,
                    "damaged: its content has digest %.16s, it says %s", hex, stored);
}

/* Sections and note; the format version is looked at before the digest, so that a newer file is
 * called newer. */
static xg_status open_file(xg_arena *a, const char *path, const void *data, size_t n, xg_secs *secs,
                           xg_xgb_note *note) {
    xg_status st = xg_elf_parse(a, path, data, n, secs);
    if (!st) st = check_order(a, path, secs);
    if (!st) st = xg_xgb_note_get(a, path, secs->v[S_NOTE].p, secs->v[S_NOTE].n, note);
    if (!st) st = check_digest(a, path, data, n);
    return st;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static const char *get_string(reader *r, cursor *c) {
    uint32_t at = get_u32(c);
    if (at == XG_NONE) return NULL;
    const xg_sec *s = r->strtab;
    if (at >= s->n || !memchr(s->p + at, 0, s->n - at)) {
        r->bad_string = true;
        return "";
    }
    return (const char *)s->p + at;
}

static bool get_place(cursor *c, xg_place *p) {
    uint32_t head = get_u32(c);
    p->on_chip = head & 1;
    p->region = (uint8_t)(head >> 8);
    p->addr = get_u32(c);
    p->row_step = get_u32(c);
    p->pix_step = get_u32(c);
    p->row0 = get_u32(c);
    p->ring = get_u32(c);
    p->il = get_u32(c);
    p->lane = get_u32(c);
    p->image_step = get_u32(c);
    return !(head & ~0xff01u);
}

static xg_status get_tensors(reader *r, const xg_sec *s) {
    cursor c = {s->p, s->p + s->n, true};
    uint32_t n = get_u32(&c);
    if (s->n != 4 + (uint64_t)n * XG_XGB_TENSOR_BYTES) return damaged(r, s->name);
    xg_reserve(r->arena, &r->p->tensor, n);
    for (uint32_t i = 0; i < n; i++) {
        xg_prog_tensor t = {0};
        t.name = get_string(r, &c);
        t.onnx = get_string(r, &c);
        uint32_t flags = get_u32(&c), scale = get_u32(&c);
        t.zp = (int32_t)get_u32(&c);
        memcpy(&t.scale, &scale, sizeof scale);
        t.dtype = (xg_dtype)(flags & 0xff);
        t.materialised = flags >> 8 & 1;
        for (int d = 0; d < 4; d++) t.dim[d] = (int64_t)get_u64(&c);
        if (!get_place(&c, &t.place) || flags & ~0x1ffu) return damaged(r, s->name);
        xg_push(r->arena, &r->p->tensor, t);
    }
    return XG_OK;
}

static xg_status get_map(reader *r, const xg_sec *s) {
    cursor c = {s->p, s->p + s->n, true};
    uint32_t n = get_u32(&c);
    if (s->n != 4 + (uint64_t)n * XG_XGB_MAP_BYTES) return damaged(r, s->name);
    xg_reserve(r->arena, &r->p->map, n);
    for (uint32_t i = 0; i < n; i++) {
        xg_map_row t = {0};
        uint32_t *head[] = {&t.segment, &t.core, &t.first, &t.last, &t.tensor, &t.group, &t.tile};
        for (size_t k = 0; k < XG_COUNT(head); k++) *head[k] = get_u32(&c);
        t.node = get_string(r, &c);
        t.onnx = get_string(r, &c);
        uint32_t *slice[] = {&t.n, &t.h0, &t.h1, &t.w0, &t.w1, &t.c0, &t.c1, &t.flat};
        for (size_t k = 0; k < XG_COUNT(slice); k++) *slice[k] = get_u32(&c);
        if (!get_place(&c, &t.place)) return damaged(r, s->name);
        xg_push(r->arena, &r->p->map, t);
    }
    return XG_OK;
}

/* n numbers; the bytes are there, so the allocation is no larger than the file. */
static const uint32_t *get_list(reader *r, cursor *c, uint32_t n) {
    const uint8_t *p = get_bytes(c, (uint64_t)n * 4);
    if (!p) return NULL;
    uint32_t *v = xg_newn(r->arena, uint32_t, n);
    for (uint32_t i = 0; i < n; i++) v[i] = load_u32(p + (size_t)i * 4);
    return v;
}

static xg_status get_steps(reader *r, const xg_sec *s) {
    cursor c = {s->p, s->p + s->n, true};
    uint32_t n = get_u32(&c);
    for (uint32_t i = 0; i < n && c.ok; i++) {
        xg_step t = {.kind = (xg_step_kind)get_u32(&c)};
        t.segment = get_u32(&c);
        t.nnode = get_u32(&c);
        t.nread = get_u32(&c);
        t.nwritten = get_u32(&c);
        t.node = get_list(r, &c, t.nnode);
        t.read = get_list(r, &c, t.nread);
        t.written = get_list(r, &c, t.nwritten);
        if (c.ok) xg_push(r->arena, &r->p->step, t);
    }
    return c.ok && c.p == c.end ? XG_OK : damaged(r, s->name);
}

/* ---- instructions ---------------------------------------------------------------------------- */

static xg_status get_stream(reader *r, const xg_sec *s, xg_stream *out) {
    xg_ctx *c = xg_arena_ctx(r->arena);
    if (s->n % 4) return damaged(r, s->name);
    uint64_t nwords = s->n / 4;
    XG_VEC(xg_inst) list = {0};
    xg_reserve(r->arena, &list,
               (uint32_t)(nwords / 4 + 1)); /* most instructions have four words or more */
    for (uint64_t at = 0; at < nwords;) {
        uint32_t word[XG_INST_WORDS_MAX], used;
        uint64_t left = xg_min((int64_t)(nwords - at), XG_INST_WORDS_MAX);
        for (uint64_t k = 0; k < left; k++) word[k] = load_u32(s->p + (at + k) * 4);
        const char *where = "";
        xg_inst in;
        xg_status st = xg_decode(c, r->m->encoding, word, left, where, &in, &used);
        if (st) {
            size_t last = xg_diag_count(c) - 1;
            const char *text = xg_strdup(r->arena, xg_diag_at(c, last)->text);
            xg_diag_truncate(c, last);
            return xg_error(c, st, r->path, "%s offset 0x%" PRIx64 ": %s", s->name, at * 4, text);
        }
        xg_push(r->arena, &list, in);
        at += used;
    }
    *out = (xg_stream){list.v, list.n};
    return XG_OK;
}

static xg_status get_text_sections(reader *r, const xg_secs *s, const xg_xgb_note *k) {
    if ((uint64_t)k->ncore * k->nsegment != s->n - S_TEXT || !k->ncore)
        return xg_error(xg_arena_ctx(r->arena), XG_INPUT, r->path,
                        "damaged: %" PRIu32 " segments of %" PRIu32 " cores, but %" PRIu32
                        " instruction streams",
                        k->nsegment, k->ncore, s->n - S_TEXT);
    for (uint32_t i = 0; i < k->nsegment; i++) {
        xg_segment seg = {.core = xg_newn(r->arena, xg_stream, k->ncore), .ncore = k->ncore};
        for (uint32_t j = 0; j < k->ncore; j++) {
            const xg_sec *sec = &s->v[S_TEXT + i * k->ncore + j];
            const char *name = xg_strf(r->arena, ".text.s%" PRIu32 ".c%" PRIu32, i, j);
            if (strcmp(sec->name, name) || sec->kind != XG_SEC_TEXT) return damaged(r, name);
            xg_status st = get_stream(r, sec, &seg.core[j]);
            if (st) return st;
        }
        xg_push(r->arena, &r->p->segment, seg);
    }
    return XG_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static xg_status same_machine(const reader *r, const xg_xgb_note *k) {
    xg_ctx *c = xg_arena_ctx(r->arena);
    if (strcmp(k->machine_digest, r->m->digest))
        return xg_error(c, XG_INPUT, r->path,
                        "built for machine %s (digest %.16s), given is %s (digest %.16s)",
                        k->machine_name, k->machine_digest, r->m->name, r->m->digest);
    if (strcmp(k->encoding_digest, r->m->encoding->digest))
        return xg_error(c, XG_INPUT, r->path,
                        "built with the encoding of digest %.16s, given is '%s' of digest %.16s",
                        k->encoding_digest, r->m->encoding->name, r->m->encoding->digest);
    return XG_OK;
}

static void take_note(xg_program *p, const xg_xgb_note *k) {
#define X(member) p->member = k->member;
    XG_XGB_NOTE_STRINGS(X)
#undef X
    p->ncore = k->ncore;
    memcpy(p->region_bytes, k->region_bytes, sizeof p->region_bytes);
}

static xg_status get_program(reader *r, const xg_secs *s, const xg_xgb_note *k) {
    take_note(r->p, k);
    r->p->constants = (xg_bytes){s->v[S_CONST].p, s->v[S_CONST].n};
    r->strtab = &s->v[S_STRTAB];
    xg_status st = get_tensors(r, &s->v[S_TENSORS]);
    if (!st) st = get_map(r, &s->v[S_MAP]);
    if (!st && r->bad_string) st = damaged(r, ".strtab");
    if (!st) st = get_steps(r, &s->v[S_STEPS]);
    if (!st && s->v[S_HOST].n) {
        xg_graph *g = NULL;
        st = xg_graph_unpack(r->arena, r->path, s->v[S_HOST].p, s->v[S_HOST].n, &g);
        r->p->host = g;
    }
    if (!st) st = get_text_sections(r, s, k);
    return st ? st : xg_program_verify(r->arena, r->path, r->m, r->p);
}

xg_status xg_xgb_read(xg_arena *a, const char *path, const void *data, size_t n,
                      const xg_machine *m, xg_program **out) {
    xg_secs secs = {0};
    xg_xgb_note note;
    xg_status st = open_file(a, path, data, n, &secs, &note);
    if (st) return st;
    if (!m) {
        xg_machine *named;
        st = xg_machine_load(a, note.machine_name, NULL, &named);
        if (st) return st;
        m = named;
    }
    reader r = {.arena = a, .path = path, .m = m, .p = xg_new(a, xg_program)};
    st = same_machine(&r, &note);
    if (!st) st = get_program(&r, &secs, &note);
    if (!st) *out = r.p;
    return st;
}

xg_status xg_xgb_machine(xg_arena *a, const char *path, const void *data, size_t n,
                         const char **name) {
    xg_secs secs = {0};
    xg_xgb_note note;
    xg_status st = xg_elf_parse(a, path, data, n, &secs);
    if (!st) st = check_order(a, path, &secs);
    if (!st) st = xg_xgb_note_get(a, path, secs.v[S_NOTE].p, secs.v[S_NOTE].n, &note);
    if (!st) *name = note.machine_name;
    return st;
}

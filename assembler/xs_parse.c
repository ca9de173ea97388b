#include "assembler/xs.h"

#include "assembler/xgb.h"
#include "base/text.h"

#include <inttypes.h>
#include <string.h>

typedef XG_VEC(xg_inst) insts;

typedef struct parser {
    xg_reader r;
    xg_arena *arena;
    const xg_machine *m;
    xg_program *p;
    xg_map tensors; /* name -> index */
    insts *stream;  /* [ncore] of the segment at hand */
    uint32_t core;
    bool in_segment, host_given;
    bool seen_region[XG_REGIONS];
} parser;

#define ERR(k, item, ...) xg_reader_error(&(k)->r, item, __VA_ARGS__)

/* Every key of the line is in the list (NULL-terminated), and it has npos positional atoms. */
static xg_status only(parser *k, uint32_t npos, const char *const *keys) {
    const xg_line *l = &k->r.line;
    uint32_t pos = 0;
    for (uint32_t i = 0; i < l->nitem; i++) {
        const xg_item *it = &l->item[i];
        if (!it->key) {
            if (it->is_list || ++pos > npos) return ERR(k, it, "unexpected value");
            continue;
        }
        const char *const *w = keys;
        while (*w && strcmp(*w, it->key)) w++;
        if (!*w) return ERR(k, it, "unknown key '%.60s'", it->key);
    }
    if (pos < npos) return ERR(k, NULL, "%s: a value is missing", l->item[0].atom[0]);
    return XG_OK;
}

/* An unsigned number with a default. */
static xg_status number(parser *k, const char *key, uint32_t otherwise, uint32_t *out) {
    const xg_item *it = xg_line_key(&k->r.line, key);
    int64_t v = otherwise;
    *out = otherwise;
    if (!it) return XG_OK;
    if (it->is_list) return ERR(k, it, "%s: expected one number", key);
    xg_status st = xg_item_int(&k->r, it, 0, 0, UINT32_MAX, &v);
    *out = (uint32_t)v;
    return st;
}

/* A string with default NULL. */
static xg_status optional(parser *k, const char *key, const char **out) {
    *out = NULL;
    return xg_line_key(&k->r.line, key) ? xg_line_str(&k->r, key, out) : XG_OK;
}

/* ---- header lines ---------------------------------------------------------------------------- */

static xg_status read_version(parser *k) {
    static const char *const keys[] = {"version", NULL};
    int64_t v;
    xg_status st = only(k, 1, keys);
    if (!st) st = xg_line_int(&k->r, "version", 0, INT32_MAX, &v);
    if (!st && v != XG_XS_VERSION)
        return ERR(k, NULL, "text version %" PRId64 ", this xgc reads version %d", v,
                   XG_XS_VERSION);
    return st;
}

static xg_status read_machine(parser *k) {
    static const char *const keys[] = {"digest", "encoding", NULL};
    const char *digest, *encoding;
    xg_status st = only(k, 2, keys);
    if (!st) st = optional(k, "digest", &digest);
    if (!st) st = optional(k, "encoding", &encoding);
    if (st) return st;
    const char *name = xg_line_pos(&k->r.line, 1)->atom[0];
    if (strcmp(name, k->m->name))
        return ERR(k, NULL, "written for machine '%.60s', given is '%s'", name, k->m->name);
    if (digest && strcmp(digest, k->m->digest))
        return ERR(k, NULL, "written for machine %s of digest %.16s, given is one of digest %.16s",
                   name, digest, k->m->digest);
    if (encoding && strcmp(encoding, k->m->encoding->digest))
        return ERR(k, NULL,
                   "written for an encoding of digest %.16s, given is '%s' of digest %.16s",
                   encoding, k->m->encoding->name, k->m->encoding->digest);
    return XG_OK;
}

static xg_status read_text(parser *k, const char **to) {
    static const char *const keys[] = {NULL};
    xg_status st = only(k, 2, keys);
    if (!st) *to = xg_line_pos(&k->r.line, 1)->atom[0];
    return st;
}

static xg_status read_tool(parser *k) {
    return read_text(k, &k->p->tool_version);
}
static xg_status read_input(parser *k) {
    return read_text(k, &k->p->input_digest);
}
static xg_status read_options(parser *k) {
    return read_text(k, &k->p->options);
}
static xg_status read_record(parser *k) {
    return read_text(k, &k->p->record_text);
}
static xg_status read_strategy(parser *k) {
    return read_text(k, &k->p->strategy);
}
static xg_status read_solver(parser *k) {
    return read_text(k, &k->p->solver_note);
}

static xg_status region_of(parser *k, const xg_item *it, uint8_t *out) {
    for (uint8_t r = 0; it && r < XG_REGIONS; r++)
        if (xg_item_is(it, xg_xs_region_names[r])) {
            *out = r;
            return XG_OK;
        }
    return ERR(k, it, "expected a region: const, work, in or out");
}

static xg_status read_region(parser *k) {
    static const char *const keys[] = {"bytes", NULL};
    uint8_t r = 0;
    int64_t v = 0;
    xg_status st = only(k, 2, keys);
    if (!st) st = region_of(k, xg_line_pos(&k->r.line, 1), &r);
    if (!st) st = xg_line_int(&k->r, "bytes", 0, (int64_t)1 << 31, &v);
    if (st) return st;
    if (k->seen_region[r]) return ERR(k, NULL, "region %s is given twice", xg_xs_region_names[r]);
    k->seen_region[r] = true;
    k->p->region_bytes[r] = (uint64_t)v;
    return XG_OK;
}

/* ---- tensors, map, steps --------------------------------------------------------------------- */

static xg_status get_place(parser *k, xg_place *p) {
    const xg_item *at = xg_line_key(&k->r.line, "at"), *region = xg_line_key(&k->r.line, "region");
    if (at && !xg_item_is(at, "chip") && !xg_item_is(at, "ddr"))
        return ERR(k, at, "at: expected chip or ddr");
    p->on_chip = at && xg_item_is(at, "chip");
    xg_status st = region ? region_of(k, region, &p->region) : XG_OK;
#define X(key, member)                                                                             \
    if (!st) st = number(k, #key, 0, &p->member);
    XG_XS_PLACE(X)
#undef X
    return st;
}
#define PLACE_KEYS "at", "region", "addr", "row", "pix", "image", "row0", "ring", "il", "lane"

static xg_status read_tensor(parser *k) {
    static const char *const keys[] = {"onnx", "type",         "dim",      "scale",
                                       "zp",   "materialised", PLACE_KEYS, NULL};
    xg_prog_tensor t = {.dtype = XG_I8, .scale = 1, .materialised = true};
    xg_status st = only(k, 2, keys);
    if (st) return st;
    const xg_line *l = &k->r.line;
    t.name = xg_line_pos(l, 1)->atom[0];
    const xg_item *dim = xg_line_key(l, "dim"), *scale = xg_line_key(l, "scale"),
                  *type = xg_line_key(l, "type"), *zp = xg_line_key(l, "zp");
    if (!dim || dim->natom != 4) return ERR(k, dim, "dim=[n,h,w,c] is needed");
    for (uint32_t i = 0; i < 4 && !st; i++)
        st = xg_item_int(&k->r, dim, i, 1, INT32_MAX, &t.dim[i]);
    if (!st && type && (type->is_list || !xg_dtype_parse(type->atom[0], &t.dtype)))
        return ERR(k, type, "type: unknown");
    if (!st && scale) st = xg_item_f32(&k->r, scale, 0, &t.scale);
    int64_t v = 0;
    if (!st && zp) st = xg_item_int(&k->r, zp, 0, INT32_MIN, INT32_MAX, &v);
    t.zp = (int32_t)v;
    uint32_t materialised = 1;
    if (!st) st = number(k, "materialised", 1, &materialised);
    t.materialised = materialised != 0;
    if (!st) st = optional(k, "onnx", &t.onnx);
    if (!st) st = get_place(k, &t.place);
    if (st) return st;
    if (xg_map_get(&k->tensors, t.name) != XG_NONE)
        return ERR(k, NULL, "tensor '%.60s' is given twice", t.name);
    xg_map_set(&k->tensors, t.name, k->p->tensor.n);
    xg_push(k->arena, &k->p->tensor, t);
    return XG_OK;
}

static xg_status tensor_of(parser *k, const xg_item *it, uint32_t i, uint32_t *out) {
    *out = xg_map_get(&k->tensors, it->atom[i]);
    return *out == XG_NONE ? ERR(k, it, "no tensor '%.60s' above this line", it->atom[i]) : XG_OK;
}

static xg_status get_pair(parser *k, const char *key, uint32_t *lo, uint32_t *hi) {
    const xg_item *it = xg_line_key(&k->r.line, key);
    int64_t a, b;
    if (!it) return XG_OK;
    if (it->natom != 2) return ERR(k, it, "%s: expected [first,end]", key);
    xg_status st = xg_item_int(&k->r, it, 0, 0, UINT32_MAX, &a);
    if (!st) st = xg_item_int(&k->r, it, 1, 0, UINT32_MAX, &b);
    if (st) return st;
    *lo = (uint32_t)a;
    *hi = (uint32_t)b;
    return XG_OK;
}

static xg_status read_map(parser *k) {
    static const char *const keys[] = {"segment", "core",  "first",    "last", "tensor", "node",
                                       "onnx",    "group", "tile",     "n",    "h",      "w",
                                       "c",       "flat",  PLACE_KEYS, NULL};
    xg_map_row r = {.tensor = XG_NONE};
    const xg_item *tensor = xg_line_key(&k->r.line, "tensor");
    xg_status st = only(k, 1, keys);
    if (!st) st = number(k, "segment", 0, &r.segment);
    if (!st) st = number(k, "core", 0, &r.core);
    if (!st) st = number(k, "first", 0, &r.first);
    if (!st) st = number(k, "last", 0, &r.last);
    if (!st) st = number(k, "group", 0, &r.group);
    if (!st) st = number(k, "tile", 0, &r.tile);
    if (!st) st = number(k, "n", 0, &r.n);
    if (!st) st = get_pair(k, "h", &r.h0, &r.h1);
    if (!st) st = get_pair(k, "w", &r.w0, &r.w1);
    if (!st) st = get_pair(k, "c", &r.c0, &r.c1);
    if (!st) st = number(k, "flat", 0, &r.flat);
    if (!st) st = optional(k, "node", &r.node);
    if (!st) st = optional(k, "onnx", &r.onnx);
    if (!st) st = get_place(k, &r.place);
    if (!st && tensor && tensor->is_list) st = ERR(k, tensor, "tensor: expected one name");
    if (!st && tensor) st = tensor_of(k, tensor, 0, &r.tensor);
    if (!st) xg_push(k->arena, &k->p->map, r);
    return st;
}

/* A list of tensor names, or of numbers, as indices. */
static xg_status get_list(parser *k, const char *key, bool names, const uint32_t **out,
                          uint32_t *n) {
    const xg_item *it = xg_line_key(&k->r.line, key);
    *n = it ? it->natom : 0;
    uint32_t *v = xg_newn(k->arena, uint32_t, *n);
    xg_status st = XG_OK;
    for (uint32_t i = 0; i < *n && !st; i++) {
        int64_t x = 0;
        if (names)
            st = tensor_of(k, it, i, &v[i]);
        else {
            st = xg_item_int(&k->r, it, i, 0, UINT32_MAX - 1, &x);
            v[i] = (uint32_t)x;
        }
    }
    *out = v;
    return st;
}

static xg_status read_step(parser *k) {
    static const char *const keys[] = {"segment", "nodes", "read", "written", NULL};
    xg_step s = {0};
    xg_status st = only(k, 2, keys);
    if (st) return st;
    const xg_item *kind = xg_line_pos(&k->r.line, 1);
    if (!xg_item_is(kind, "host") && !xg_item_is(kind, "accel"))
        return ERR(k, kind, "expected host or accel");
    s.kind = xg_item_is(kind, "host") ? XG_STEP_HOST : XG_STEP_ACCEL;
    st = number(k, "segment", 0, &s.segment);
    if (!st) st = get_list(k, "nodes", false, &s.node, &s.nnode);
    if (!st) st = get_list(k, "read", true, &s.read, &s.nread);
    if (!st) st = get_list(k, "written", true, &s.written, &s.nwritten);
    if (!st) xg_push(k->arena, &k->p->step, s);
    return st;
}

/* ---- bytes in hexadecimal -------------------------------------------------------------------- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Blanks, line ends and comments between bytes. The reader's own lines would cost an allocation for
 * each. */
static void skip_space(xg_reader *r) {
    for (; r->p < r->end; r->p++) {
        if (*r->p == '#')
            while (r->p + 1 < r->end && r->p[1] != '\n') r->p++;
        else if (*r->p == '\n')
            r->number++;
        else if (*r->p != ' ' && *r->p != '\t' && *r->p != '\r')
            return;
    }
}

static xg_status read_bytes(parser *k, xg_bytes *out) {
    static const char *const keys[] = {"bytes", NULL};
    int64_t n = 0;
    xg_status st = only(k, 1, keys);
    if (!st) st = xg_line_int(&k->r, "bytes", 0, (int64_t)1 << 31, &n);
    if (st) return st;
    if (out->n) return ERR(k, NULL, "%s is given twice", k->r.line.item[0].atom[0]);
    xg_reader *r = &k->r;
    if (n > (r->end - r->p) / 2)
        return ERR(k, NULL, "%" PRId64 " bytes promised, the file ends before", n);
    uint8_t *v = xg_alloc(k->arena, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        skip_space(r);
        int hi = r->p < r->end ? hex_digit(r->p[0]) : -1,
            lo = r->end - r->p > 1 ? hex_digit(r->p[1]) : -1;
        if (hi < 0 || lo < 0) {
            r->number++;
            return ERR(k, NULL, "byte %" PRId64 " of %" PRId64 ": expected two hexadecimal digits",
                       i, n);
        }
        v[i] = (uint8_t)(hi << 4 | lo);
        r->p += 2;
    }
    *out = (xg_bytes){v, (size_t)n};
    return XG_OK;
}

static xg_status read_const(parser *k) {
    return read_bytes(k, &k->p->constants);
}

static xg_status read_host(parser *k) {
    xg_bytes packed = {0};
    if (k->host_given) return ERR(k, NULL, "host is given twice");
    k->host_given = true;
    xg_status st = read_bytes(k, &packed);
    if (st || !packed.n) return st;
    xg_graph *g = NULL;
    st = xg_graph_unpack(k->arena, k->r.path, packed.p, packed.n, &g);
    k->p->host = g;
    return st;
}

/* ---- instructions ---------------------------------------------------------------------------- */

static void close_segment(parser *k) {
    if (!k->in_segment) return;
    xg_segment s = {.core = xg_newn(k->arena, xg_stream, k->p->ncore), .ncore = k->p->ncore};
    for (uint32_t i = 0; i < k->p->ncore; i++)
        s.core[i] = (xg_stream){k->stream[i].v, k->stream[i].n};
    xg_push(k->arena, &k->p->segment, s);
    k->in_segment = false;
}

/* `segment` or `core`, with or without its number; the number must be the next one. */
static xg_status get_number(parser *k, uint32_t next, uint32_t limit) {
    static const char *const keys[] = {NULL};
    int64_t v;
    xg_status st = only(k, k->r.line.nitem > 1 ? 2 : 1, keys);
    const char *word = k->r.line.item[0].atom[0];
    if (!st && next >= limit)
        return ERR(k, NULL, "%s %" PRIu32 ": there are %" PRIu32 " at most", word, next, limit);
    if (!st && k->r.line.nitem > 1)
        st = xg_item_int(&k->r, xg_line_pos(&k->r.line, 1), 0, next, next, &v);
    return st;
}

static xg_status read_segment(parser *k) {
    close_segment(k);
    xg_status st = get_number(k, k->p->segment.n, XG_XGB_SECTIONS_MAX);
    if (st) return st;
    k->in_segment = true;
    k->core = XG_NONE;
    k->stream = xg_newn(k->arena, insts, k->p->ncore);
    return XG_OK;
}

static xg_status read_core(parser *k) {
    if (!k->in_segment) return ERR(k, NULL, "core outside a segment");
    xg_status st = get_number(k, k->core + 1, k->p->ncore); /* XG_NONE + 1 = 0: the first */
    if (!st) k->core++;
    return st;
}

/* LOAD|CONV -> mask */
static xg_status get_engines(parser *k, const xg_item *it, uint8_t *out) {
    const xg_family *f = k->m->family;
    if (it->is_list) return ERR(k, it, "%s: expected engines joined by |", it->key);
    for (const char *s = it->atom[0];;) {
        size_t n = strcspn(s, "|");
        uint32_t e = 0;
        while (e < f->nengine &&
               (strlen(f->engine_names[e]) != n || strncmp(s, f->engine_names[e], n)))
            e++;
        if (e == f->nengine)
            return ERR(k, it, "%s: no engine '%.*s'", it->key, (int)(n < 40 ? n : 40), s);
        *out |= (uint8_t)(1u << e);
        if (!s[n]) return XG_OK;
        s += n + 1;
    }
}

static xg_status get_operand(parser *k, const xg_inst_desc *d, const xg_item *it, xg_inst *in) {
    if (!it->key) return ERR(k, it, "%s: expected operand=value", d->mnemonic);
    if (!strcmp(it->key, "wait")) return get_engines(k, it, &in->wait);
    if (!strcmp(it->key, "post")) return get_engines(k, it, &in->post);
    int i = xg_operand_by_name(d, it->key);
    if (i < 0) return ERR(k, it, "%s has no operand '%.60s'", d->mnemonic, it->key);
    if (it->is_list) return ERR(k, it, "%s: expected one number", it->key);
    int64_t v = 0;
    xg_status st =
        xg_item_int(&k->r, it, 0, d->operand[i].is_signed ? INT32_MIN : 0, INT32_MAX, &v);
    in->f[i] = (int32_t)v;
    return st;
}

static xg_status read_inst(parser *k, int op) {
    const xg_inst_desc *d = &k->m->family->inst[op];
    xg_inst in = {.op = (uint8_t)op};
    if (!k->in_segment || k->core == XG_NONE)
        return ERR(k, NULL, "an instruction outside a core of a segment");
    for (uint32_t i = 0; i < d->noperand; i++) in.f[i] = xg_xs_default(d->operand[i].name);
    for (uint32_t i = 1; i < k->r.line.nitem; i++) {
        xg_status st = get_operand(k, d, &k->r.line.item[i], &in);
        if (st) return st;
    }
    xg_push(k->arena, &k->stream[k->core], in);
    return XG_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static const struct {
    const char *word;
    xg_status (*read)(parser *k);
} directives[] = {
    {"xs", read_version},        {"machine", read_machine}, {"tool", read_tool},
    {"input", read_input},       {"options", read_options}, {"record", read_record},
    {"strategy", read_strategy}, {"solver", read_solver},   {"region", read_region},
    {"tensor", read_tensor},     {"map", read_map},         {"step", read_step},
    {"const", read_const},       {"host", read_host},       {"segment", read_segment},
    {"core", read_core},
};

static xg_status read_line(parser *k) {
    const xg_item *head = &k->r.line.item[0];
    for (size_t i = 0; i < XG_COUNT(directives); i++)
        if (xg_item_is(head, directives[i].word)) return directives[i].read(k);
    int op = xg_inst_by_name(k->m->family, head->atom[0]);
    return op < 0 ? ERR(k, head, "unknown instruction or directive '%.60s'", head->atom[0])
                  : read_inst(k, op);
}

xg_status xg_xs_parse(xg_arena *a, const char *path, const char *text, size_t n,
                      const xg_machine *m, xg_program **out) {
    parser *k = xg_new(a, parser);
    xg_reader_init(&k->r, a, path, text, n);
    k->arena = a;
    k->m = m;
    k->p = xg_new(a, xg_program);
    k->p->ncore = m->cores;
    k->tensors.arena = a;
    bool more = true;
    for (;;) {
        xg_status st = xg_reader_next(&k->r, &more);
        if (!st && !more) break;
        if (!st) st = read_line(k);
        if (st) return st;
    }
    close_segment(k);
    xg_status st = xg_xs_fill(a, m, k->host_given, k->p);
    if (!st) st = xg_program_verify(a, path, m, k->p);
    if (!st) *out = k->p;
    return st;
}

#include "base/text.h"
#include "xgraph/form.h"

#include <string.h>

typedef struct parser {
    xg_reader r;
    xg_graph *g;
    xg_map tensors, nodes; /* names defined so far -> index */
} parser;

/* Refuses keys that are not in the NULL-terminated list, and more positional items than npos. */
static xg_status only(parser *p, const char *const *keys, uint32_t npos) {
    const xg_line *l = &p->r.line;
    uint32_t pos = 0;
    for (uint32_t i = 0; i < l->nitem; i++) {
        const xg_item *it = &l->item[i];
        if (!it->key) {
            if (++pos > npos) return xg_reader_error(&p->r, it, "one value too many on this line");
            continue;
        }
        bool known = false;
        for (const char *const *k = keys; *k && !known; k++) known = !strcmp(*k, it->key);
        if (!known) return xg_reader_error(&p->r, it, "unknown key '%s'", it->key);
    }
    return XG_OK;
}

static xg_status need_string(parser *p, uint32_t pos, const char *what, const char **out) {
    const xg_item *it = xg_line_pos(&p->r.line, pos);
    if (!it || !it->is_string)
        return xg_reader_error(&p->r, it, "expected %s in double quotes", what);
    *out = it->atom[0];
    return XG_OK;
}

/* The optional onnx="..." */
static xg_status get_onnx(parser *p, const char **out) {
    const xg_item *it = xg_line_key(&p->r.line, "onnx");
    *out = NULL;
    if (!it) return XG_OK;
    if (!it->is_string || it->is_list || !*it->atom[0])
        return xg_reader_error(&p->r, it, "onnx: expected a name in quotes");
    *out = xg_strdup(p->g->arena, it->atom[0]);
    return XG_OK;
}

/* ---- graph line
 * ----------------------------------------------------------------------------------------- */

static xg_status parse_header(parser *p, xg_arena *a) {
    static const char *const keys[] = {"format", NULL};
    const char *name = NULL;
    int64_t format = 0;
    if (!xg_item_is(xg_line_pos(&p->r.line, 0), "graph"))
        return xg_reader_error(&p->r, NULL,
                               "expected 'graph \"name\" format=%d': this is not an XGraph",
                               XG_FORM_VERSION);
    xg_status st = only(p, keys, 2);
    if (st == XG_OK) st = need_string(p, 1, "the graph's name", &name);
    if (st == XG_OK) st = xg_line_int(&p->r, "format", 0, INT32_MAX, &format);
    if (st != XG_OK) return st;
    if (format != XG_FORM_VERSION)
        return xg_reader_error(&p->r, NULL, "format %lld, this program reads format %d",
                               (long long)format, XG_FORM_VERSION);
    p->g = xg_graph_new(a, name);
    p->tensors.arena = a;
    p->nodes.arena = a;
    return XG_OK;
}

/* ---- tensor lines
 * --------------------------------------------------------------------------------------- */

static xg_status parse_type(parser *p, xg_tensor *t) {
    const xg_item *type = xg_line_pos(&p->r.line, 2), *shape = xg_line_pos(&p->r.line, 3);
    if (!type || type->is_list || !xg_dtype_parse(type->atom[0], &t->dtype))
        return xg_reader_error(&p->r, type,
                               "expected an element type: f32, i8, u8, i16, i32, i64 or bool");
    if (!shape || !shape->is_list || shape->natom > XG_RANK_MAX)
        return xg_reader_error(&p->r, shape, "expected a shape in brackets with at most %d axes",
                               XG_RANK_MAX);
    t->rank = (uint8_t)shape->natom;
    for (uint32_t i = 0; i < shape->natom; i++) {
        xg_status st = xg_item_int(&p->r, shape, i, 1, INT32_MAX, &t->dim[i]);
        if (st != XG_OK) return st;
    }
    if (xg_tensor_elems(t) > INT32_MAX)
        return xg_reader_error(&p->r, shape, "more than 2^31-1 elements");
    return XG_OK;
}

static xg_status parse_quant(parser *p, xg_tensor *t) {
    const xg_line *l = &p->r.line;
    const xg_item *scale = xg_line_key(l, "scale"), *zp = xg_line_key(l, "zp"),
                  *axis_key = xg_line_key(l, "axis");
    int64_t axis = -1;
    if (!scale && !zp && !axis_key) return XG_OK;
    if (!scale || !zp) return xg_reader_error(&p->r, NULL, "scale= and zp= go together");
    xg_status st = axis_key ? xg_line_int(&p->r, "axis", 0, (int64_t)t->rank - 1, &axis) : XG_OK;
    if (st != XG_OK) return st;
    if (scale->is_list != (axis >= 0) || zp->is_list != (axis >= 0) || scale->natom != zp->natom ||
        !scale->natom)
        return xg_reader_error(
            &p->r, scale, "expected one scale and zp, or axis= with equally long lists of both");
    float *s = xg_newn(p->g->arena, float, scale->natom);
    int32_t *z = xg_newn(p->g->arena, int32_t, scale->natom);
    for (uint32_t i = 0; i < scale->natom && st == XG_OK; i++) {
        int64_t v = 0;
        st = xg_item_f32(&p->r, scale, i, &s[i]);
        if (st == XG_OK) st = xg_item_int(&p->r, zp, i, INT32_MIN, INT32_MAX, &v);
        z[i] = (int32_t)v;
    }
    if (st == XG_OK) t->quant = xg_quant_new(p->g->arena, (int32_t)axis, scale->natom, s, z);
    return st;
}

static int nibble(char ch) {
    if (ch >= '0' && ch <= '9') return ch - '0';
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static xg_status parse_data(parser *p, xg_tensor *t) {
    const xg_item *it = xg_line_key(&p->r.line, "data");
    if (!it) return XG_OK;
    const char *s = it->natom == 1 ? it->atom[0] : "";
    if (!strncmp(s, "sha256:", 7))
        return xg_reader_error(
            &p->r, it,
            "the constant '%.100s' is given by its digest only; this text was printed "
            "without data and cannot be read back: use the form with data",
            t->name);
    if (strncmp(s, "hex:", 4) != 0)
        return xg_reader_error(&p->r, it, "data: expected hex:<digits>");
    s += 4;
    size_t n = (size_t)xg_tensor_elems(t) * xg_dtype_bytes(t->dtype), len = strlen(s);
    if (len != 2 * n)
        return xg_reader_error(&p->r, it, "data: %zu digits, the shape needs %zu", len, 2 * n);
    uint8_t *d = xg_alloc(p->g->arena, n);
    for (size_t i = 0; i < n; i++) {
        int hi = nibble(s[2 * i]), lo = nibble(s[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return xg_reader_error(&p->r, it, "data: digit %zu is not one of 0-9 a-f", 2 * i);
        d[i] = (uint8_t)(hi << 4 | lo);
    }
    t->data = d;
    return XG_OK;
}

static xg_status parse_tensor(parser *p) {
    static const char *const keys[] = {"axis", "scale", "zp", "onnx", "data", NULL};
    xg_tensor t = {.producer = XG_NONE};
    xg_status st = only(p, keys, 4);
    if (st == XG_OK) st = need_string(p, 1, "the tensor's name", &t.name);
    if (st == XG_OK && (!*t.name || xg_map_get(&p->tensors, t.name) != XG_NONE))
        st = xg_reader_error(&p->r, xg_line_pos(&p->r.line, 1), "the name is empty or used twice");
    if (st == XG_OK) st = parse_type(p, &t);
    if (st == XG_OK) st = parse_quant(p, &t);
    if (st == XG_OK) st = get_onnx(p, &t.onnx);
    if (st == XG_OK) st = parse_data(p, &t);
    if (st == XG_OK) xg_map_set(&p->tensors, t.name, xg_graph_add_tensor(p->g, &t));
    return st;
}

static xg_status find_tensor(parser *p, const xg_item *it, uint32_t i, uint32_t *out) {
    *out = xg_map_get(&p->tensors, it->atom[i]);
    if (*out != XG_NONE) return XG_OK;
    return xg_reader_error(&p->r, it, "no tensor '%.100s' above this line", it->atom[i]);
}

static xg_status parse_border(parser *p, bool input) {
    static const char *const keys[] = {NULL};
    const char *name = NULL;
    uint32_t t = 0;
    xg_status st = only(p, keys, 2);
    if (st == XG_OK) st = need_string(p, 1, "a tensor's name", &name);
    if (st == XG_OK) st = find_tensor(p, xg_line_pos(&p->r.line, 1), 0, &t);
    if (st != XG_OK) return st;
    const xg_tensor *is = &p->g->tensor.v[t];
    if (input ? is->is_input : is->is_output)
        return xg_reader_error(&p->r, NULL, "'%.100s' is listed twice", name);
    if (input)
        xg_graph_add_input(p->g, t);
    else
        xg_graph_add_output(p->g, t);
    return XG_OK;
}

/* ---- node lines
 * ----------------------------------------------------------------------------------------- */

static xg_status parse_operands(parser *p, const char *key, bool optional, uint32_t **out,
                                uint32_t *n) {
    const xg_item *it = xg_line_key(&p->r.line, key);
    if (!it || !it->is_list) return xg_reader_error(&p->r, it, "expected %s=[\"tensor\",...]", key);
    *n = it->natom;
    *out = xg_newn(p->g->arena, uint32_t, it->natom);
    for (uint32_t i = 0; i < it->natom; i++) {
        (*out)[i] = XG_NONE;
        if (optional && !*it->atom[i]) continue;
        xg_status st = find_tensor(p, it, i, &(*out)[i]);
        if (st != XG_OK) return st;
    }
    return XG_OK;
}

static xg_status parse_attr(parser *p, const xg_item *it, xg_attr_kind kind, xg_attr *a) {
    bool list = kind == XG_INTS || kind == XG_FLOATS;
    if (it->is_list != list)
        return xg_reader_error(&p->r, it, "%s: expected %s", it->key,
                               list ? "a list in brackets" : "one value");
    if (kind == XG_INT) return xg_item_int(&p->r, it, 0, INT64_MIN, INT64_MAX, &a->i);
    if (kind == XG_FLOAT) return xg_item_f32(&p->r, it, 0, &a->f);
    int64_t *is = kind == XG_INTS ? xg_newn(p->g->arena, int64_t, it->natom) : NULL;
    float *fs = kind == XG_FLOATS ? xg_newn(p->g->arena, float, it->natom) : NULL;
    for (uint32_t i = 0; i < it->natom; i++) {
        xg_status st = is ? xg_item_int(&p->r, it, i, INT64_MIN, INT64_MAX, &is[i])
                          : xg_item_f32(&p->r, it, i, &fs[i]);
        if (st != XG_OK) return st;
    }
    a->n = it->natom;
    a->is = is;
    a->fs = fs;
    return XG_OK;
}

static xg_status parse_attrs(parser *p, const xg_node *n) {
    for (uint32_t i = 0; i < p->r.line.nitem; i++) {
        const xg_item *it = &p->r.line.item[i];
        if (!it->key || !strcmp(it->key, "in") || !strcmp(it->key, "out") ||
            !strcmp(it->key, "onnx"))
            continue;
        int slot = xg_attr_slot_by_name((xg_op)n->op, it->key);
        if (slot < 0)
            return xg_reader_error(&p->r, it, "%s has no attribute '%s'", xg_ops[n->op].name,
                                   it->key);
        xg_status st = parse_attr(p, it, xg_attrs[xg_ops[n->op].attr[slot]].kind, &n->attr[slot]);
        if (st != XG_OK) return st;
    }
    return XG_OK;
}

static xg_status check_free(parser *p, const uint32_t *out, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        xg_tensor *t = &p->g->tensor.v[out[i]];
        bool twice = t->producer != XG_NONE;
        for (uint32_t k = 0; k < i; k++) twice |= out[k] == out[i];
        if (twice || t->data)
            return xg_reader_error(&p->r, NULL, "'%.100s' is a constant or made twice", t->name);
    }
    return XG_OK;
}

static xg_status parse_node(parser *p) {
    const xg_item *op_name = xg_line_pos(&p->r.line, 1);
    const char *name = NULL, *onnx = NULL;
    uint32_t *in = NULL, *out = NULL, nin = 0, nout = 0;
    int op = op_name && !op_name->is_list ? xg_op_by_name(op_name->atom[0]) : -1;
    if (op < 0) return xg_reader_error(&p->r, op_name, "expected the name of an operator");
    xg_status st = need_string(p, 2, "the node's name", &name);
    if (st == XG_OK && xg_line_pos(&p->r.line, 3))
        st = xg_reader_error(&p->r, xg_line_pos(&p->r.line, 3), "one value too many on this line");
    if (st == XG_OK && (!*name || xg_map_get(&p->nodes, name) != XG_NONE))
        st = xg_reader_error(&p->r, xg_line_pos(&p->r.line, 2), "the name is empty or used twice");
    if (st == XG_OK) st = parse_operands(p, "in", true, &in, &nin);
    if (st == XG_OK) st = parse_operands(p, "out", false, &out, &nout);
    if (st == XG_OK) st = get_onnx(p, &onnx);
    if (st == XG_OK && xg_ops[op].nout >= 0 && nout != (uint32_t)xg_ops[op].nout)
        st = xg_reader_error(&p->r, NULL, "%u outputs, %s gives %d", nout, xg_ops[op].name,
                             xg_ops[op].nout);
    if (st == XG_OK) st = check_free(p, out, nout);
    if (st != XG_OK) return st;
    uint32_t node = xg_graph_add_node_to(p->g, (xg_op)op, name, in, nin, out, nout);
    p->g->node.v[node].onnx = onnx;
    xg_map_set(&p->nodes, name, node);
    return parse_attrs(p, &p->g->node.v[node]);
}

/* ---- the whole
 * ------------------------------------------------------------------------------------------ */

static xg_status parse_log(parser *p) {
    static const char *const keys[] = {NULL};
    const char *text = NULL;
    xg_status st = only(p, keys, 2);
    if (st == XG_OK) st = need_string(p, 1, "a text", &text);
    if (st == XG_OK) xg_push(p->g->arena, &p->g->log, xg_strdup(p->g->arena, text));
    return st;
}

static xg_status parse_line(parser *p) {
    const xg_item *word = xg_line_pos(&p->r.line, 0);
    if (xg_item_is(word, "tensor")) return parse_tensor(p);
    if (xg_item_is(word, "node")) return parse_node(p);
    if (xg_item_is(word, "input")) return parse_border(p, true);
    if (xg_item_is(word, "output")) return parse_border(p, false);
    if (xg_item_is(word, "log")) return parse_log(p);
    return xg_reader_error(&p->r, word, "expected tensor, node, input, output or log");
}

xg_status xg_graph_parse(xg_arena *a, const char *path, const char *text, size_t n,
                         xg_graph **out) {
    parser p = {0};
    bool more = false;
    xg_reader_init(&p.r, a, path, text, n);
    xg_status st = xg_reader_next(&p.r, &more);
    if (st != XG_OK) return st;
    st = parse_header(&p, a);
    while (st == XG_OK) {
        st = xg_reader_next(&p.r, &more);
        if (st != XG_OK || !more) break;
        st = parse_line(&p);
    }
    if (st == XG_OK) st = xg_graph_verify(xg_arena_ctx(a), p.g);
    if (st == XG_OK) *out = p.g;
    return st;
}

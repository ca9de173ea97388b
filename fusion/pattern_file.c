/* The pattern file: YAML -> checked patterns. */
#include "fusion/patterns.h"

#include "base/embed.h"
#include "base/yaml.h"

#include <inttypes.h>
#include <string.h>

enum {
    PATTERN_MAX = 256,
    OP_MAX = 64,
    NAME_MAX_BYTES = 63,
    DOC_MAX_BYTES = 400,
    LIMIT_MAX = 65535
};
enum { VARIANT_MAX = 4096, LIST_MAX = 256 };

/* ---- the file as libcyaml fills it ---- */

typedef struct file_vertex {
    const char *id, **op;
    uint32_t nop;
    bool optional;
    int64_t kernel_min, kernel_max, stride_min, stride_max;
    int32_t map, operands;
} file_vertex;
typedef struct file_edge {
    const char *from, *to;
    int32_t operand, shape;
} file_edge;
typedef struct file_pattern {
    const char *name, *doc;
    int32_t kind;
    file_vertex *vertices;
    uint32_t nvertices;
    file_edge *edges;
    uint32_t nedges;
} file_pattern;
typedef struct file_library {
    file_pattern *patterns;
    uint32_t npatterns;
    bool with_shipped;
} file_library;

static const char *const kind_words[] = {"group", "siblings", NULL};
static const char *const map_words[] = {"any", "same", "smaller", "point", NULL};
static const char *const operands_words[] = {"any", "equal", "repeated", NULL};
static const char *const link_words[] = {"any", "0", "1", "both", NULL};
static const char *const shape_words[] = {"any", "same", NULL};

#define TEXT(type, member, opt, most)                                                              \
    {                                                                                              \
        .key = #member, .kind = XG_YAML_TEXT, .optional = (opt), .offset = offsetof(type, member), \
        .hi = (most)                                                                               \
    }
#define INT(type, member)                                                                          \
    {                                                                                              \
        .key = #member, .kind = XG_YAML_INT, .optional = true, .offset = offsetof(type, member),   \
        .lo = 1, .hi = LIMIT_MAX                                                                   \
    }
#define BOOL(type, member)                                                                         \
    { .key = #member, .kind = XG_YAML_BOOL, .optional = true, .offset = offsetof(type, member) }
#define WORD(type, member, list)                                                                   \
    {                                                                                              \
        .key = #member, .kind = XG_YAML_WORD, .optional = true, .offset = offsetof(type, member),  \
        .words = (list)                                                                            \
    }
#define LIST(type, member, opt, least, most, item)                                                 \
    {                                                                                              \
        .key = #member, .kind = XG_YAML_LIST, .optional = (opt), .offset = offsetof(type, member), \
        .count_offset = offsetof(type, n##member), .lo = (least), .hi = (most), .map = (item)      \
    }

static const xg_yaml_field vertex_fields[] = {
    TEXT(file_vertex, id, false, NAME_MAX_BYTES),
    LIST(file_vertex, op, false, 1, OP_MAX, NULL),
    BOOL(file_vertex, optional),
    INT(file_vertex, kernel_min),
    INT(file_vertex, kernel_max),
    INT(file_vertex, stride_min),
    INT(file_vertex, stride_max),
    WORD(file_vertex, map, map_words),
    WORD(file_vertex, operands, operands_words),
    {.key = NULL},
};
static const xg_yaml_map vertex_map = {vertex_fields, sizeof(file_vertex)};
static const xg_yaml_field edge_fields[] = {
    TEXT(file_edge, from, false, NAME_MAX_BYTES),
    TEXT(file_edge, to, false, NAME_MAX_BYTES),
    WORD(file_edge, operand, link_words),
    WORD(file_edge, shape, shape_words),
    {.key = NULL},
};
static const xg_yaml_map edge_map = {edge_fields, sizeof(file_edge)};
static const xg_yaml_field pattern_fields[] = {
    TEXT(file_pattern, name, false, NAME_MAX_BYTES),
    TEXT(file_pattern, doc, true, DOC_MAX_BYTES),
    WORD(file_pattern, kind, kind_words),
    LIST(file_pattern, vertices, false, 0, LIST_MAX, &vertex_map),
    LIST(file_pattern, edges, true, 0, LIST_MAX, &edge_map),
    {.key = NULL},
};
static const xg_yaml_map pattern_map = {pattern_fields, sizeof(file_pattern)};
static const xg_yaml_field library_fields[] = {
    LIST(file_library, patterns, false, 1, PATTERN_MAX, &pattern_map),
    BOOL(file_library, with_shipped),
    {.key = NULL},
};
static const xg_yaml_map library_map = {library_fields, sizeof(file_library)};

/* ---- checks ---- */

typedef struct loader {
    xg_arena *a;
    const xg_yaml *y;
    XG_VEC(xg_pattern) pattern;
    xg_variants variant;
    xg_map names; /* of patterns */
} loader;

/* An error at a field below patterns[i]: "patterns[2].vertices[0].id". */
static xg_status fault(const loader *l, xg_status st, const char *field, const char *text) {
    return xg_yaml_error(l->y, st, field, "%s", text);
}

static bool is_name(const char *s) {
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return n && !s[n] && s[0] != '-';
}

static const struct {
    const char *name;
    uint8_t convs;
} conv_kinds[] = {{"DenseConv", XG_CONV_DENSE},
                  {"DepthwiseConv", XG_CONV_DEPTHWISE},
                  {"PointwiseConv", XG_CONV_POINTWISE}};

static bool add_op(const char *name, xg_pattern_vertex *v) {
    for (uint32_t i = 0; i < XG_COUNT(conv_kinds); i++)
        if (!strcmp(name, conv_kinds[i].name)) {
            v->convs |= conv_kinds[i].convs;
            return true;
        }
    int op = xg_op_by_name(name);
    if (op < 0) return false;
    v->ops |= (xg_op_set)1 << op;
    return true;
}

#define OP_BIT(name) ((xg_op_set)1 << XG_OP_##name)
static const xg_op_set window_ops = OP_BIT(Conv) | OP_BIT(MaxPool) | OP_BIT(AvgPool);
static const xg_op_set binary_ops = OP_BIT(Add) | OP_BIT(Mul);
static const xg_op_set group_ops = OP_BIT(Conv) | OP_BIT(MaxPool) | OP_BIT(AvgPool) | OP_BIT(Add) |
                                   OP_BIT(Mul) | OP_BIT(Lut) | OP_BIT(Clip);

static xg_status check_ops(const loader *l, const char *at, const file_vertex *f,
                           xg_pattern_vertex *v) {
    xg_buf text = {.arena = l->a};
    for (uint32_t i = 0; i < f->nop; i++) {
        const char *field = xg_strf(l->a, "%s.op[%u]", at, i);
        if (!add_op(f->op[i], v))
            return fault(l, XG_INPUT, field,
                         xg_strf(l->a,
                                 "there is no operator '%.40s'; `xgc ops` lists them, and there "
                                 "are DenseConv, DepthwiseConv and PointwiseConv",
                                 f->op[i]));
        if (v->ops & ~group_ops)
            return fault(l, XG_UNSUPPORTED, field,
                         xg_strf(l->a, "%.40s cannot be in a group of several nodes", f->op[i]));
        xg_putf(&text, "%s%s", i ? "|" : "", f->op[i]);
    }
    v->ops_text = text.p;
    return XG_OK;
}

static xg_status check_limits(const loader *l, const char *at, const file_vertex *f,
                              const xg_pattern_vertex *v) {
    const struct {
        const char *name;
        bool given;
        xg_op_set only;
        const char *what;
    } rules[] = {
        {"kernel_min", f->kernel_min, window_ops, "operators with a window"},
        {"kernel_max", f->kernel_max, window_ops, "operators with a window"},
        {"stride_min", f->stride_min, window_ops, "operators with a window"},
        {"stride_max", f->stride_max, window_ops, "operators with a window"},
        {"operands", f->operands, binary_ops, "Add and Mul"},
    };
    for (uint32_t i = 0; i < XG_COUNT(rules); i++)
        if (rules[i].given && ((v->ops & ~rules[i].only) || (v->convs && i == 4)))
            return fault(l, XG_INPUT, xg_strf(l->a, "%s.%s", at, rules[i].name),
                         xg_strf(l->a, "a condition for %s only, and the vertex allows others",
                                 rules[i].what));
    const char *pair = f->kernel_max && f->kernel_min > f->kernel_max   ? "kernel"
                       : f->stride_max && f->stride_min > f->stride_max ? "stride"
                                                                        : NULL;
    if (pair)
        return fault(l, XG_INPUT, xg_strf(l->a, "%s.%s_max", at, pair),
                     xg_strf(l->a, "less than %s_min", pair));
    return XG_OK;
}

static xg_status check_vertex(const loader *l, const char *at, const file_vertex *f,
                              const xg_pattern *p, xg_pattern_vertex *v) {
    *v = (xg_pattern_vertex){.id = f->id,
                             .optional = f->optional,
                             .kernel_min = (uint32_t)f->kernel_min,
                             .kernel_max = (uint32_t)f->kernel_max,
                             .stride_min = (uint32_t)f->stride_min,
                             .stride_max = (uint32_t)f->stride_max,
                             .map = (xg_map_rule)f->map,
                             .operands = (xg_operand_rule)f->operands};
    if (!is_name(f->id))
        return fault(l, XG_INPUT, xg_strf(l->a, "%s.id", at),
                     "an id is made of letters, digits, _ and -");
    for (const xg_pattern_vertex *u = p->vertex; u < v; u++)
        if (!strcmp(u->id, v->id))
            return fault(l, XG_INPUT, xg_strf(l->a, "%s.id", at),
                         xg_strf(l->a, "a second vertex '%s'", f->id));
    xg_status st = check_ops(l, at, f, v);
    return st ? st : check_limits(l, at, f, v);
}

static uint32_t vertex_of(const xg_pattern *p, const char *id) {
    for (uint32_t i = 0; i < p->nvertex; i++)
        if (!strcmp(p->vertex[i].id, id)) return i;
    return XG_NONE;
}

/* How many operands that maps can be a vertex's operators take: 2 only when all are binary. */
static uint32_t room(const xg_pattern_vertex *v) {
    return !v->convs && !(v->ops & ~binary_ops) ? 2 : 1;
}

static xg_status check_edge(const loader *l, const char *at, const file_edge *f, xg_pattern *p,
                            xg_pattern_edge *e) {
    uint32_t from = vertex_of(p, f->from), to = vertex_of(p, f->to), incoming = 0;
    if (from == XG_NONE || to == XG_NONE)
        return fault(l, XG_INPUT, xg_strf(l->a, "%s.%s", at, from == XG_NONE ? "from" : "to"),
                     xg_strf(l->a, "there is no vertex '%s'", from == XG_NONE ? f->from : f->to));
    const char *end = xg_strf(l->a, "%s.to", at);
    if (from >= to)
        return fault(
            l, XG_INPUT, end,
            xg_strf(l->a, "vertex '%s' must stand after '%s' in the list", f->to, f->from));
    *e = (xg_pattern_edge){(uint8_t)from, (uint8_t)to, (uint8_t)f->operand, f->shape == 1};
    for (uint32_t i = 0; i < p->nedge; i++) {
        const xg_pattern_edge *o = &p->edge[i];
        if (o->to != to) continue;
        incoming++;
        if (o->from == from)
            return fault(l, XG_INPUT, end, "a second edge between these two; say operand: both");
        if (e->link == XG_LINK_BOTH || o->link == XG_LINK_BOTH ||
            (e->link != XG_LINK_ANY && e->link == o->link))
            return fault(l, XG_INPUT, end,
                         xg_strf(l->a, "another edge takes that operand of '%s'", f->to));
    }
    const xg_pattern_vertex *v = &p->vertex[to];
    if (incoming >= room(v) || (room(v) == 1 && e->link >= XG_LINK_SECOND))
        return fault(l, XG_INPUT, end,
                     xg_strf(l->a, "'%s' (%s) takes %s", f->to, v->ops_text,
                             room(v) == 1 ? "one tensor, operand 0" : "two tensors"));
    if (incoming && v->optional)
        return fault(l, XG_INPUT, end,
                     xg_strf(l->a, "'%s' is optional and may have one incoming edge only", f->to));
    return XG_OK;
}

/* Without edges the vertices of a group are a chain; those of siblings all read the shared input.
 */
static void make_chain(xg_pattern *p, xg_pattern_edge *edge) {
    for (uint32_t i = 0; i + 1 < p->nvertex; i++)
        edge[p->nedge++] = (xg_pattern_edge){(uint8_t)i, (uint8_t)(i + 1), XG_LINK_ANY, false};
}

static xg_status check_variants(loader *l, const char *at, xg_pattern *p, uint32_t index) {
    uint32_t before = l->variant.n, missing, optional = 0;
    for (uint32_t i = 0; i < p->nvertex; i++) optional += p->vertex[i].optional;
    if (before + ((xg_op_set)1 << optional) > VARIANT_MAX)
        return xg_yaml_error(l->y, XG_LIMIT, at,
                             "the library has more than %d variants of its patterns", VARIANT_MAX);
    if (!xg_pattern_expand(l->a, p, index, &l->variant, &missing)) {
        const char *id = missing == XG_NONE ? NULL : p->vertex[missing].id;
        if (p->siblings)
            return fault(l, XG_INPUT, at,
                         "siblings have two results or more; this pattern has one");
        return fault(l, XG_INPUT, at,
                     id ? xg_strf(l->a, "without '%s' the pattern has no single result", id)
                        : "several vertices have no outgoing edge; a group has one result");
    }
    p->nvariant = l->variant.n - before;
    return XG_OK;
}

static xg_status check_head(loader *l, const char *at, const file_pattern *f) {
    const char *name = xg_strf(l->a, "%s.name", at);
    if (!is_name(f->name))
        return fault(l, XG_INPUT, name, "a name is made of letters, digits, _ and -");
    if (!strcmp(f->name, "single"))
        return fault(l, XG_INPUT, name, "'single' is what groups of one node are called");
    if (xg_map_get(&l->names, f->name) != XG_NONE)
        return fault(l, XG_INPUT, name, xg_strf(l->a, "a second pattern '%s'", f->name));
    if (f->nvertices < 2 || f->nvertices > XG_PATTERN_VERTICES)
        return fault(
            l, XG_INPUT, xg_strf(l->a, "%s.vertices", at),
            xg_strf(l->a, "found %u, expected 2 to %d", f->nvertices, XG_PATTERN_VERTICES));
    if (f->nedges > XG_PATTERN_EDGES)
        return fault(
            l, XG_LIMIT, xg_strf(l->a, "%s.edges", at),
            xg_strf(l->a, "found %u, at most %d are possible", f->nedges, XG_PATTERN_EDGES));
    return XG_OK;
}

static xg_status check_pattern(loader *l, uint32_t i, const file_pattern *f) {
    const char *at = xg_strf(l->a, "patterns[%u]", i);
    xg_status st = check_head(l, at, f);
    if (st) return st;
    xg_pattern_vertex *vertex = xg_newn(l->a, xg_pattern_vertex, f->nvertices);
    xg_pattern_edge *edge = xg_newn(l->a, xg_pattern_edge, XG_PATTERN_EDGES);
    xg_pattern p = {.name = f->name,
                    .doc = f->doc ? f->doc : "",
                    .siblings = f->kind == 1,
                    .vertex = vertex,
                    .edge = edge};
    for (; p.nvertex < f->nvertices; p.nvertex++) {
        const char *here = xg_strf(l->a, "%s.vertices[%u]", at, p.nvertex);
        st = check_vertex(l, here, &f->vertices[p.nvertex], &p, &vertex[p.nvertex]);
        if (st) return st;
    }
    for (; p.nedge < f->nedges; p.nedge++) {
        const char *here = xg_strf(l->a, "%s.edges[%u]", at, p.nedge);
        st = check_edge(l, here, &f->edges[p.nedge], &p, &edge[p.nedge]);
        if (st) return st;
    }
    if (!f->nedges && !p.siblings) make_chain(&p, edge);
    st = check_variants(l, at, &p, l->pattern.n);
    if (st) return st;
    xg_map_set(&l->names, p.name, l->pattern.n);
    xg_push(l->a, &l->pattern, p);
    return XG_OK;
}

static xg_status add_file(loader *l, const char *path, const void *text, size_t n,
                          bool *with_shipped) {
    file_library f = {0};
    xg_yaml *y;
    xg_status st = xg_yaml_load(l->a, path, text, n, &library_map, &f, &y);
    l->y = y;
    uint32_t own = l->pattern.n;
    for (uint32_t i = 0; i < f.npatterns && !st; i++) {
        uint32_t other = xg_map_get(&l->names, f.patterns[i].name);
        if (other < own) continue; /* the user's pattern replaces the shipped one of its name */
        st = check_pattern(l, i, &f.patterns[i]);
    }
    *with_shipped = !st && f.with_shipped;
    return st;
}

xg_status xg_patterns_load(xg_arena *a, const char *path, const xg_patterns **out) {
    loader l = {.a = a, .names = {.arena = a}};
    const xg_embedded *shipped = &xg_embedded_patterns[0];
    bool more = true;
    xg_bytes text = {0};
    xg_status st = path ? xg_read_file(a, path, &text) : XG_OK;
    if (!st && path) st = add_file(&l, path, text.p, text.n, &more);
    if (!st && more) st = add_file(&l, "patterns.yaml (shipped)", shipped->text, shipped->n, &more);
    if (st) return st;
    xg_patterns *p = xg_new(a, xg_patterns);
    *p = (xg_patterns){.path = path ? xg_strdup(a, path) : "shipped",
                       .npattern = l.pattern.n,
                       .pattern = l.pattern.v,
                       .nvariant = l.variant.n,
                       .variant = l.variant.v};
    for (uint32_t i = 0; i < p->npattern; i++) {
        l.pattern.v[i].first_vertex = p->nvertex;
        p->nvertex += p->pattern[i].nvertex;
        if (p->pattern[i].nvertex > p->widest) p->widest = p->pattern[i].nvertex;
    }
    *out = p;
    return XG_OK;
}

void xg_pattern_summary(const xg_pattern *p, xg_buf *out) {
    if (p->siblings) xg_puts(out, "siblings: ");
    for (uint32_t i = 0; i < p->nvertex; i++) {
        const xg_pattern_vertex *v = &p->vertex[i];
        bool several = strchr(v->ops_text, '|') != NULL;
        xg_putf(out, "%s%s%s%s%s", i ? " " : "", several ? "(" : "", v->ops_text,
                several ? ")" : "", v->optional ? "?" : "");
    }
}

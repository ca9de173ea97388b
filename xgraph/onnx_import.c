/* The import's frame: values by name, inputs and outputs, node order, the operator table. */
#include "xgraph/onnx_import.h"

#include <stdlib.h>
#include <string.h>

#define STD ""
#define MS  "com.microsoft"

typedef struct onnx_row {
    const char *domain, *op;
    xg_ox_fn fn;
    int arg, min_in, max_in, since;
} onnx_row;

static const onnx_row rows[] = {
#define ONNX(domain, op, fn, arg, min, max, since, rule)                                           \
    {domain, #op, xg_ox_##fn, arg, min, max, since},
#include "xgraph/onnx_ops.def"
};

const xg_onnx_op xg_onnx_ops[] = {
#define ONNX(domain, op, fn, arg, min, max, since, rule) {domain, #op, since, rule},
#include "xgraph/onnx_ops.def"
    {NULL, NULL, 0, NULL},
};

enum { OPSET_MIN = 6, OPSET_MAX = 25 };

static const char *text(const char *s) {
    return s ? s : "";
}

static const char *domain_of(const Xgonnx__Node *n) {
    const char *d = text(n->domain);
    if (!strcmp(text(n->op_type), "RequantShift")) return STD; /* each exporter has its own */
    return !strcmp(d, "ai.onnx") ? STD : d;
}

static const onnx_row *find_row(const Xgonnx__Node *n) {
    for (size_t i = 0; i < XG_COUNT(rows); i++)
        if (!strcmp(rows[i].op, text(n->op_type)) && !strcmp(rows[i].domain, domain_of(n)))
            return &rows[i];
    return NULL;
}

/* ---- values ---- */

static uint32_t value_of(xg_onnx *x, const char *name) {
    uint32_t v = xg_map_get(&x->index, name);
    if (v != XG_NONE) return v;
    xg_ox_value fresh = {.name = name, .tensor = XG_NONE};
    xg_push(x->a, &x->value, fresh);
    xg_map_set(&x->index, name, x->value.n - 1);
    return x->value.n - 1;
}

/* The pointer holds until the next new name. */
static xg_ox_value *value_at(xg_onnx *x, const char *name) {
    uint32_t v = value_of(x, name);
    return &x->value.v[v];
}

static xg_status bind_initialisers(xg_onnx *x, const Xgonnx__Graph *g) {
    for (size_t i = 0; i < g->n_initializer; i++) {
        const Xgonnx__Tensor *t = g->initializer[i];
        if (!t->name || !*t->name)
            return xg_error(x->c, XG_INPUT, x->file->path, "initialiser number %zu has no name", i);
        xg_ox_value *v = value_at(x, t->name);
        if (v->bound)
            return xg_error(x->c, XG_INPUT, x->file->path, "two initialisers are called '%s'",
                            t->name);
        v->init = t;
        v->bound = true;
    }
    return XG_OK;
}

/* ---- graph inputs ---- */

/* The --shape option for this input: text behind "name=", or NULL. */
static const char *shape_option(const xg_onnx *x, const char *name) {
    size_t n = strlen(name);
    for (uint32_t i = 0; x->o && i < x->o->nshape; i++) {
        const char *s = x->o->shape[i], *eq = strrchr(s, '=');
        if (eq && (size_t)(eq - s) == n && !strncmp(s, name, n)) return eq + 1;
    }
    return NULL;
}

static xg_status parse_shape(xg_onnx *x, const char *name, const char *s, xg_tensor *t) {
    t->rank = 0;
    for (const char *p = s; *p;) {
        char *end;
        long long v = strtoll(p, &end, 10);
        if (end == p || v < 1 || v > INT32_MAX || t->rank == XG_RANK_MAX || (*end && *end != 'x'))
            return xg_error(x->c, XG_USAGE, "", "--shape %s=%s: expected sizes like 1x3x224x224",
                            name, s);
        t->dim[t->rank++] = v;
        p = *end ? end + 1 : end;
    }
    return XG_OK;
}

static xg_status given_shape(xg_onnx *x, const Xgonnx__ValueInfo *in, const Xgonnx__TensorShape *s,
                             const char *option, xg_tensor *t) {
    xg_status st = parse_shape(x, in->name, option, t);
    if (st) return st;
    bool fits = !s || s->n_dim == t->rank;
    for (size_t i = 0; fits && s && i < s->n_dim; i++)
        fits = !s->dim[i]->has_dim_value || s->dim[i]->dim_value < 1 ||
               s->dim[i]->dim_value == t->dim[i] || i == 0;
    if (fits && t->rank && t->dim[0] > 1) x->batch = t->dim[0];
    if (!fits)
        return xg_error(x->c, XG_USAGE, x->file->path,
                        "--shape %s=%s contradicts the sizes that the model states", in->name,
                        option);
    return XG_OK;
}

/* "1x3xNxN": the sizes that are known. */
static const char *example_shape(xg_onnx *x, const Xgonnx__TensorShape *s) {
    xg_buf b = {.arena = x->a};
    for (size_t i = 0; i < s->n_dim; i++) {
        int64_t v = s->dim[i]->has_dim_value && s->dim[i]->dim_value > 0 ? s->dim[i]->dim_value : 0;
        if (i) xg_puts(&b, "x");
        if (v || i == 0)
            xg_putf(&b, "%lld", (long long)(v ? v : 1));
        else
            xg_puts(&b, "N");
    }
    return b.p;
}

static xg_status input_shape(xg_onnx *x, const Xgonnx__ValueInfo *in, xg_tensor *t) {
    const Xgonnx__TensorShape *s = in->type->tensor_type->shape;
    const char *option = shape_option(x, in->name);
    if (option) return given_shape(x, in, s, option, t);
    if (!s)
        return xg_error(x->c, XG_INPUT, x->file->path,
                        "input '%s' has no shape; give one with --shape %s=1x3x224x224", in->name,
                        in->name);
    if (s->n_dim > XG_RANK_MAX)
        return xg_error(x->c, XG_LIMIT, x->file->path,
                        "input '%s' has %zu axes, at most %d are supported", in->name, s->n_dim,
                        XG_RANK_MAX);
    t->rank = (uint8_t)s->n_dim;
    for (size_t i = 0; i < s->n_dim; i++) {
        const Xgonnx__Dimension *d = s->dim[i];
        t->dim[i] = d->has_dim_value ? d->dim_value : 0;
        bool grows =
            i == 0 && (t->dim[0] == 0 || t->dim[0] == 1); /* one image: the user may want more */
        if (grows) t->dim[0] = x->o && x->o->batch > 0 ? x->o->batch : 1;
        if (grows && t->dim[0] > 1) x->batch = t->dim[0];
        if (t->dim[i] == 0 || t->dim[i] == -1)
            return xg_error(
                x->c, XG_INPUT, x->file->path,
                "axis %zu of input '%s' ('%s') has no fixed size; set it with --shape %s=%s", i,
                in->name, text(d->dim_param), in->name, example_shape(x, s));
        if (t->dim[i] < 1 || t->dim[i] > INT32_MAX)
            return xg_error(x->c, XG_INPUT, x->file->path, "axis %zu of input '%s' has size %lld",
                            i, in->name, (long long)t->dim[i]);
    }
    return XG_OK;
}

static xg_status bind_input(xg_onnx *x, const Xgonnx__ValueInfo *in) {
    if (!in->name || !*in->name)
        return xg_error(x->c, XG_INPUT, x->file->path, "a graph input has no name");
    uint32_t index = value_of(x, in->name);
    if (x->value.v[index].init) return XG_OK; /* old files list initialisers as inputs, too */
    if (x->value.v[index].bound)
        return xg_error(x->c, XG_INPUT, x->file->path, "two graph inputs are called '%s'",
                        in->name);
    if (!in->type || !in->type->tensor_type)
        return xg_error(x->c, XG_UNSUPPORTED, x->file->path, "graph input '%s' is not a tensor",
                        in->name);
    xg_tensor t = {.name = in->name, .onnx = in->name, .producer = XG_NONE};
    int32_t type = in->type->tensor_type->elem_type;
    if (!xg_ox_dtype(type, &t.dtype))
        return xg_error(x->c, XG_UNSUPPORTED, x->file->path,
                        "graph input '%s' has elements of type %s", in->name,
                        xg_ox_dtype_name(type));
    xg_status st = input_shape(x, in, &t);
    if (st) return st;
    if (xg_tensor_elems(&t) > INT32_MAX)
        return xg_error(x->c, XG_LIMIT, x->file->path,
                        "graph input '%s' has more than 2^31-1 elements", in->name);
    if (type == 10 || type == 16 || type == 11)
        xg_ox_log(x, "graph input '%s' is %s in the model, f32 here", in->name,
                  xg_ox_dtype_name(type));
    uint32_t tensor = xg_graph_add_tensor(x->g, &t);
    xg_graph_add_input(x->g, tensor);
    x->value.v[index].tensor = tensor;
    x->value.v[index].bound = true;
    return XG_OK;
}

static xg_status check_shape_options(xg_onnx *x) {
    for (uint32_t i = 0; x->o && i < x->o->nshape; i++) {
        const char *s = x->o->shape[i], *eq = strrchr(s, '=');
        if (!eq || eq == s)
            return xg_error(x->c, XG_USAGE, "", "--shape %s: expected NAME=1x3x224x224", s);
        uint32_t v = xg_map_get(&x->index, xg_strndup(x->a, s, (size_t)(eq - s)));
        uint32_t t = v == XG_NONE ? XG_NONE : x->value.v[v].tensor;
        if (t == XG_NONE || !x->g->tensor.v[t].is_input)
            return xg_error(x->c, XG_USAGE, x->file->path,
                            "--shape %s: the model has no such input", s);
    }
    return XG_OK;
}

/* Graph outputs get their tensors first, so that no other tensor can take their names. */
static xg_status reserve_outputs(xg_onnx *x, const Xgonnx__Graph *g) {
    for (size_t i = 0; i < g->n_output; i++) {
        const char *name = g->output[i]->name;
        if (!name || !*name)
            return xg_error(x->c, XG_INPUT, x->file->path, "a graph output has no name");
        xg_ox_value *v = value_at(x, name);
        if (v->is_output)
            return xg_error(x->c, XG_INPUT, x->file->path, "two graph outputs are called '%s'",
                            name);
        v->is_output = true;
        if (v->bound) continue; /* an input or initialiser; refused in bind_outputs */
        xg_tensor t = {.name = name, .onnx = name, .producer = XG_NONE};
        v->tensor = xg_graph_add_tensor(x->g, &t);
    }
    return XG_OK;
}

/* A graph output that turned out to be a constant: a Reshape carries it, as an output has a
 * producer.
 */
static xg_status carry_constant(xg_onnx *x, uint32_t output) {
    xg_tensor t = x->g->tensor.v[output];
    uint32_t value = xg_graph_add_const(x->g, xg_strf(x->a, "%s.value", t.name), t.dtype, t.rank,
                                        t.dim, t.data, t.quant),
             n;
    x->g->tensor.v[output].data = NULL;
    n = xg_graph_add_node_to(x->g, XG_OP_Reshape, xg_strf(x->a, "%s.constant", t.name), &value, 1,
                             &output, 1);
    xg_set_ais(x->g, xg_nodep(x->g, n), XG_ATTR_shape, t.dim, t.rank);
    return xg_node_infer(x->c, x->g, n);
}

static xg_status bind_outputs(xg_onnx *x, const Xgonnx__Graph *g) {
    for (size_t i = 0; i < g->n_output; i++) {
        xg_ox_value *v = value_at(x, g->output[i]->name);
        if (v->poisoned) continue;
        if (!v->bound || v->tensor == XG_NONE)
            return xg_error(x->c, XG_INPUT, x->file->path, "no node makes graph output '%s'%s",
                            v->name, v->init ? " (it is a constant)" : "");
        xg_tensor *t = &x->g->tensor.v[v->tensor];
        if (t->producer == XG_NONE && t->data && !v->init) {
            xg_status st = carry_constant(x, v->tensor);
            if (st) return st;
        } else if (t->producer == XG_NONE)
            return xg_error(x->c, XG_UNSUPPORTED, x->file->path,
                            "graph output '%s' is %s; nothing to compile", v->name,
                            t->is_input ? "a graph input" : "a constant");
        xg_graph_add_output(x->g, v->tensor);
    }
    if (g->n_output == 0) return xg_error(x->c, XG_INPUT, x->file->path, "the graph has no output");
    return XG_OK;
}

/* ---- order of nodes ---- */

/* ONNX asks for sorted nodes; Kahn's algorithm repairs a file that is not, keeping the order
 * otherwise. */
typedef struct sorter {
    const Xgonnx__Graph *g;
    xg_map maker;            /* name -> node */
    uint32_t *waits;         /* by node: inputs not made yet */
    uint32_t *first, *after; /* readers of node n: after[first[n] .. first[n+1]) */
} sorter;

static xg_status index_makers(xg_onnx *x, sorter *s) {
    for (size_t i = 0; i < s->g->n_node; i++) {
        const Xgonnx__Node *n = s->g->node[i];
        for (size_t k = 0; k < n->n_output; k++) {
            const char *name = n->output[k];
            if (!*name) continue;
            uint32_t v = xg_map_get(&x->index, name);
            if (xg_map_get(&s->maker, name) != XG_NONE || (v != XG_NONE && x->value.v[v].bound))
                return xg_error(x->c, XG_INPUT, x->file->path, "tensor '%s' is made twice", name);
            xg_map_set(&s->maker, name, (uint32_t)i);
        }
    }
    return XG_OK;
}

static void count_waits(sorter *s) {
    size_t n = s->g->n_node;
    for (int fill = 0; fill < 2; fill++) {
        for (size_t i = 0; i < n; i++) {
            const Xgonnx__Node *node = s->g->node[i];
            for (size_t k = 0; k < node->n_input; k++) {
                uint32_t m = *node->input[k] ? xg_map_get(&s->maker, node->input[k]) : XG_NONE;
                if (m == XG_NONE) continue;
                if (fill)
                    s->after[s->first[m + 1]++] = (uint32_t)i;
                else
                    s->first[m + 2]++, s->waits[i]++;
            }
        }
        for (size_t i = 1; !fill && i <= n; i++) s->first[i + 1] += s->first[i];
    }
}

/* A binary heap of node numbers, smallest first: keeps the file's order where that is possible. */
static void heap_push(uint32_t *h, uint32_t *n, uint32_t v) {
    uint32_t i = (*n)++;
    for (; i > 0 && h[(i - 1) / 2] > v; i = (i - 1) / 2) h[i] = h[(i - 1) / 2];
    h[i] = v;
}

static uint32_t heap_pop(uint32_t *h, uint32_t *n) {
    uint32_t top = h[0], last = h[--*n], i = 0;
    for (;;) {
        uint32_t k = 2 * i + 1;
        if (k + 1 < *n && h[k + 1] < h[k]) k++;
        if (k >= *n || h[k] >= last) break;
        h[i] = h[k];
        i = k;
    }
    h[i] = last;
    return top;
}

static xg_status sort_nodes(xg_onnx *x, const Xgonnx__Graph *g, uint32_t **order) {
    uint32_t n = (uint32_t)g->n_node, nheap = 0, done = 0;
    size_t edges = 0;
    for (uint32_t i = 0; i < n; i++) edges += g->node[i]->n_input;
    sorter s = {.g = g, .maker = {.arena = x->a}};
    xg_status st = index_makers(x, &s);
    if (st) return st;
    s.waits = xg_newn(x->a, uint32_t, n);
    s.first = xg_newn(x->a, uint32_t, (size_t)n + 2);
    s.after = xg_newn(x->a, uint32_t, edges);
    count_waits(&s);
    *order = xg_newn(x->a, uint32_t, n);
    uint32_t *heap = xg_newn(x->a, uint32_t, n);
    for (uint32_t i = 0; i < n; i++)
        if (!s.waits[i]) heap_push(heap, &nheap, i);
    while (nheap) {
        uint32_t i = heap_pop(heap, &nheap);
        (*order)[done++] = i;
        for (uint32_t k = s.first[i]; k < s.first[i + 1]; k++)
            if (--s.waits[s.after[k]] == 0) heap_push(heap, &nheap, s.after[k]);
    }
    for (uint32_t i = 0; done < n && i < n; i++)
        if (s.waits[i])
            return xg_error(x->c, XG_INPUT, x->file->path,
                            "node '%s' (%s) is part of a cycle or waits for one",
                            text(g->node[i]->name), text(g->node[i]->op_type));
    return XG_OK;
}

/* ---- a part of the model ---- */

/* Keeps the nodes that the outputs need; before anything else looks at them. */
static xg_status keep_needed(xg_onnx *x, Xgonnx__Graph *g) {
    xg_map maker = {.arena = x->a};
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            xg_map_set(&maker, g->node[i]->output[k], (uint32_t)i);
    bool *needed = xg_newn(x->a, bool, g->n_node);
    XG_VEC(uint32_t) open = {0};
    for (size_t i = 0; i < g->n_output; i++) {
        uint32_t n = xg_map_get(&maker, g->output[i]->name);
        if (n == XG_NONE)
            return xg_error(x->c, XG_USAGE, x->file->path, "--cut %s: no node makes this tensor",
                            g->output[i]->name);
        xg_push(x->a, &open, n);
    }
    while (open.n) {
        uint32_t n = open.v[--open.n];
        if (needed[n]) continue;
        needed[n] = true;
        for (size_t k = 0; k < g->node[n]->n_input; k++) {
            uint32_t m = *g->node[n]->input[k] ? xg_map_get(&maker, g->node[n]->input[k]) : XG_NONE;
            if (m != XG_NONE && !needed[m]) xg_push(x->a, &open, m);
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < g->n_node; i++)
        if (needed[i]) g->node[kept++] = g->node[i];
    g->n_node = kept;
    return XG_OK;
}

/* The tensors asked for become the graph's outputs. */
static xg_status cut(xg_onnx *x, Xgonnx__Graph *g) {
    uint32_t n = x->o ? x->o->ncut : 0;
    if (!n) return XG_OK;
    g->output = xg_newn(x->a, Xgonnx__ValueInfo *, n);
    g->n_output = n;
    for (uint32_t i = 0; i < n; i++) {
        if (!*x->o->cut[i]) return xg_error(x->c, XG_USAGE, "", "--cut wants a tensor's name");
        g->output[i] = xg_new(x->a, Xgonnx__ValueInfo);
        xgonnx__value_info__init(g->output[i]);
        g->output[i]->name = xg_strdup(x->a, x->o->cut[i]);
    }
    return keep_needed(x, g);
}

/* ---- converting ---- */

static void enter_node(xg_onnx *x, const Xgonnx__Node *n) {
    x->node = n;
    const char *out = n->n_output && *n->output[0] ? n->output[0] : text(n->op_type);
    x->name = n->name && *n->name ? n->name : out;
    x->where = xg_strf(x->a, "node '%s' (%s)", x->name, text(n->op_type));
}

static void poison_outputs(xg_onnx *x, const Xgonnx__Node *n) {
    for (size_t k = 0; k < n->n_output; k++) {
        if (!*n->output[k]) continue;
        xg_ox_value *v = value_at(x, n->output[k]);
        v->poisoned = v->bound = true;
    }
}

/* False when an input is poisoned; a missing input is an error. */
static xg_status inputs_ready(xg_onnx *x, const Xgonnx__Node *n, bool *ready) {
    *ready = true;
    for (size_t k = 0; k < n->n_input; k++) {
        if (!*n->input[k]) continue;
        uint32_t v = xg_map_get(&x->index, n->input[k]);
        if (v == XG_NONE || !x->value.v[v].bound)
            return xg_ox_bad(x, "input '%s' is made by no node", n->input[k]);
        if (x->value.v[v].poisoned) *ready = false;
    }
    return XG_OK;
}

/* Initialisers become constants when a node reads them. */
static xg_status make_constants(xg_onnx *x, const Xgonnx__Node *n) {
    for (size_t k = 0; k < n->n_input; k++) {
        if (!*n->input[k]) continue;
        xg_ox_value *v = &x->value.v[xg_map_get(&x->index, n->input[k])];
        if (!v->init || v->tensor != XG_NONE) continue;
        uint32_t t;
        xg_status st = xg_ox_constant(x, v->init, v->name, &t);
        if (st) return st;
        v->tensor = t;
    }
    return XG_OK;
}

static xg_status arity(xg_onnx *x, const onnx_row *row) {
    int n = (int)xg_min((int64_t)x->node->n_input, INT32_MAX);
    if (n < row->min_in || (row->max_in >= 0 && n > row->max_in))
        return xg_ox_bad(x, "has %d inputs, expected %d to %d", n, row->min_in, row->max_in);
    for (int i = 0; i < row->min_in; i++)
        if (!*x->node->input[i]) {
            bool zero_point = strstr(row->op, "QLinear") || !strcmp(row->op, "QGemm");
            if (!zero_point) return xg_ox_bad(x, "input %d is absent", i);
        }
    if (x->node->n_output < 1 || !*x->node->output[0]) return xg_ox_bad(x, "has no output");
    return XG_OK;
}

static xg_status convert(xg_onnx *x, const Xgonnx__Node *n) {
    const onnx_row *row = find_row(n);
    bool ready;
    if (!row) return XG_UNSUPPORTED; /* told by list_unknown */
    int64_t opset = *row->domain ? x->ms_opset : x->opset;
    if (opset && opset < row->since)
        return xg_ox_refuse(x, "needs opset %d, the model says %lld", row->since, (long long)opset);
    xg_status st = arity(x, row);
    if (!st) st = inputs_ready(x, n, &ready);
    if (st) return st;
    if (!ready) return XG_UNSUPPORTED;
    st = make_constants(x, n);
    return st ? st : row->fn(x, row->arg);
}

static bool list_unknown(xg_onnx *x, const Xgonnx__Graph *g) {
    bool any = false;
    for (size_t i = 0; i < g->n_node; i++) {
        const Xgonnx__Node *n = g->node[i];
        if (find_row(n)) continue;
        enter_node(x, n);
        const char *hint = "";
        if (!any && n->n_input && *n->input[0])
            hint = xg_strf(x->a, " (--cut '%s' compiles the part before it)", n->input[0]);
        any = true;
        xg_ox_refuse(x, "operator %s%s%s is not supported%s", domain_of(n),
                     *domain_of(n) ? "." : "", text(n->op_type), hint);
    }
    return any;
}

static xg_status convert_all(xg_onnx *x, const Xgonnx__Graph *g) {
    uint32_t *order;
    xg_status worst = list_unknown(x, g) ? XG_UNSUPPORTED : XG_OK;
    xg_status st = sort_nodes(x, g, &order);
    if (st) return st;
    for (uint32_t i = 0; i < g->n_node; i++) {
        const Xgonnx__Node *n = g->node[order[i]];
        enter_node(x, n);
        st = convert(x, n);
        if (!st) continue;
        poison_outputs(x, n);
        if (worst != XG_INPUT) worst = st;
    }
    return worst;
}

static xg_status read_opsets(xg_onnx *x) {
    const Xgonnx__Model *m = x->file->model;
    for (size_t i = 0; i < m->n_opset_import; i++) {
        const char *d = text(m->opset_import[i]->domain);
        int64_t v = m->opset_import[i]->version;
        if (!*d || !strcmp(d, "ai.onnx"))
            x->opset = v;
        else if (!strcmp(d, MS))
            x->ms_opset = v;
    }
    if (x->opset < OPSET_MIN || x->opset > OPSET_MAX)
        return xg_error(x->c, XG_UNSUPPORTED, x->file->path, "opset %lld; supported are %d to %d",
                        (long long)x->opset, OPSET_MIN, OPSET_MAX);
    return XG_OK;
}

static xg_status import(xg_onnx *x) {
    Xgonnx__Graph *g = x->file->model->graph;
    xg_status st = read_opsets(x);
    if (!st) st = cut(x, g);
    if (!st) st = bind_initialisers(x, g);
    for (size_t i = 0; !st && i < g->n_input; i++) st = bind_input(x, g->input[i]);
    if (!st) st = check_shape_options(x);
    if (!st) st = reserve_outputs(x, g);
    if (!st) st = convert_all(x, g);
    return st ? st : bind_outputs(x, g);
}

/* Rewriting takes time that grows with the square of a chain's length: some seconds at this one. */
enum { NODES_MAX = 50000 };

xg_status xg_import_onnx(xg_arena *a, const char *path, const xg_import_options *o,
                         xg_graph **out) {
    xg_ctx *c = xg_arena_ctx(a);
    xg_arena *scratch = xg_arena_new(c);
    xg_onnx_file file;
    xg_status st = xg_onnx_load(scratch, path, &file);
    if (!st && file.model->graph->n_node > NODES_MAX)
        st = xg_error(c, XG_LIMIT, path, "has %zu nodes, at most %d are supported",
                      file.model->graph->n_node, NODES_MAX);
    if (!st) {
        xg_onnx x = {.c = c, .a = scratch, .file = &file, .o = o, .index = {.arena = scratch}};
        x.g = xg_graph_new(scratch, text(file.model->graph->name));
        st = import(&x);
        if (!st) st = xg_graph_compact(c, x.g, a, out);
        if (!st) st = xg_graph_verify(c, *out);
    }
    xg_arena_free(scratch);
    return st;
}

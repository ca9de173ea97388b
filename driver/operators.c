/* The table of operators with where each one runs. Nothing is listed by hand: a small node of every
 * operator is built, and asked about: does an 8-bit form exist (the interpreter runs it), does the
 * machine refuse it. */
#include "driver/api.h"

#include "base/json.h"
#include "isa/tile.h"

#include <string.h>

typedef struct {
    xg_arena *arena;
    xg_graph *g;
    xg_dtype dtype;
    const xg_quant *q;
} probe;

static uint32_t constant(probe *p, const char *name, xg_dtype t, uint8_t rank, const int64_t *dim,
                         const xg_quant *q) {
    xg_tensor shape = {.rank = rank};
    memcpy(shape.dim, dim, sizeof *dim * rank);
    uint64_t n = (uint64_t)xg_tensor_elems(&shape);
    void *data = xg_alloc(p->arena, n * xg_dtype_bytes(t));
    for (uint64_t i = 0; i < n && t == XG_F32; i++) ((float *)data)[i] = 0.5f;
    return xg_graph_add_const(p->g, name, t, rank, dim, data, q);
}

static uint32_t map_input(probe *p, const char *name) {
    xg_tensor x = {
        .name = name, .dtype = p->dtype, .rank = 4, .is_input = true, .dim = {1, 8, 8, 16}};
    x.quant = p->q;
    x.producer = XG_NONE;
    uint32_t t = xg_graph_add_tensor(p->g, &x);
    xg_push(p->g->arena, &p->g->input, t);
    return t;
}

/* The second and further inputs that an operator needs. */
static uint32_t other_inputs(probe *p, xg_op op, uint32_t *in) {
    const xg_quant *q = p->q;
    switch (op) {
    case XG_OP_Conv:
        in[1] = constant(p, "w", p->dtype, 4, (int64_t[]){16, 1, 1, 16}, q);
        return 2;
    case XG_OP_MatMul:
        in[1] = constant(p, "w", p->dtype, 2, (int64_t[]){16, 16}, q);
        return 2;
    case XG_OP_Lut:
        in[1] = constant(p, "table", p->dtype, 1, (int64_t[]){256}, NULL);
        return 2;
    case XG_OP_Gather:
        in[1] = constant(p, "indices", XG_I64, 1, (int64_t[]){4}, NULL);
        return 2;
    case XG_OP_BatchNorm:
        for (uint32_t i = 1; i < 5; i++)
            in[i] = constant(p, "p", p->dtype, 1, (int64_t[]){16}, p->q);
        return 5;
    default:
        break;
    }
    uint32_t n = xg_ops[op].min_in < 2 && op == XG_OP_Concat ? 2 : (uint32_t)xg_ops[op].min_in;
    for (uint32_t i = 1; i < n; i++) in[i] = map_input(p, "y");
    return n;
}

static void set_list(probe *p, const xg_node *n, xg_attr_id id, const int64_t *v, uint32_t count) {
    if (xg_has_attr(n, id)) xg_set_ais(p->g, n, id, v, count);
}

static void set_attributes(probe *p, const xg_node *n) {
    static const int64_t spatial[] = {1, 2}, zero[] = {0, 0, 0, 0}, one[] = {1, 1, 1, 1};
    static const int64_t pads[] = {0, 1, 1, 0, 0, 1, 1, 0}, perm[] = {0, 2, 1, 3};
    static const int64_t half[] = {1, 4, 8, 16}, flat[] = {1, 1, 64, 16};
    set_list(p, n, XG_ATTR_axes, spatial, 2);
    set_list(p, n, XG_ATTR_starts, zero, 4);
    set_list(p, n, XG_ATTR_steps, one, 4);
    set_list(p, n, XG_ATTR_pads, pads, 8);
    set_list(p, n, XG_ATTR_perm, perm, 4);
    set_list(p, n, XG_ATTR_shape, n->op == XG_OP_Reshape ? flat : half, 4);
    if (xg_has_attr(n, XG_ATTR_axis)) xg_set_ai(n, XG_ATTR_axis, 3);
    if (n->op == XG_OP_MaxPool || n->op == XG_OP_AvgPool) {
        xg_window w = {2, 2, 2, 2, 1, 1, 0, 0, 0, 0};
        xg_set_window(n, &w);
    }
    if (n->op == XG_OP_Cast) xg_set_ai(n, XG_ATTR_to, XG_I32);
}

/* Builds the node; the interpreter says whether there is such an operator on these types. */
static bool exists(probe *p, xg_op op, xg_dtype dtype) {
    xg_ctx *c = xg_arena_ctx(p->arena);
    size_t before = xg_diag_count(c);
    p->g = xg_graph_new(p->arena, "probe");
    p->dtype = dtype;
    p->q = dtype == XG_I8 ? xg_quant_scalar(p->arena, 0.5f, 0) : NULL;
    bool to_int = op == XG_OP_Quantize, to_float = op == XG_OP_Dequantize;
    uint32_t in[8] = {map_input(p, "x")};
    uint32_t nin = other_inputs(p, op, in);
    uint32_t node = xg_graph_add_node(p->g, op, "n", in, nin, (uint32_t)xg_ops[op].nout);
    const xg_node *n = xg_nodep(p->g, node);
    set_attributes(p, n);
    xg_tensor *y = xg_out(p->g, n, 0);
    y->dtype = to_int ? XG_I8 : to_float ? XG_F32 : op == XG_OP_Cast ? XG_I32 : dtype;
    y->quant = y->dtype == XG_I8 ? xg_quant_scalar(p->arena, 0.5f, 0) : NULL;
    y->is_output = true;
    xg_push(p->g->arena, &p->g->output, n->out[0]);
    xg_values v;
    xg_values_init(&v, p->g, p->arena);
    for (uint32_t i = 0; i < p->g->input.n; i++) xg_values_get(&v, p->g->input.v[i]);
    bool ok = xg_graph_infer(c, p->g) == XG_OK && xg_graph_verify(c, p->g) == XG_OK &&
              xg_interp_run(c, &v, NULL) == XG_OK;
    xg_diag_truncate(c, before);
    return ok;
}

typedef struct {
    const char *where, *why;
    bool integer, real;
} answer;

static answer ask(probe *p, const xg_machine *m, xg_op op) {
    answer a = {.why = ""};
    a.real = exists(p, op, XG_F32);
    a.integer = exists(p, op, XG_I8); /* last: its graph is what the machine is asked about */
    a.where = a.integer ? "host" : "float only";
    if (op == XG_OP_Quantize) a.where = "host";
    if (!a.integer || !m || m->family != &xg_tile_family) return a;
    const char *why = xg_tile_refuses(p->arena, p->g, m, 0);
    if (!why)
        a.where = "accelerator";
    else
        a.why = xg_strdup(p->arena, why);
    return a;
}

void xgc_print_operators(xg_arena *arena, const xg_machine *m, bool json, xg_buf *out) {
    probe p = {.arena = arena};
    xg_json j;
    xg_json_init(&j, out);
    if (json)
        xg_json_open(&j, '[');
    else
        xg_putf(out, "%-13s %-12s %s\n", "operator", "runs on", "formula");
    for (int op = 0; op < XG_OP_COUNT; op++) {
        answer a = ask(&p, m, (xg_op)op);
        if (!m && a.integer) a.where = "integer";
        if (json) {
            xg_json_open(&j, '{');
            xg_json_kstr(&j, "op", xg_ops[op].name);
            xg_json_kstr(&j, "runs_on", a.where);
            xg_json_kbool(&j, "integer", a.integer);
            xg_json_kbool(&j, "float", a.real);
            if (a.why[0]) xg_json_kstr(&j, "reason", a.why);
            xg_json_kstr(&j, "formula", xg_ops[op].formula);
            xg_json_close(&j, '}');
        } else {
            xg_putf(out, "%-13s %-12s %s\n", xg_ops[op].name, a.where, xg_ops[op].formula);
        }
    }
    if (json) {
        xg_json_close(&j, ']');
        xg_puts(out, "\n");
    } else if (m) {
        xg_putf(out,
                "\naccelerator: a plain node of this operator runs on %s (larger kernels or other "
                "scales may "
                "not);\nhost: in 8 bits or in float, by the reference interpreter; float only: has "
                "no 8-bit "
                "form.\n",
                m->name);
    }
}

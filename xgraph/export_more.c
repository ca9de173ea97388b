/* Float forms of operators that ONNX's operator set 13 has under another name, or not at all: those
 * are spelled out. */
#include "xgraph/export_onnx.h"

#include "xgraph/unary_more.h"

#include <math.h>
#include <string.h>

static char *constant(xg_export *e, const xg_node *n, const char *what, float v) {
    return xg_ex_const(e, xg_strf(e->arena, "%s::%s", n->name, what), XG_F32, 0, NULL,
                       xg_memdup(e->arena, &v, sizeof v));
}

/* A step of node n: its result's name. */
static char *step(xg_export *e, const xg_node *n, const char *op, const char *what, char *a,
                  char *b) {
    char *in[2] = {a, b}, *out = xg_ex_fresh(e, xg_strf(e->arena, "%s::%s", n->name, what));
    xg_ex_node(e, "", op, out, in, b ? 2 : 1, out);
    return out;
}

static void last(xg_export *e, const xg_node *n, const char *op, char *a, char *b, char *out) {
    char *in[2] = {a, b};
    xg_ex_node(e, "", op, n->name, in, b ? 2 : 1, out);
}

/* ---- activations ---- */

static void gelu(xg_export *e, const xg_node *n, char *x, char *out) {
    char *v;
    if (xg_ai(n, XG_ATTR_mode) == 1) {
        char *cube = step(e, n, "Mul", "cube", step(e, n, "Mul", "square", x, x), x);
        char *sum = step(e, n, "Add", "sum", x,
                         step(e, n, "Mul", "part", cube, constant(e, n, "c3", 0.044715f)));
        v = step(e, n, "Tanh", "tanh",
                 step(e, n, "Mul", "scaled", sum, constant(e, n, "c1", 0.79788456f)), NULL);
    } else {
        v = step(e, n, "Erf", "erf",
                 step(e, n, "Mul", "scaled", x, constant(e, n, "c1", 0.70710678f)), NULL);
    }
    char *gate = step(e, n, "Add", "gate", v, constant(e, n, "one", 1));
    last(e, n, "Mul", step(e, n, "Mul", "half", x, constant(e, n, "c0", 0.5f)), gate, out);
}

static bool activation(xg_export *e, const xg_node *n, char *x, char *out) {
    switch (n->op) {
    case XG_OP_Silu:
        last(e, n, "Mul", x, step(e, n, "Sigmoid", "gate", x, NULL), out);
        return true;
    case XG_OP_Mish: {
        char *soft = step(e, n, "Softplus", "softplus", x, NULL);
        last(e, n, "Mul", x, step(e, n, "Tanh", "gate", soft, NULL), out);
        return true;
    }
    case XG_OP_Gelu:
        gelu(e, n, x, out);
        return true;
    default:
        return false;
    }
}

/* ---- statistics, taps ---- */

static char *mean(xg_export *e, const xg_node *n, const char *what, char *x) {
    const xg_attr *axes = xg_attr_of(n, XG_ATTR_axes);
    char *out = xg_ex_fresh(e, xg_strf(e->arena, "%s::%s", n->name, what));
    xg_ex_axes(e, xg_ex_node(e, "", "ReduceMean", out, &x, 1, out), axes->is, axes->n);
    return out;
}

static void normalize(xg_export *e, const xg_node *n, char *x, char *out) {
    char *apart = step(e, n, "Sub", "apart", x, mean(e, n, "mean", x));
    char *variance = mean(e, n, "variance", step(e, n, "Mul", "square", apart, apart));
    char *sum =
        step(e, n, "Add", "sum", variance, constant(e, n, "epsilon", xg_af(n, XG_ATTR_epsilon)));
    last(e, n, "Div", apart, step(e, n, "Sqrt", "deviation", sum, NULL), out);
}

/* The taps of one axis as a dense matrix [in, out]. */
static char *tap_matrix(xg_export *e, const xg_node *n, uint32_t k, int64_t in) {
    const xg_tensor *index = xg_in(e->g, n, 1 + 2 * k), *weight = xg_in(e->g, n, 2 + 2 * k);
    int64_t dim[2] = {in, index->dim[0]}, taps = index->dim[1];
    float *m = xg_alloc_array(e->arena, (size_t)(in * dim[1]), sizeof *m);
    for (int64_t i = 0; i < dim[1] * taps; i++)
        m[((const int64_t *)index->data)[i] * dim[1] + i / taps] +=
            ((const float *)weight->data)[i];
    return xg_ex_const(e, xg_strf(e->arena, "%s::taps%u", n->name, k), XG_F32, 2, dim, m);
}

static char *transposed(xg_export *e, const xg_node *n, char *x, const int64_t *perm,
                        uint32_t rank) {
    char *out = xg_ex_fresh(e, xg_strf(e->arena, "%s::moved", n->name));
    xg_ex_ints(e, xg_ex_node(e, "", "Transpose", out, &x, 1, out), "perm", perm, rank);
    return out;
}

/* Axis by axis: to the end, times the matrix, back. */
static void resize(xg_export *e, const xg_node *n, char *x, char *out) {
    const xg_attr *axes = xg_attr_of(n, XG_ATTR_axes);
    const xg_tensor *t = xg_in(e->g, n, 0);
    for (uint32_t k = 0; k < axes->n; k++) {
        int64_t swap[XG_RANK_MAX], axis = axes->is[k];
        for (uint32_t i = 0; i < t->rank; i++) swap[i] = i;
        swap[axis] = t->rank - 1;
        swap[t->rank - 1] = axis;
        x = transposed(e, n, x, swap, t->rank);
        x = step(e, n, "MatMul", "taken", x, tap_matrix(e, n, k, t->dim[axis]));
        x = transposed(e, n, x, swap, t->rank);
    }
    last(e, n, "Identity", x, NULL, out);
}

/* ---- the same operator ---- */

static bool same_name(uint16_t op) {
    switch (op) {
    case XG_OP_PRelu:
    case XG_OP_ReduceMin:
    case XG_OP_ReduceProd:
    case XG_OP_Hardmax:
    case XG_OP_CumSum:
        return true;
    default:
        return xg_op_is_unary_more(op);
    }
}

static void attributes(xg_export *e, const xg_node *n, Xgonnx__Node *to) {
    bool shrink = n->op == XG_OP_Shrink;
    if (xg_has_attr(n, XG_ATTR_alpha))
        xg_ex_float(e, to, shrink ? "lambd" : "alpha", xg_af(n, XG_ATTR_alpha));
    if (xg_has_attr(n, XG_ATTR_beta))
        xg_ex_float(e, to, shrink ? "bias" : "gamma", xg_af(n, XG_ATTR_beta));
    if (n->op == XG_OP_Hardmax) xg_ex_int(e, to, "axis", xg_ai(n, XG_ATTR_axis));
    if (n->op == XG_OP_CumSum) {
        xg_ex_int(e, to, "exclusive", xg_ai(n, XG_ATTR_exclusive));
        xg_ex_int(e, to, "reverse", xg_ai(n, XG_ATTR_reverse));
    }
    if (!xg_has_attr(n, XG_ATTR_axes)) return;
    const xg_attr *axes = xg_attr_of(n, XG_ATTR_axes);
    if (axes->n) xg_ex_axes(e, to, axes->is, axes->n);
    xg_ex_int(e, to, "keepdims", xg_ai(n, XG_ATTR_keepdims));
}

bool xg_export_has_more(uint16_t op) {
    return op == XG_OP_Silu || op == XG_OP_Mish || op == XG_OP_Gelu || op == XG_OP_Normalize ||
           op == XG_OP_Resize || same_name(op);
}

bool xg_export_more(xg_export *e, const xg_node *n, char **in, uint32_t nin, char *out) {
    if (activation(e, n, in[0], out)) return true;
    if (n->op == XG_OP_Normalize || n->op == XG_OP_Resize) {
        (n->op == XG_OP_Resize ? resize : normalize)(e, n, in[0], out);
        return true;
    }
    if (!same_name(n->op)) return false;
    char *two[2] = {in[0], nin > 1 ? in[1] : NULL};
    if (n->op == XG_OP_CumSum) {
        two[1] =
            xg_ex_scalar(e, xg_strf(e->arena, "%s::axis", n->name), XG_I64, xg_ai(n, XG_ATTR_axis));
    }
    attributes(e, n, xg_ex_node(e, "", xg_ops[n->op].name, n->name, two, two[1] ? 2 : 1, out));
    return true;
}

xg_status xg_export_arg(xg_export *e, const xg_node *n) {
    char *in = xg_ex_read(e, n->in[0], XG_PLAIN);
    Xgonnx__Node *to =
        xg_ex_node(e, "", xg_ops[n->op].name, n->name, &in, 1, xg_ex_write(e, n->out[0], XG_PLAIN));
    xg_ex_int(e, to, "axis", xg_ai(n, XG_ATTR_axis));
    xg_ex_int(e, to, "keepdims", xg_ai(n, XG_ATTR_keepdims));
    xg_ex_int(e, to, "select_last_index", xg_ai(n, XG_ATTR_last));
    return XG_OK;
}

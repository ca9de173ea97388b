/* Comparisons, logic on bool, and the choice between two tensors; numpy broadcast. */
#include "xgraph/kernel.h"

#include <string.h>

/* Walks three tensors under the output's shape. */
typedef struct walk {
    const xg_tensor *y;
    int64_t stride[3][XG_RANK_MAX], at[3], index[3][XG_RANK_MAX], out;
} walk;

static walk walk_of(const xg_kernel *k) {
    walk w = {.y = xg_kout(k)};
    for (uint32_t i = 0; i < k->node->nin; i++)
        xg_broadcast_strides(xg_kin(k, i)->rank, xg_kin(k, i)->dim, w.y->rank, w.y->dim,
                             w.stride[i]);
    return w;
}

static bool step(walk *w, uint32_t n) {
    bool more = false;
    for (uint32_t i = 0; i < n; i++)
        more = xg_odometer(w->y->rank, w->y->dim, w->stride[i], w->index[i], &w->at[i]);
    w->out++;
    return more;
}

static bool holds_f32(uint16_t op, float a, float b) {
    return op == XG_OP_Equal ? a == b : op == XG_OP_Less ? a < b : a <= b;
}

static bool holds_int(uint16_t op, int64_t a, int64_t b) {
    switch (op) {
    case XG_OP_Equal:
        return a == b;
    case XG_OP_Less:
        return a < b;
    case XG_OP_LessOrEqual:
        return a <= b;
    case XG_OP_And:
        return a && b;
    case XG_OP_Or:
        return a || b;
    default:
        return !a != !b;
    }
}

static xg_status pairwise(const xg_kernel *k) {
    const xg_dtype t = xg_kin(k, 0)->dtype;
    const void *a = xg_kin_data(k, 0), *b = xg_kin_data(k, 1);
    uint8_t *y = xg_kout_data(k);
    walk w = walk_of(k);
    do
        y[w.out] =
            t == XG_F32
                ? holds_f32(k->node->op, ((const float *)a)[w.at[0]], ((const float *)b)[w.at[1]])
                : holds_int(k->node->op, xg_load(a, t, w.at[0]), xg_load(b, t, w.at[1]));
    while (step(&w, 2));
    return XG_OK;
}

#define PAIRWISE(name)                                                                             \
    xg_status xg_kernel_##name(const xg_kernel *k) {                                               \
        return pairwise(k);                                                                        \
    }
PAIRWISE(Equal)
PAIRWISE(Less)
PAIRWISE(LessOrEqual)
PAIRWISE(And)
PAIRWISE(Or)
PAIRWISE(Xor)

xg_status xg_kernel_Not(const xg_kernel *k) {
    const uint8_t *x = xg_kin_data(k, 0);
    uint8_t *y = xg_kout_data(k);
    for (int64_t i = 0, n = xg_tensor_elems(xg_kout(k)); i < n; i++) y[i] = !x[i];
    return XG_OK;
}

xg_status xg_kernel_Where(const xg_kernel *k) {
    const size_t size = xg_dtype_bytes(xg_kout(k)->dtype);
    const uint8_t *condition = xg_kin_data(k, 0);
    const char *x[2] = {xg_kin_data(k, 1), xg_kin_data(k, 2)};
    char *y = xg_kout_data(k);
    walk w = walk_of(k);
    do {
        int side = condition[w.at[0]] ? 0 : 1;
        memcpy(y + (size_t)w.out * size, x[side] + (size_t)w.at[1 + side] * size, size);
    } while (step(&w, 3));
    return XG_OK;
}

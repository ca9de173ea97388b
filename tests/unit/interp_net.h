/* Graphs of one node for tests of the interpreter: inputs are given as data, the node is run, its
 * output compared. */
#ifndef INTERP_NET_H
#define INTERP_NET_H

#include "xgraph/interp.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "xg_test.h"

#include <math.h>

static bool exercised[XG_OP_COUNT]; /* by run(); the last test wants all of them */

typedef struct net {
    xg_ctx *c;
    xg_arena *a;
    xg_graph *g;
    const void *data[8]; /* of inputs, by tensor */
    uint32_t in[8], nin;
    uint32_t node;
    xg_values v;
} net;

static inline net net_new(void **state) {
    xg_test *t = *state;
    return (net){.c = t->c, .a = t->a, .g = xg_graph_new(t->a, "net")};
}

#define DIMS(...)                                                                                  \
    (sizeof((int64_t[]){__VA_ARGS__}) / 8), (const int64_t[]) {                                    \
        __VA_ARGS__                                                                                \
    }

static inline void input(net *n, xg_dtype t, const xg_quant *q, const void *data, size_t rank,
                         const int64_t *dim) {
    xg_tensor x = {.name = "x", .dtype = t, .rank = (uint8_t)rank, .quant = q, .producer = XG_NONE};
    memcpy(x.dim, dim, rank * sizeof *dim);
    uint32_t i = xg_graph_add_tensor(n->g, &x);
    xg_graph_add_input(n->g, i);
    n->data[i] = data;
    n->in[n->nin++] = i;
}

static inline void constant(net *n, xg_dtype t, const xg_quant *q, const void *data, size_t rank,
                            const int64_t *dim) {
    n->in[n->nin++] = xg_graph_add_const(n->g, "k", t, (uint8_t)rank, dim, data, q);
}

static inline xg_node *node(net *n, xg_op op) {
    n->node = xg_graph_add_node(n->g, op, "node", n->in, n->nin, 1);
    return xg_nodep(n->g, n->node);
}

static inline xg_tensor *output(const net *n) {
    return xg_out(n->g, xg_nodep(n->g, n->node), 0);
}

static inline xg_status try_run(net *n, xg_dtype t, const xg_quant *q, const char *profile) {
    output(n)->dtype = t;
    output(n)->quant = q;
    xg_graph_add_output(n->g, xg_nodep(n->g, n->node)->out[0]);
    assert_ok(n->c, xg_graph_infer(n->c, n->g));
    assert_ok(n->c, xg_graph_verify(n->c, n->g));
    assert_int_equal(output(n)->dtype, t);
    xg_values_init(&n->v, n->g, n->a);
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->data[n->in[i]]) n->v.v[n->in[i]] = (void *)(uintptr_t)n->data[n->in[i]];
    xg_rqrec rec;
    if (profile) assert_true(xg_rqrec_profile(profile, &rec));
    exercised[xg_nodep(n->g, n->node)->op] = true;
    return xg_interp_run(n->c, &n->v, profile ? &rec : NULL);
}

static inline const void *run(net *n, xg_dtype t, const xg_quant *q) {
    assert_ok(n->c, try_run(n, t, q, NULL));
    return xg_values_get(&n->v, xg_nodep(n->g, n->node)->out[0]);
}

static inline const xg_quant *quant(const net *n, float scale, int32_t zp) {
    return xg_quant_scalar(n->a, scale, zp);
}

#endif

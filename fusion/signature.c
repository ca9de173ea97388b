#include "fusion/choose.h"

#include <string.h>

/* Little-endian, six bits a byte, no byte zero. */
static void put_number(xg_buf *b, uint64_t v) {
    char text[12];
    size_t n = 0;
    for (; v > 63; v >>= 6) text[n++] = (char)(64 | (v & 63));
    text[n++] = (char)(v | 128);
    xg_put(b, text, n);
}

static void put_attr(xg_buf *b, const xg_attr *a, xg_attr_kind kind) {
    uint32_t bits;
    put_number(b, (uint64_t)a->i);
    memcpy(&bits, &a->f, sizeof bits);
    put_number(b, bits);
    if (kind != XG_INTS && kind != XG_FLOATS) return;
    put_number(b, a->n);
    for (uint32_t i = 0; i < a->n; i++) {
        if (kind == XG_FLOATS) memcpy(&bits, &a->fs[i], sizeof bits);
        put_number(b, kind == XG_INTS ? (uint64_t)a->is[i] : bits);
    }
}

static void put_tensor(xg_buf *b, const xg_tensor *t) {
    put_number(b, t->dtype);
    put_number(b, t->rank);
    for (uint32_t i = 0; i < t->rank; i++) put_number(b, (uint64_t)t->dim[i]);
    put_number(b, t->data != NULL);
}

/* An input: made by node k of the group, the same as an earlier operand, or a new tensor. */
static void put_input(xg_buf *b, const xg_graph *g, const xg_group *grp, uint32_t t, uint32_t *seen,
                      uint32_t *nseen) {
    if (t == XG_NONE) {
        xg_puts(b, "!");
        return;
    }
    for (uint32_t k = 0; k < grp->nnode; k++)
        if (xg_tensorp(g, t)->producer == grp->node[k]) {
            xg_puts(b, "n");
            put_number(b, k);
            return;
        }
    uint32_t at = 0;
    while (at < *nseen && seen[at] != t) at++;
    xg_puts(b, "t");
    put_number(b, at);
    if (at < *nseen) return;
    seen[(*nseen)++] = t;
    put_tensor(b, xg_tensorp(g, t));
}

void xg_group_signature(const xg_graph *g, const xg_group *grp, xg_buf *out) {
    uint32_t operands = 0, nseen = 0;
    for (uint32_t k = 0; k < grp->nnode; k++) operands += xg_nodep(g, grp->node[k])->nin;
    uint32_t *seen = xg_newn(out->arena, uint32_t, operands + 1);
    for (uint32_t k = 0; k < grp->nnode; k++) {
        const xg_node *n = xg_nodep(g, grp->node[k]);
        const xg_op_desc *op = &xg_ops[n->op];
        put_number(out, n->op);
        for (uint32_t i = 0; i < op->nattr; i++)
            put_attr(out, &n->attr[i], xg_attrs[op->attr[i]].kind);
        put_number(out, n->nin);
        for (uint32_t j = 0; j < n->nin; j++) put_input(out, g, grp, n->in[j], seen, &nseen);
        put_tensor(out, xg_out(g, n, 0));
    }
}

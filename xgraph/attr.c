#include "xgraph/form.h"

#include <assert.h>
#include <string.h>

/* Those of a window and a convolution's group have their own numbers' places in all operators, and
 * are asked for by the million. XG_NONE: the operator has no such attribute. */
static uint32_t place_of(const xg_op_desc *d, xg_attr_id id) {
    if (id < d->nattr && d->attr[id] == id) return id;
    for (uint32_t i = 0; i < d->nattr; i++)
        if (d->attr[i] == id) return i;
    return XG_NONE;
}

xg_attr *xg_attr_of(const xg_node *n, xg_attr_id id) {
    uint32_t i = place_of(&xg_ops[n->op], id);
    assert(i != XG_NONE);
    return i == XG_NONE ? NULL : &n->attr[i];
}

bool xg_has_attr(const xg_node *n, xg_attr_id id) {
    return place_of(&xg_ops[n->op], id) != XG_NONE;
}

int64_t xg_ai(const xg_node *n, xg_attr_id id) {
    const xg_attr *a = xg_attr_of(n, id);
    return a ? a->i : xg_attrs[id].default_i;
}

float xg_af(const xg_node *n, xg_attr_id id) {
    const xg_attr *a = xg_attr_of(n, id);
    return a ? a->f : xg_attrs[id].default_f;
}

void xg_set_ai(const xg_node *n, xg_attr_id id, int64_t v) {
    xg_attr *a = xg_attr_of(n, id);
    if (a) a->i = v;
}

void xg_set_af(const xg_node *n, xg_attr_id id, float v) {
    xg_attr *a = xg_attr_of(n, id);
    if (a) a->f = v;
}

void xg_set_ais(xg_graph *g, const xg_node *n, xg_attr_id id, const int64_t *v, uint32_t count) {
    xg_attr *a = xg_attr_of(n, id);
    if (!a) return;
    a->is = count ? xg_memdup(g->arena, v, count * sizeof *v) : NULL;
    a->n = count;
}

/* The attributes of a window stand side by side (XG_WINDOW_ATTRS in ops.def). */
xg_window xg_node_window(const xg_node *n) {
    const xg_attr *a = xg_attr_of(n, XG_ATTR_kernel_h);
    if (!a) return (xg_window){.kh = 1, .kw = 1, .sh = 1, .sw = 1, .dh = 1, .dw = 1};
    return (xg_window){
        .kh = (int32_t)a[0].i,
        .kw = (int32_t)a[1].i,
        .sh = (int32_t)a[2].i,
        .sw = (int32_t)a[3].i,
        .dh = (int32_t)a[4].i,
        .dw = (int32_t)a[5].i,
        .pt = (int32_t)a[6].i,
        .pl = (int32_t)a[7].i,
        .pb = (int32_t)a[8].i,
        .pr = (int32_t)a[9].i,
    };
}

void xg_set_window(const xg_node *n, const xg_window *w) {
    xg_set_ai(n, XG_ATTR_kernel_h, w->kh);
    xg_set_ai(n, XG_ATTR_kernel_w, w->kw);
    xg_set_ai(n, XG_ATTR_stride_h, w->sh);
    xg_set_ai(n, XG_ATTR_stride_w, w->sw);
    xg_set_ai(n, XG_ATTR_dilation_h, w->dh);
    xg_set_ai(n, XG_ATTR_dilation_w, w->dw);
    xg_set_ai(n, XG_ATTR_pad_t, w->pt);
    xg_set_ai(n, XG_ATTR_pad_l, w->pl);
    xg_set_ai(n, XG_ATTR_pad_b, w->pb);
    xg_set_ai(n, XG_ATTR_pad_r, w->pr);
}

int xg_attr_slot_by_name(xg_op op, const char *name) {
    const xg_op_desc *d = &xg_ops[op];
    for (int i = 0; i < d->nattr; i++)
        if (!strcmp(xg_attrs[d->attr[i]].name, name)) return i;
    return -1;
}

#include "xgraph/pass.h"

#include <string.h>

/* A convolution of a map whose phases were put side by side as channels (the Focus of YOLO
 * detectors, space to depth): every s-th row and column from (a, b) on, for each (a, b), joined,
 * then k x k taps. That is one convolution of the map itself with stride s and s k x s k taps: tap
 * (i, j) on phase (a, b) is tap (s i + a, s j + b) on the map. Same products, same sums; and no
 * phase has to be picked from memory. */

enum { KERNEL_MAX = 8, STRIDE_MAX = 8, PHASES_MAX = 16 };

typedef struct phases {
    uint32_t root; /* the map */
    int64_t sh, sw, channels;
    int64_t row[PHASES_MAX], col[PHASES_MAX]; /* by input of the Concat */
} phases;

/* Follows Slices up to the map that they all pick from: element i of axis k is element first[k] + i
 * * step[k] there. */
static uint32_t root_of(const xg_rw *r, uint32_t t, int64_t first[4], int64_t step[4]) {
    for (int k = 0; k < 4; k++) first[k] = 0, step[k] = 1;
    for (const xg_node *s; (s = xg_rw_made_by(r, t, XG_OP_Slice)); t = s->in[0]) {
        const xg_attr *starts = xg_attr_of(s, XG_ATTR_starts),
                      *steps = xg_attr_of(s, XG_ATTR_steps);
        if (starts->n != 4 || steps->n != 4) return XG_NONE;
        for (int k = 0; k < 4; k++) {
            first[k] = starts->is[k] + first[k] * steps->is[k];
            step[k] *= steps->is[k];
            if (steps->is[k] < 1 || step[k] > KERNEL_MAX) return XG_NONE;
        }
    }
    return t;
}

static bool read_phase(const xg_rw *r, uint32_t t, uint32_t i, phases *p) {
    int64_t first[4], step[4];
    const xg_tensor *v = xg_tensorp(r->g, t);
    uint32_t root = v->rank == 4 ? root_of(r, t, first, step) : XG_NONE;
    if (root == XG_NONE) return false;
    const xg_tensor *x = xg_tensorp(r->g, root);
    if (i == 0) *p = (phases){.root = root, .sh = step[1], .sw = step[2], .channels = x->dim[3]};
    if (root != p->root || step[1] != p->sh || step[2] != p->sw) return false;
    if (x->rank != 4 || v->dim[0] != x->dim[0] || v->dim[3] != x->dim[3]) return false;
    if (first[1] >= p->sh || first[2] >= p->sw) return false;
    if (v->dim[1] * p->sh != x->dim[1] || v->dim[2] * p->sw != x->dim[2]) return false;
    p->row[i] = first[1];
    p->col[i] = first[2];
    return true;
}

/* Each phase once. */
static bool all_phases(const phases *p, uint32_t n) {
    bool seen[PHASES_MAX] = {0};
    if ((int64_t)n != p->sh * p->sw || n < 2) return false;
    for (uint32_t i = 0; i < n; i++) {
        int64_t at = p->row[i] * p->sw + p->col[i];
        if (seen[at]) return false;
        seen[at] = true;
    }
    return true;
}

static bool read_phases(const xg_rw *r, const xg_node *join, phases *p) {
    if (join->nin > PHASES_MAX || xg_ai(join, XG_ATTR_axis) != 3) return false;
    for (uint32_t i = 0; i < join->nin; i++)
        if (!read_phase(r, join->in[i], i, p)) return false;
    const xg_tensor *x = xg_tensorp(r->g, p->root), *y = xg_out(r->g, join, 0);
    bool same = x->dtype == y->dtype && (x->dtype == XG_F32 || xg_quant_equal(x->quant, y->quant));
    return same && !x->data && all_phases(p, join->nin);
}

/* Weights [o, kh, kw, phase * channels + c] as [o, sh kh, sw kw, c]. */
static uint32_t spread(xg_rw *r, uint32_t weights, const phases *p) {
    xg_tensor w = r->g->tensor.v[weights];
    size_t bytes = xg_dtype_bytes(w.dtype) * (size_t)p->channels;
    int64_t dim[4] = {w.dim[0], w.dim[1] * p->sh, w.dim[2] * p->sw, p->channels};
    char *to = xg_alloc(r->a, bytes * (size_t)(dim[0] * dim[1] * dim[2]));
    const char *from = w.data;
    for (int64_t o = 0; o < dim[0]; o++)
        for (int64_t i = 0; i < w.dim[1]; i++)
            for (int64_t j = 0; j < w.dim[2]; j++)
                for (int64_t k = 0; k < p->sh * p->sw; k++, from += bytes) {
                    int64_t row = i * p->sh + p->row[k], col = j * p->sw + p->col[k];
                    memcpy(to + bytes * (size_t)((o * dim[1] + row) * dim[2] + col), from, bytes);
                }
    return xg_rw_const(r, w.name, w.dtype, 4, dim, to, w.quant);
}

/* No larger than the machine's, where one is known. */
static bool fits(const xg_rw *r, const xg_window *w) {
    const xg_canonical_options *o = r->args->options;
    int64_t kernel = o && o->kernel_max ? o->kernel_max : KERNEL_MAX;
    int64_t stride = o && o->stride_max ? o->stride_max : STRIDE_MAX;
    return xg_max(w->kh, w->kw) <= xg_min(kernel, KERNEL_MAX) &&
           xg_max(w->sh, w->sw) <= xg_min(stride, STRIDE_MAX);
}

static bool focus(xg_rw *r, uint32_t node) {
    const xg_node *n = xg_nodep(r->g, node);
    const xg_node *join = n->op == XG_OP_Conv ? xg_rw_made_by(r, n->in[0], XG_OP_Concat) : NULL;
    phases p = {.root = XG_NONE};
    if (!join || xg_rw_uses(r, n->in[0]) != 1 || xg_ai(n, XG_ATTR_group) != 1) return false;
    const xg_tensor *w = xg_in(r->g, n, 1);
    xg_window v = xg_node_window(n);
    if (!w->data || w->rank != 4 || v.dh != 1 || v.dw != 1) return false;
    int64_t pads = xg_max(xg_max(v.pt, v.pb), xg_max(v.pl, v.pr));
    if (!fits(r, &v) || pads > 1 << 20 || !read_phases(r, join, &p)) return false;
    int32_t sh = (int32_t)p.sh, sw = (int32_t)p.sw;
    v = (xg_window){.kh = v.kh * sh,
                    .kw = v.kw * sw,
                    .sh = v.sh * sh,
                    .sw = v.sw * sw,
                    .dh = 1,
                    .dw = 1,
                    .pt = v.pt * sh,
                    .pl = v.pl * sw,
                    .pb = v.pb * sh,
                    .pr = v.pr * sw};
    if (!fits(r, &v)) return false;
    uint32_t in[3] = {p.root, spread(r, n->in[1], &p), n->nin > 2 ? n->in[2] : XG_NONE};
    uint32_t out = n->out[0], nin = n->nin;
    xg_tensor y = r->g->tensor.v[out];
    uint32_t fresh = xg_rw_add(r, XG_OP_Conv, node, in, nin);
    xg_rw_copy_attrs(r, node, fresh);
    xg_set_window(xg_nodep(r->g, fresh), &v);
    xg_rw_set_out(r, fresh, y.dtype, y.quant);
    xg_rw_join(r, fresh, join);
    return xg_rw_infer(r, fresh) && xg_rw_replace(r, out, xg_rw_out(r, fresh));
}

xg_status xg_pass_focus(xg_ctx *c, xg_graph **g, const xg_pass_args *p) {
    return xg_rw_run(c, g, p, (const xg_rule_fn[]){focus, NULL});
}

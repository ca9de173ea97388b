/* The conditions of a pattern's vertex. */
#include "fusion/patterns.h"

#include "fusion/geometry.h"

#include <string.h>

_Static_assert(XG_OP_COUNT <= 128, "a vertex keeps its operators in 128 bits");

static bool accepts_conv(const xg_pattern_vertex *v, const xg_graph *g, const xg_node *n) {
    if (n->op != XG_OP_Conv || !v->convs) return false;
    bool depthwise = xg_node_tile_kind(g, n) == XG_TK_DW;
    if (depthwise) return v->convs & XG_CONV_DEPTHWISE;
    if (v->convs & XG_CONV_DENSE) return true;
    xg_window w = xg_node_window(n);
    return v->convs & XG_CONV_POINTWISE && w.kh == 1 && w.kw == 1 && xg_ai(n, XG_ATTR_group) == 1;
}

static bool within(int32_t h, int32_t w, uint32_t lo, uint32_t hi) {
    if (lo && (h < (int64_t)lo || w < (int64_t)lo)) return false;
    return !hi || (h <= (int64_t)hi && w <= (int64_t)hi);
}

static bool accepts_window(const xg_pattern_vertex *v, const xg_node *n) {
    if (!v->kernel_min && !v->kernel_max && !v->stride_min && !v->stride_max) return true;
    xg_window w = xg_node_window(n);
    return within(w.kh, w.kw, v->kernel_min, v->kernel_max) &&
           within(w.sh, w.sw, v->stride_min, v->stride_max);
}

static bool accepts_map(xg_map_rule rule, const int64_t in[4], const int64_t out[4]) {
    switch (rule) {
    case XG_MAP_SAME:
        return in[1] == out[1] && in[2] == out[2];
    case XG_MAP_SMALLER:
        return out[1] < in[1] || out[2] < in[2];
    case XG_MAP_POINT:
        return out[1] == 1 && out[2] == 1;
    default:
        return true;
    }
}

bool xg_vertex_accepts(const xg_pattern_vertex *v, const xg_graph *g, const xg_node *n) {
    if (!(v->ops >> n->op & 1) && !accepts_conv(v, g, n)) return false;
    if (!accepts_window(v, n)) return false;
    if (v->map == XG_MAP_ANY && v->operands == XG_OPERANDS_ANY) return true;
    int64_t a[4], b[4], y[4];
    xg_dims4(xg_in(g, n, 0), a);
    xg_dims4(xg_out(g, n, 0), y);
    if (!accepts_map(v->map, a, y)) return false;
    if (v->operands == XG_OPERANDS_ANY) return true;
    xg_dims4(xg_in(g, n, 1), b);
    bool equal = !memcmp(a, y, sizeof a) && !memcmp(b, y, sizeof b);
    return equal == (v->operands == XG_OPERANDS_EQUAL);
}

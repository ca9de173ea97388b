#include "xgraph/interp.h"

#include <math.h>
#include <string.h>

typedef enum fill_kind { FILL_RANDOM, FILL_MIN, FILL_MAX, FILL_ZERO } fill_kind;

static bool moves_only(uint16_t op) {
    return op == XG_OP_Transpose || op == XG_OP_Reshape || op == XG_OP_Slice || op == XG_OP_Pad ||
           op == XG_OP_Gather;
}

typedef struct span {
    float lo, hi;
    bool whole; /* only integers: a Quantize of scale 1 reads them */
} span;

/* The range of the first Quantize that reads t, straight or through movements of its elements. */
static span quantize_range(const xg_graph *g, const xg_uses *uses, uint32_t t) {
    const span none = {-1, 1, false};
    for (uint32_t depth = 0; depth < g->node.n; depth++) {
        uint32_t next = XG_NONE;
        for (uint32_t u = uses->first[t]; u < uses->first[t + 1]; u++) {
            const xg_node *n = xg_nodep(g, uses->node[u]);
            if (n->op == XG_OP_Quantize) {
                const xg_tensor *y = xg_out(g, n, 0);
                int32_t qlo, qhi;
                xg_dtype_range(y->dtype, &qlo, &qhi);
                const float scale = y->quant->scale[0];
                return (span){xg_dequantize_f32(qlo, scale, y->quant->zp[0]),
                              xg_dequantize_f32(qhi, scale, y->quant->zp[0]), scale == 1};
            }
            if (next == XG_NONE && moves_only(n->op) && n->in[0] == t) next = n->out[0];
        }
        if (next == XG_NONE) return none;
        t = next;
    }
    return none;
}

static void fill_f32(float *x, int64_t n, fill_kind kind, span s, uint64_t *seed) {
    for (int64_t i = 0; i < n; i++) {
        float u = (float)(xg_random(seed) >> 40) * 0x1p-24f; /* [0, 1) */
        float v = s.lo + (s.hi - s.lo) * u;
        x[i] = kind == FILL_RANDOM ? (s.whole ? rintf(v) : v)
               : kind == FILL_MIN  ? s.lo
               : kind == FILL_MAX  ? s.hi
                                   : 0;
    }
}

static int64_t integer_value(const xg_tensor *t, fill_kind kind, uint64_t *seed) {
    int32_t lo, hi;
    xg_dtype_range(t->dtype, &lo, &hi);
    switch (kind) {
    case FILL_MIN:
        return lo;
    case FILL_MAX:
        return hi;
    case FILL_ZERO:
        return t->quant ? t->quant->zp[0] : 0;
    default:
        return lo + (int64_t)(xg_random(seed) % ((uint64_t)((int64_t)hi - lo) + 1));
    }
}

static void fill_integers(void *x, const xg_tensor *t, fill_kind kind, uint64_t *seed) {
    for (int64_t i = 0, n = xg_tensor_elems(t); i < n; i++) {
        int64_t v = integer_value(t, kind, seed);
        switch (xg_dtype_bytes(t->dtype)) {
        case 1:
            ((uint8_t *)x)[i] = (uint8_t)v;
            break;
        case 2:
            ((int16_t *)x)[i] = (int16_t)v;
            break;
        case 4:
            ((int32_t *)x)[i] = (int32_t)v;
            break;
        default:
            ((int64_t *)x)[i] = v;
        }
    }
}

xg_status xg_values_fill(xg_ctx *c, xg_values *v, const char *kind, uint64_t seed) {
    static const char *const names[] = {"random", "min", "max", "zero"};
    fill_kind f = FILL_RANDOM;
    while (f < XG_COUNT(names) && strcmp(kind, names[f])) f++;
    if (f == XG_COUNT(names))
        return xg_error(c, XG_USAGE, "",
                        "unknown kind of input '%.40s', expected random, min, max or zero", kind);
    xg_arena *scratch = xg_arena_new(c);
    const xg_uses uses = xg_graph_uses(v->graph, scratch);
    for (uint32_t i = 0; i < v->graph->input.n; i++) {
        uint32_t t = v->graph->input.v[i];
        const xg_tensor *x = xg_tensorp(v->graph, t);
        uint64_t state =
            seed +
            i * 0x632be59bd9b4e019u; /* an input's values do not depend on the inputs before */
        if (x->dtype == XG_F32) {
            fill_f32(xg_values_get(v, t), xg_tensor_elems(x), f, quantize_range(v->graph, &uses, t),
                     &state);
        } else
            fill_integers(xg_values_get(v, t), x, f, &state);
    }
    xg_arena_free(scratch);
    return XG_OK;
}

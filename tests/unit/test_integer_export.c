/* Integer exports with RequantShift: a residual network whose every step is also computed here in
 * integers; what an input holds. */
#include "xgraph/import.h"
#include "xgraph/interp.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "onnx_bytes.h"
#include "onnx_model.h"
#include "xg_test.h"

#include <math.h>

enum { C = 4, HW = 30, ALL = C * HW };

static const int64_t map_dim[4] = {1, C, 5, 6};

static int64_t pick(uint64_t *s, int64_t lo, int64_t hi) {
    return lo + (int64_t)(xg_random(s) % (uint64_t)(hi - lo + 1));
}

/* mul, add: one value (n 1) or one a channel. */
typedef struct shift {
    int n, is_signed;
    float mul[C], add[C];
} shift;

enum { DIV = 65536 };

static int64_t shifted(const shift *f, int c, int64_t v) {
    int at = f->n == 1 ? 0 : c;
    int64_t y = (v * (int64_t)f->mul[at] + (int64_t)f->add[at] + DIV / 2) >> 16;
    return f->is_signed ? xg_clamp(y, -128, 127) : xg_clamp(y, 0, 255);
}

static void put_shift(model *m, const shift *f, const char *from, const char *to,
                      const char *domain) {
    static const int64_t dim[3] = {C, 1, 1};
    const char *mul = xg_strf(m->t->a, "%s.mul", to), *add = xg_strf(m->t->a, "%s.add", to);
    m_constant(m, mul, ONNX_F32, f->n == 1 ? 0 : 3, dim, f->mul);
    m_constant(m, add, ONNX_F32, f->n == 1 ? 0 : 3, dim, f->add);
    Xgonnx__Node *n = m_node(m, "RequantShift", xg_strf(m->t->a, "%s,%s,%s", from, mul, add), to);
    n->domain = domain ? xg_strdup(m->t->a, domain) : NULL;
    m_float(m, n, "div", DIV);
    m_float(m, n, "n_levels_out", 256);
    m_float(m, n, "signed", (float)f->is_signed);
}

/* Odd factors, addends of whole steps: no rounding to the nearest meets a half. */
static shift random_shift(uint64_t *s, int n, bool is_signed, int64_t lo, int64_t hi) {
    shift f = {.n = n, .is_signed = is_signed};
    for (int c = 0; c < n; c++) {
        f.mul[c] = (float)(2 * pick(s, lo, hi) + 1);
        f.add[c] = f.mul[c] * (float)pick(s, -20, 20);
    }
    return f;
}

/* x -> Conv -> shift a; x -> shift b (a table); a -> shift c (a factor a channel); b + c -> shift
 * y. */
typedef struct net {
    float w[C * C];
    shift a, b, c, y;
} net;

static net random_net(uint64_t *s, bool is_signed) {
    net n;
    for (int i = 0; i < C * C; i++) n.w[i] = (float)pick(s, -127, 127);
    n.a = random_shift(s, C, is_signed, 100, 400);
    n.b = random_shift(s, 1, is_signed, 10000, 40000);
    n.c = random_shift(s, C, is_signed, 10000, 40000);
    n.y = random_shift(s, C, is_signed, 10000, 40000);
    return n;
}

static void build(model *m, const net *n, bool line) {
    static const int64_t w[4] = {C, C, 1, 1}, line_dim[3] = {1, C, HW};
    m_input(m, "x", ONNX_F32, line ? 3 : 4, line ? line_dim : map_dim);
    m_constant(m, "w", ONNX_F32, line ? 3 : 4, w, n->w);
    m_node(m, "Conv", "x,w", "acc");
    put_shift(m, &n->a, "acc", "a", NULL);
    put_shift(m, &n->b, "x", "b", "PACTOps");
    put_shift(m, &n->c, "a", "c", "ai.onnx.contrib");
    m_node(m, "Add", "b,c", "sum");
    put_shift(m, &n->y, "sum", "y", NULL);
    m_output(m, "y");
}

static void expect(const net *n, const float *x, float *y) {
    for (int p = 0; p < HW; p++)
        for (int o = 0; o < C; o++) {
            int64_t acc = 0;
            for (int i = 0; i < C; i++) acc += (int64_t)n->w[o * C + i] * (int64_t)x[i * HW + p];
            int64_t c = shifted(&n->c, o, shifted(&n->a, o, acc));
            y[o * HW + p] = (float)shifted(&n->y, o, c + shifted(&n->b, o, (int64_t)x[o * HW + p]));
        }
}

static const float *run(xg_test *t, const xg_graph *g, const float *x) {
    xg_values *v = xg_new(t->a, xg_values);
    xg_values_init(v, g, t->a);
    v->v[g->input.v[0]] = (void *)(uintptr_t)x;
    assert_ok(t->c, xg_interp_run(t->c, v, NULL));
    return v->v[g->output.v[0]];
}

static void a_residual_network(void **state) {
    xg_test *t = *state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        uint64_t s = seed;
        bool is_signed = seed & 1, line = seed > 8;
        net n = random_net(&s, is_signed);
        model m = model_new(state, 13);
        if (seed & 2) { /* weights of -128 under negative factors */
            n.w[3] = n.w[C + 1] = -128;
            for (int c = 0; c < 2; c++) n.a.mul[c] *= -1, n.a.add[c] *= -1;
        }
        build(&m, &n, line);
        xg_graph *g;
        assert_ok(t->c, m_import(&m, &g));
        float x[ALL], want[ALL];
        for (int i = 0; i < ALL; i++)
            x[i] = (float)(is_signed ? pick(&s, -128, 127) : pick(&s, 0, 255));
        expect(&n, x, want);
        assert_memory_equal(run(t, g, x), want, sizeof want);
        assert_ok(t->c, xg_canonicalise(t->a, &g, NULL, NULL));
        for (uint32_t i = 0; i < g->node.n && !line; i++) { /* nothing computes in floating point */
            const xg_node *k = xg_nodep(g, i);
            bool border = k->op == XG_OP_Dequantize || k->op == XG_OP_Transpose;
            if (!border) assert_int_not_equal(xg_out(g, k, 0)->dtype, XG_F32);
        }
        assert_memory_equal(run(t, g, x), want, sizeof want);
    }
}

/* ---- what an input holds ---- */

static xg_status load(xg_test *t, const char *path, const char *type, const char *inputs,
                      const xg_graph **g) {
    xg_front_options o = {.calib_inputs = inputs, .input_type = &type, .ninput_type = type ? 1 : 0};
    xg_rqrec record;
    xg_graph *made = NULL;
    assert_true(xg_rqrec_profile("tflite1", &record));
    xg_status st = xg_front(t->a, path, &o, &record, &made, NULL);
    *g = made;
    return st;
}

static bool holds(const xg_graph *g, xg_dtype type) {
    const char *range = type == XG_I8 ? "from -128 to 127" : "from 0 to 255";
    for (uint32_t i = 0; i < g->log.n; i++)
        if (strstr(g->log.v[i], "graph input 'x'")) return strstr(g->log.v[i], range) != NULL;
    return false;
}

static const char *npy_of(xg_test *t, char *path, float lo, float hi) {
    float x[ALL];
    for (int i = 0; i < ALL; i++) x[i] = i & 1 ? lo : hi;
    xg_array array = {.dtype = XG_F32, .rank = 4, .data = x};
    memcpy(array.dim, map_dim, sizeof map_dim);
    int fd = mkstemps(path, 4);
    assert_true(fd >= 0);
    close(fd);
    assert_ok(t->c, xg_array_write_npy(t->c, path, &array));
    return path;
}

static void types_of_inputs(void **state) {
    xg_test *t = *state;
    uint64_t s = 3;
    net n = random_net(&s, true); /* signed layers: a signed input, unless something is said */
    model m = model_new(state, 13);
    build(&m, &n, false);
    char path[] = "xgc-test-XXXXXX.onnx", high[] = "xgc-test-XXXXXX.npy",
         low[] = "xgc-test-XXXXXX.npy", odd[] = "xgc-test-XXXXXX.npy";
    m_write(&m, path);
    npy_of(t, high, 0, 200);
    npy_of(t, low, -3, 100);
    npy_of(t, odd, -3, 200);
    const struct {
        const char *type, *inputs;
        xg_dtype want;
    } good[] = {{NULL, NULL, XG_I8},   {"x=u8", NULL, XG_U8}, {"x=i8", NULL, XG_I8},
                {NULL, high, XG_U8},   {NULL, low, XG_I8},    {NULL, odd, XG_I8},
                {"x=i8", high, XG_I8}, {"x=u8", low, XG_U8},  {NULL, "random:1", XG_I8}};
    for (size_t i = 0; i < XG_COUNT(good); i++) {
        const xg_graph *g;
        assert_ok(t->c, load(t, path, good[i].type, good[i].inputs, &g));
        assert_true(holds(g, good[i].want));
    }
    static const char *const bad[] = {"x=i9", "x", "=u8", "x=", "nobody=u8"};
    for (size_t i = 0; i < XG_COUNT(bad); i++) {
        const xg_graph *g;
        assert_int_equal(load(t, path, bad[i], NULL, &g), XG_USAGE);
        assert_non_null(strstr(xg_diag_at(t->c, xg_diag_count(t->c) - 1)->text, bad[i]));
    }
    const xg_graph *g; /* no integer export */
    assert_int_equal(
        load(t, XGC_SOURCE_DIR "/examples/digits/digits_qdq.onnx", "image=u8", NULL, &g), XG_USAGE);
    unlink(path), unlink(high), unlink(low), unlink(odd);
}

int main(void) {
    const struct CMUnitTest tests[] = {TEST(a_residual_network), TEST(types_of_inputs)};
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

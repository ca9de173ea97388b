/* The vector forms of the tile family against the scalar ones: arithmetic on random records and
 * constants, whole instructions on random machines, random programs; at every level of vector
 * instructions that this host has. */
#include "random_program.h"

#include "isa/tile_fast.h"

static const char *const profiles[] = {"ort",   "tflite1", "tflite2", "dpu",
                                       "nvdla", "mul16",   "mul8"};

static bool one_in(uint64_t *s, uint32_t n) {
    return xg_random(s) % n == 0;
}

static xg_rqrec random_record(uint64_t *s) {
    xg_rqrec r;
    assert_true(xg_rqrec_profile(profiles[xg_random(s) % XG_COUNT(profiles)], &r));
    if (one_in(s, 2)) {
        r.rounding[0] = (xg_rounding)test_in(s, XG_HALF_EVEN, XG_TRUNC);
        r.rounding[1] = (xg_rounding)test_in(s, XG_HALF_EVEN, XG_TRUNC);
        r.zp_before_round = one_in(s, 2);
        if (one_in(s, 2)) r.add = (xg_add_method)test_in(s, XG_ADD_F32_FMA, XG_ADD_MULSHIFT);
        if (one_in(s, 2)) r.pool = (xg_pool_method)test_in(s, XG_POOL_F32, XG_POOL_EXACT);
    }
    r.act_zero_point = r.weight_zero_point = r.per_channel = true;
    return r;
}

/* Constants of the kind that the record asks for; now and then ones that no compiler writes. */
static xg_rq random_rq(uint64_t *s, const xg_rqrec *r) {
    float num = (float)(xg_random(s) % 1000 + 1) * 0x1p-14f;
    xg_rq q = {(int32_t)xg_random(s), test_in(s, -2, 66)};
    if (one_in(s, 40)) return q;
    if (r->method == XG_RQ_SHIFT) return (xg_rq){0, test_in(s, 0, 31)};
    if (!xg_rq_derive(r, &num, 1, 1, &q)) return (xg_rq){1, 1};
    return q;
}

static int32_t random_acc(uint64_t *s) {
    static const int32_t limits[] = {INT32_MIN, INT32_MAX, 0, -1, 1};
    if (one_in(s, 20)) return limits[xg_random(s) % XG_COUNT(limits)];
    return (int32_t)xg_random(s) >> (xg_random(s) % 28);
}

/* Near the ends: a sum of products more leaves 32 bits. */
static int32_t near_end(uint64_t *s) {
    return one_in(s, 2) ? INT32_MAX - test_in(s, 0, 99) : INT32_MIN + test_in(s, 0, 99);
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

enum { N = 100, PIXELS = 3 };

static bool requantise_case(uint64_t seed, const xg_tile_rows *rows) {
    static xg_tile_rq q;
    uint64_t s = seed;
    const xg_rqrec r = random_record(&s);
    const uint32_t first = (uint32_t)test_in(&s, 0, 20), n = (uint32_t)test_in(&s, 1, N);
    const int32_t zp = test_in(&s, -128, 127), lo = test_in(&s, -128, 0), hi = test_in(&s, 0, 127);
    xg_rq k[N + 20];
    int32_t acc[PIXELS * 128];
    uint8_t out[PIXELS * N];
    const bool one = one_in(&s, 3);
    for (uint32_t c = 0; c < first + n; c++) k[c] = one && c ? k[0] : random_rq(&s, &r);
    for (uint32_t i = 0; i < XG_COUNT(acc); i++) acc[i] = random_acc(&s);
    memset(&q, 0, sizeof q);
    xg_tile_rq_begin(&q, &r, zp, lo, hi);
    for (uint32_t c = 0; c < first + n; c++)
        if (!xg_tile_rq_set(&q, &r, c, k[c].mult, k[c].shift)) return false;
    rows->requantise(&q, acc, PIXELS, 128, first, n, out, N);
    for (uint32_t p = 0; p < PIXELS; p++)
        for (uint32_t c = 0; c < n; c++) {
            int32_t want = xg_dp_requantise(&r, acc[p * 128 + c], k[first + c].mult,
                                            k[first + c].shift, zp, lo, hi);
            if ((int8_t)out[p * N + c] != want) {
                print_message("seed %llu %s method %d: acc %d mult %d shift %d is %d, not %d\n",
                              (unsigned long long)seed, xg_cpu_name(rows->level), (int)r.method,
                              acc[p * 128 + c], k[first + c].mult, k[first + c].shift,
                              (int8_t)out[p * N + c], want);
                fail();
            }
        }
    return true;
}

static bool add_case(uint64_t seed, const xg_tile_rows *rows) {
    uint64_t s = seed;
    const xg_rqrec r = random_record(&s);
    xg_tile_pairs pairs;
    xg_addrq q;
    const bool pow2 = r.add == XG_ADD_SHIFT || r.method == XG_RQ_SHIFT;
    float scale[3];
    for (int i = 0; i < 3; i++)
        scale[i] = pow2 ? (float)(1 << test_in(&s, 0, 5)) : (float)test_in(&s, 1, 999);
    xg_dp_elew e = {.zp_a = test_in(&s, -128, 127),
                    .zp_b = test_in(&s, -128, 127),
                    .zp_out = test_in(&s, -128, 127),
                    .lo = test_in(&s, -128, 0),
                    .hi = test_in(&s, 0, 127)};
    if (!xg_add_derive(&r, scale[0], e.zp_a, scale[1], e.zp_b, scale[2], e.zp_out, &q)) return true;
    e.mult_a = q.a.mult, e.shift_a = q.a.shift, e.mult_b = q.b.mult, e.shift_b = q.b.shift;
    e.mult_o = q.o.mult, e.shift_o = q.o.shift;
    if (one_in(&s, 30)) e.shift_a = test_in(&s, -70, 70), e.shift_o = test_in(&s, -70, 70);
    if (!xg_tile_pairs_of(&r, &e, &pairs)) return false;
    int8_t a[N], b[N];
    uint8_t out[N];
    for (int i = 0; i < N; i++) a[i] = (int8_t)xg_random(&s), b[i] = (int8_t)xg_random(&s);
    const uint32_t n = (uint32_t)test_in(&s, 1, N);
    rows->add(&pairs, a, b, n, out);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal((int8_t)out[i], xg_dp_elementwise(&r, &e, a[i], b[i]));
    return true;
}

/* Of n cases at each level a share must be the vector forms'. */
static void arithmetic(int n, double share, bool (*one)(uint64_t seed, const xg_tile_rows *rows)) {
    for (int level = 0; level <= (int)xg_cpu_level(); level++) {
        int taken = 0;
        for (int i = 0; i < n; i++)
            taken += one(7919u * (uint64_t)i + 1, xg_tile_rows_of((xg_cpu)level));
        print_message("%s: %d of %d taken\n", xg_cpu_name((xg_cpu)level), taken, n);
        assert_true(taken >= share * n);
    }
}

static void test_requantise(void **state) {
    (void)state;
    arithmetic(3000, 0.85, requantise_case);
}

static void test_add(void **state) {
    (void)state;
    arithmetic(3000, 0.9, add_case);
}

/* ---- instructions ---------------------------------------------------------------------------- */

typedef struct bench {
    xg_machine m;
    xg_state *st[3]; /* scalar; as usual; the vector form alone */
    xg_arena *a;
    uint64_t s;
    xg_inst init, in;
} bench;

enum { SCALAR, USUAL, ALONE };

static void memories(bench *b) {
    const uint64_t bytes[XG_REGIONS] = {16, 16, 16, 16};
    for (int k = 0; k < 3; k++) {
        xg_sim *sim;
        assert_int_equal(xg_sim_new(b->a, &b->m, bytes, &sim), XG_OK);
        b->st[k] = (xg_state *)(uintptr_t)xg_sim_core(sim, 0);
    }
    ((xg_tile_scratch *)b->st[SCALAR]->scratch)->fast->rows = NULL;
    for (int mem = 1; mem < XG_TILE_MEMS; mem++) {
        const uint64_t n = b->st[0]->mem_bytes[mem];
        uint8_t *p = b->st[0]->mem[mem];
        const bool extreme = one_in(&b->s, 8);
        for (uint64_t i = 0; i < n; i++) {
            p[i] = (uint8_t)xg_random(&b->s);
            if (extreme && mem != XG_MEM_PARAM) p[i] = (uint8_t)(0x7f + (p[i] & 1));
        }
    }
}

/* Parameter memory: records of 12 or 4 bytes from byte `at` on. */
static void records(bench *b, int32_t at, int32_t n, int32_t chan) {
    uint8_t *p = b->st[0]->mem[XG_MEM_PARAM] + at;
    for (int32_t i = 0; i < n; i++, p += chan ? 12 : 4) {
        const xg_rq q = random_rq(&b->s, &b->m.rq);
        const int32_t v[3] = {one_in(&b->s, 20 * (uint32_t)n) ? near_end(&b->s)
                                                              : test_in(&b->s, -9999, 9999),
                              q.mult, q.shift};
        memcpy(p, v, chan ? 12 : 4);
    }
}

static void begin(bench *b, xg_arena *a, uint64_t seed) {
    static const uint32_t sizes[][3] = {{2, 4, 4}, {4, 12, 12}, {8, 16, 16}, {3, 5, 10},
                                        {4, 8, 4}, {2, 16, 40}, {1, 64, 20}};
    *b = (bench){.a = a, .s = seed};
    const uint32_t *z = sizes[xg_random(&b->s) % XG_COUNT(sizes)];
    b->m = tile_test_machine(z[0], z[1], z[2], 1, "ort");
    b->m.rq = random_record(&b->s);
    b->m.rq.acc_bits = (uint8_t)(one_in(&b->s, 8)   ? test_in(&b->s, 14, 24)
                                 : one_in(&b->s, 4) ? 48
                                                    : 32);
    memories(b);
}

/* A view in words [lo, lo + 120) of every bank; all sizes small enough. */
typedef struct place {
    int32_t addr, row0, ring, il, row, pix;
} place;

static place random_place(bench *b, int32_t rows, int32_t cols, int32_t ch, int32_t lo) {
    const int32_t icp = (int32_t)b->m.tile.icp, words = (ch + 2 * icp - 1) / icp;
    if (one_in(&b->s, 8)) lo = test_in(&b->s, 0, lo); /* perhaps over another one */
    place v = {.addr = lo + test_in(&b->s, 0, 5), .il = test_in(&b->s, 1, 2)};
    v.pix = one_in(&b->s, 3) ? (ch + icp - 1) / icp : words + test_in(&b->s, 0, 1);
    v.pix -= v.pix && one_in(&b->s, 8);                             /* pixels that overlap */
    v.row = cols * v.pix + test_in(&b->s, 0, 1) - one_in(&b->s, 8); /* or rows that overlap */
    v.row0 = test_in(&b->s, 0, 2);
    v.ring = one_in(&b->s, 3) ? rows + test_in(&b->s, 0, 2) : 0;
    return v;
}

#define PLACE(init, I, in, OP, p, view)                                                            \
    do {                                                                                           \
        const place at_ = view;                                                                    \
        SET(in, OP, p##_addr, at_.addr), SET(in, OP, p##_row0, at_.row0);                          \
        SET(init, I, p##_ring, at_.ring), SET(init, I, p##_il, at_.il);                            \
        SET(init, I, p##_row, at_.row), SET(init, I, p##_pix, at_.pix);                            \
    } while (0)

#define WINDOW(I, OP, most, rows_max)                                                              \
    do {                                                                                           \
        SET(b->init, I, kh, test_in(&b->s, 1, most)),                                              \
            SET(b->init, I, kw, test_in(&b->s, 1, most));                                          \
        SET(b->init, I, sh, test_in(&b->s, 1, 2)), SET(b->init, I, sw, test_in(&b->s, 1, 2));      \
        SET(b->init, I, dh, test_in(&b->s, 1, 2)), SET(b->init, I, dw, test_in(&b->s, 1, 2));      \
        SET(b->init, I, zp_in, one_in(&b->s, 3) ? 0 : test_in(&b->s, -128, 127));                  \
        SET(b->init, I, zp_out, test_in(&b->s, -128, 127));                                        \
        SET(b->init, I, lo, test_in(&b->s, -128, 0)), SET(b->init, I, hi, test_in(&b->s, 0, 127)); \
        SET(b->in, OP, pad_top, test_in(&b->s, 0, 2)), SET(b->in, OP, in_rows, in_rows);           \
        SET(b->in, OP, pad_left, test_in(&b->s, 0, 2)), SET(b->in, OP, in_cols, in_cols);          \
        SET(b->in, OP, rows, test_in(&b->s, 1, rows_max)), SET(b->in, OP, cols, cols);             \
        PLACE(b->init, I, b->in, OP, in, random_place(b, in_rows, in_cols, ch, 0));                \
    } while (0)

static void conv_operands(bench *b) {
    const int32_t ocp = (int32_t)b->m.tile.ocp, icp = (int32_t)b->m.tile.icp;
    const int32_t in_rows = test_in(&b->s, 1, 4), in_cols = test_in(&b->s, 1, 6);
    const int32_t cols = one_in(&b->s, 3) ? test_in(&b->s, 8, 20) : test_in(&b->s, 1, 7);
    const int32_t icw = test_in(&b->s, 1, 3), ch = icw * icp, oc = test_in(&b->s, 1, ocp);
    const int32_t chan = test_in(&b->s, 0, 1), acc = test_in(&b->s, 0, 5);
    const xg_rq q = random_rq(&b->s, &b->m.rq);
    b->init = test_inst(XG_T_CONVINIT), b->in = test_inst(XG_T_CONV);
    WINDOW(CONVINIT, CONV, 3, (int32_t)b->m.tile.pp);
    PLACE(b->init, CONVINIT, b->in, CONV, out, random_place(b, 8, cols, oc, 100));
    SET(b->in, CONV, out_lane, test_in(&b->s, 0, icp - 1));
    SET(b->init, CONVINIT, zp_w, one_in(&b->s, 2) ? 0 : test_in(&b->s, -128, 127));
    SET(b->init, CONVINIT, chan, chan), SET(b->init, CONVINIT, mult, q.mult);
    SET(b->init, CONVINIT, shift, q.shift);
    SET(b->in, CONV, icw, icw), SET(b->in, CONV, oc, oc);
    SET(b->in, CONV, w_addr, test_in(&b->s, 0, 5)), SET(b->in, CONV, p_addr, 36);
    SET(b->in, CONV, acc_in, acc == 1 || acc == 3), SET(b->in, CONV, acc_out, acc == 2 || acc == 3);
    SET(b->in, CONV, psum, 256 - cols * ((4 * ocp + icp - 1) / icp));
    records(b, 36, oc, chan);
    for (int32_t i = 0; acc == 1 || acc == 3; i++) { /* partial sums that fit, mostly */
        uint64_t n = b->st[0]->mem_bytes[XG_MEM_FM];
        if ((uint64_t)i * 4 + 4 > n) break;
        int32_t v = one_in(&b->s, 2000) ? near_end(&b->s) : test_in(&b->s, -7000, 7000);
        memcpy(b->st[0]->mem[XG_MEM_FM] + 4 * i, &v, 4);
    }
}

static void dw_operands(bench *b) {
    const int32_t ch = one_in(&b->s, 5) ? 300 : test_in(&b->s, 1, 70);
    const int32_t in_rows = ch < 300 ? test_in(&b->s, 1, 4) : 1;
    const int32_t in_cols = ch < 300 ? test_in(&b->s, 1, 5) : 1, cols = test_in(&b->s, 1, 4);
    const int32_t chan = ch < 300 && one_in(&b->s, 2);
    const xg_rq q = random_rq(&b->s, &b->m.rq);
    b->init = test_inst(XG_T_DWINIT), b->in = test_inst(XG_T_DWCONV);
    WINDOW(DWINIT, DWCONV, 3, 3);
    PLACE(b->init, DWINIT, b->in, DWCONV, out, random_place(b, 3, cols, ch, 128));
    SET(b->init, DWINIT, zp_w, one_in(&b->s, 2) ? 0 : test_in(&b->s, -128, 127));
    SET(b->init, DWINIT, chan, chan), SET(b->init, DWINIT, mult, q.mult);
    SET(b->init, DWINIT, shift, q.shift);
    if (ch == 300) SET(b->in, DWCONV, rows, test_in(&b->s, 2, 3));
    if (ch == 300 && one_in(&b->s, 2)) { /* two blocks of channels, rows that share a word */
        const int32_t words = (ch - 1) / (int32_t)b->m.tile.icp + 1;
        SET(b->init, DWINIT, out_pix, words), SET(b->init, DWINIT, out_row, cols * words - 1);
    }
    SET(b->in, DWCONV, ch, ch), SET(b->in, DWCONV, w_addr, 1400), SET(b->in, DWCONV, p_addr, 8);
    records(b, 8, ch, chan);
}

static void pool_operands(bench *b) {
    const int32_t in_rows = test_in(&b->s, 1, 5), in_cols = test_in(&b->s, 1, 5);
    const int32_t cols = test_in(&b->s, 1, 4), ch = one_in(&b->s, 5) ? 300 : test_in(&b->s, 1, 70);
    const int32_t kind = test_in(&b->s, 0, 2), count = test_in(&b->s, 1, 30);
    xg_poolrq q = {.m = {test_in(&b->s, 1, 9999), test_in(&b->s, 0, 20)}};
    const float sx = b->m.rq.pool == XG_POOL_DPU ? 0.5f : 0.013f, sy = sx;
    b->init = test_inst(XG_T_POOLINIT), b->in = test_inst(XG_T_POOL);
    WINDOW(POOLINIT, POOL, 4, 3);
    PLACE(b->init, POOLINIT, b->in, POOL, out, random_place(b, 3, cols, ch, 128));
    (void)xg_pool_derive(&b->m.rq, sx, sy, count, kind == 2, &q);
    SET(b->init, POOLINIT, kind, kind), SET(b->init, POOLINIT, count, count);
    SET(b->init, POOLINIT, mult, q.m.mult), SET(b->init, POOLINIT, shift, q.m.shift);
    SET(b->init, POOLINIT, mult2, q.d.mult), SET(b->in, POOL, ch, ch);
}

static void elew_operands(bench *b) {
    const int32_t rows = test_in(&b->s, 1, 4), cols = test_in(&b->s, 1, 5);
    const int32_t icp = (int32_t)b->m.tile.icp, ch = test_in(&b->s, 1, 70);
    const int32_t n = one_in(&b->s, 3) ? icp * test_in(&b->s, 1, 3) : ch;
    const float scale = 0.25f;
    const place va = random_place(b, rows, cols, n, 0), vb = random_place(b, rows, cols, n, 85),
                vo = one_in(&b->s, 3) ? va : random_place(b, rows, cols, n, 170);
    xg_addrq q = {.o = random_rq(&b->s, &b->m.rq)};
    b->init = test_inst(XG_T_ELEWINIT), b->in = test_inst(XG_T_ELEW);
    const int32_t za = test_in(&b->s, -128, 127), zb = test_in(&b->s, -128, 127),
                  zo = test_in(&b->s, -128, 127), kind = test_in(&b->s, 0, 1);
    if (kind == 0) (void)xg_add_derive(&b->m.rq, scale, za, scale, zb, 0.5f, zo, &q);
    SET(b->init, ELEWINIT, kind, kind), SET(b->init, ELEWINIT, zp_a, za);
    SET(b->init, ELEWINIT, zp_b, zb), SET(b->init, ELEWINIT, zp_out, zo);
    SET(b->init, ELEWINIT, lo, test_in(&b->s, -128, 0));
    SET(b->init, ELEWINIT, hi, test_in(&b->s, 0, 127));
    SET(b->init, ELEWINIT, mult_a, q.a.mult), SET(b->init, ELEWINIT, shift_a, q.a.shift);
    SET(b->init, ELEWINIT, mult_b, q.b.mult), SET(b->init, ELEWINIT, shift_b, q.b.shift);
    SET(b->init, ELEWINIT, mult_o, q.o.mult), SET(b->init, ELEWINIT, shift_o, q.o.shift);
    PLACE(b->init, ELEWINIT, b->in, ELEW, a, va);
    PLACE(b->init, ELEWINIT, b->in, ELEW, b, vb);
    PLACE(b->init, ELEWINIT, b->in, ELEW, out, vo);
    SET(b->in, ELEW, rows, rows), SET(b->in, ELEW, cols, cols), SET(b->in, ELEW, ch, n);
}

/* Runs the vector form alone; whether it took the whole instruction. */
static bool alone(bench *b) {
    xg_state *s = b->st[ALONE];
    xg_tile_operands d;
    char why[XG_TILE_WHY_BYTES];
    uint32_t r = 0, x = 0;
    assert_null(xg_tile_family.exec(s, &b->init));
    assert_true(xg_tile_operands_of(&b->m, &s->regs, &b->in, &d, why));
    const int32_t *f = b->init.f;
    const xg_dp_pool p = {
        f[XG_F(POOLINIT, kind)],   f[XG_F(POOLINIT, count)], f[XG_F(POOLINIT, mult)],
        f[XG_F(POOLINIT, shift)],  f[XG_F(POOLINIT, mult2)], f[XG_F(POOLINIT, zp_in)],
        f[XG_F(POOLINIT, zp_out)], f[XG_F(POOLINIT, lo)],    f[XG_F(POOLINIT, hi)]};
    const xg_dp_elew e = {
        f[XG_F(ELEWINIT, kind)],    f[XG_F(ELEWINIT, zp_a)],    f[XG_F(ELEWINIT, zp_b)],
        f[XG_F(ELEWINIT, zp_out)],  f[XG_F(ELEWINIT, lo)],      f[XG_F(ELEWINIT, hi)],
        f[XG_F(ELEWINIT, mult_a)],  f[XG_F(ELEWINIT, shift_a)], f[XG_F(ELEWINIT, mult_b)],
        f[XG_F(ELEWINIT, shift_b)], f[XG_F(ELEWINIT, mult_o)],  f[XG_F(ELEWINIT, shift_o)]};
    switch (b->in.op) {
    case XG_T_CONV:
        return xg_tile_fast_conv(s, &d, &r, &x);
    case XG_T_DWCONV:
        return xg_tile_fast_dwconv(s, &d);
    case XG_T_POOL:
        return xg_tile_fast_pool(s, &d, &p);
    default:
        return xg_tile_fast_elew(s, &d, &e);
    }
}

static void same_memories(const bench *b, int k, uint64_t seed) {
    for (int mem = 1; mem < XG_TILE_MEMS; mem++)
        for (uint64_t i = 0; i < b->st[0]->mem_bytes[mem]; i++)
            if (b->st[SCALAR]->mem[mem][i] != b->st[k]->mem[mem][i]) {
                print_message("seed %llu %s %d: memory %d byte %llu is %d, expected %d\n",
                              (unsigned long long)seed, xg_tile_inst[b->in.op].mnemonic, k, mem,
                              (unsigned long long)i, b->st[k]->mem[mem][i],
                              b->st[SCALAR]->mem[mem][i]);
                fail();
            }
}

enum { IMPOSSIBLE = -1 };

/* What a program check would refuse for overlap runs here too: then the scalar form must be taken.
 */
static int one_instruction(xg_ctx *c, uint64_t seed, void (*operands)(bench *b)) {
    bench b;
    xg_arena *a = xg_arena_new(c);
    int taken = IMPOSSIBLE;
    begin(&b, a, seed);
    operands(&b);
    xg_regs regs = {0};
    xg_regs_track(&xg_tile_family, &regs, &b.init);
    xg_tile_operands d;
    char no[XG_TILE_WHY_BYTES];
    if (xg_tile_operands_of(&b.m, &regs, &b.in, &d, no)) {
        for (int k = 1; k < 3; k++)
            for (int mem = 1; mem < XG_TILE_MEMS; mem++)
                memcpy(b.st[k]->mem[mem], b.st[0]->mem[mem], b.st[0]->mem_bytes[mem]);
        const char *why[2];
        for (int k = SCALAR; k <= USUAL; k++) {
            assert_null(xg_tile_family.exec(b.st[k], &b.init));
            why[k] = xg_tile_family.exec(b.st[k], &b.in);
        }
        assert_int_equal(why[0] != NULL, why[1] != NULL);
        if (why[0]) assert_string_equal(why[0], why[1]);
        taken = alone(&b);
        if (!why[0]) same_memories(&b, USUAL, seed);
        if (taken) same_memories(&b, ALONE, seed);
        if (why[0]) assert_false(taken);
    }
    xg_arena_free(a);
    return taken;
}

static void instructions(void **state, int n, double share, void (*operands)(bench *b)) {
    const xg_test *t = *state;
    const xg_cpu host = xg_cpu_level();
    for (int level = 0; level <= (int)host; level++) {
        setenv("XGC_ISA", xg_cpu_name((xg_cpu)level), 1);
        int run = 0, taken = 0;
        for (uint64_t i = 0; run < n && i < 20 * (uint64_t)n; i++) {
            int k = one_instruction(t->c, 104729 * i + 3, operands);
            if (k == IMPOSSIBLE) continue;
            run++;
            taken += k;
        }
        assert_int_equal(run, n);
        print_message("%s: %d of %d taken\n", xg_cpu_name((xg_cpu)level), taken, n);
        if (operands == conv_operands && level < XG_CPU_AVX2)
            assert_int_equal(taken, 0);
        else
            assert_true(taken >= share * n);
    }
    unsetenv("XGC_ISA");
}

static void test_conv(void **state) {
    instructions(state, 700, 0.65, conv_operands);
}
static void test_dwconv(void **state) {
    instructions(state, 300, 0.65, dw_operands);
}
static void test_pool(void **state) {
    instructions(state, 300, 0.8, pool_operands);
}
static void test_elew(void **state) {
    instructions(state, 300, 0.85, elew_operands);
}

/* A CONV, a pixel of its input loaded anew, the CONV again: nothing that is kept may be stale. */
static bool again(xg_ctx *c, uint64_t seed) {
    bench b;
    char why[XG_TILE_WHY_BYTES];
    xg_tile_operands d;
    xg_arena *a = xg_arena_new(c);
    begin(&b, a, seed);
    conv_operands(&b);
    xg_inst load = test_inst(XG_T_LOAD);
    const int32_t *in = b.in.f, *init = b.init.f;
    SET(load, LOAD, reg, XG_REG_IN), SET(load, LOAD, rows, 1), SET(load, LOAD, cols, 1);
    SET(load, LOAD, ch, b.m.tile.icp < 16 ? (int32_t)b.m.tile.icp : 16), SET(load, LOAD, fold, 1);
    SET(load, LOAD, addr, in[XG_F(CONV, in_addr)]);
    SET(load, LOAD, row0, in[XG_F(CONV, in_row0)]);
    SET(load, LOAD, ring, init[XG_F(CONVINIT, in_ring)]);
    SET(load, LOAD, il, init[XG_F(CONVINIT, in_il)]);
    SET(load, LOAD, row, init[XG_F(CONVINIT, in_row)]);
    SET(load, LOAD, pix, init[XG_F(CONVINIT, in_pix)]);
    xg_regs regs = {0};
    xg_regs_track(&xg_tile_family, &regs, &b.init);
    bool ran = xg_tile_operands_of(&b.m, &regs, &b.in, &d, why) &&
               xg_tile_operands_of(&b.m, &regs, &load, &d, why);
    for (int mem = 1; ran && mem < XG_TILE_MEMS; mem++)
        memcpy(b.st[USUAL]->mem[mem], b.st[SCALAR]->mem[mem], b.st[SCALAR]->mem_bytes[mem]);
    const xg_inst *const run[] = {&b.init, &b.in, &load, &b.in};
    for (size_t i = 0; ran && i < XG_COUNT(run); i++) {
        ran = !xg_tile_family.exec(b.st[SCALAR], run[i]);
        assert_int_equal(ran, !xg_tile_family.exec(b.st[USUAL], run[i]));
    }
    if (ran) same_memories(&b, USUAL, seed);
    xg_arena_free(a);
    return ran;
}

static void test_again(void **state) {
    const xg_test *t = *state;
    int run = 0;
    for (uint64_t i = 0; i < 2000; i++) run += again(t->c, 7907 * i + 5);
    assert_true(run > 300);
}

/* ---- programs -------------------------------------------------------------------------------- */

static uint64_t run_program(xg_test *t, xg_arena *a, const xg_machine *m, const xg_segment *seg,
                            uint64_t seed, bool scalar) {
    xg_sim *sim = rp_sim(a, m, seed);
    for (uint32_t k = 0; scalar && k < m->cores; k++)
        ((xg_tile_scratch *)xg_sim_core(sim, k)->scratch)->fast->rows = NULL;
    assert_ok(t->c, xg_sim_run(t->c, sim, seg, NULL));
    return rp_digest(sim, m);
}

static void test_programs(void **state) {
    xg_test *t = *state;
    const xg_cpu host = xg_cpu_level();
    for (uint64_t seed = 1; seed <= 60; seed++) {
        xg_arena *a = xg_arena_new(t->c);
        const xg_machine m = rp_machine(1 + (uint32_t)(seed % 2));
        xg_segment seg = rp_segment(a, &m, seed, 3, 25);
        for (uint32_t k = 0; k < seg.ncore; k++)
            assert_ok(t->c, xg_add_tokens(a, &m, &seg.core[k]));
        const uint64_t want = run_program(t, a, &m, &seg, seed, true);
        for (int level = 0; level <= (int)host; level++) {
            setenv("XGC_ISA", xg_cpu_name((xg_cpu)level), 1);
            assert_true(run_program(t, a, &m, &seg, seed, false) == want);
        }
        unsetenv("XGC_ISA");
        xg_arena_free(a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_requantise), TEST(test_add),  TEST(test_conv),     TEST(test_dwconv),
        TEST(test_pool),       TEST(test_elew), TEST(test_programs), TEST(test_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

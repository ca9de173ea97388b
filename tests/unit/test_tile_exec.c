/* Each instruction against a naive form of its sentence in isa/tile_rows.h, on random operands and
 * machines: all memory must be equal afterwards, and the words that the naive form reads and writes
 * are the ones that family->access() names. Requantisation comes from base/fixed.c here. */
#include "tile_test.h"

#include "isa/sim.h"
#include "isa/tile_operands.h"

enum { DDR = 1 << 16 };

typedef struct bench {
    xg_machine m;
    xg_sim *sim;
    xg_state *st;
    uint8_t *want[4]; /* expected memories by id; 0 = workspace region */
    uint8_t *flag[4],
        *seen[4]; /* 1 read, 2 written: by the naive form, by access(); a word, or a byte */
    uint64_t s;
    xg_arena *a;
} bench;

static size_t units(const bench *b, int mem) {
    const xg_tile_machine *t = &b->m.tile;
    return mem == 0           ? DDR
           : mem == XG_MEM_FM ? t->pp * t->fm_depth
           : mem == XG_MEM_W  ? t->ocp * t->w_depth
                              : t->param_bytes;
}

static void bench_init(bench *b, xg_arena *a, uint64_t seed) {
    static const char *const profiles[] = {"ort", "tflite1", "tflite2", "mul16"};
    static const uint32_t sizes[][3] = {{2, 4, 4},  {4, 12, 12}, {8, 16, 16},
                                        {3, 5, 10}, {4, 8, 4},   {1, 4, 8}};
    memset(b, 0, sizeof *b);
    b->s = seed, b->a = a;
    const uint32_t *z = sizes[seed % XG_COUNT(sizes)];
    b->m = tile_test_machine(z[0], z[1], z[2], 1, profiles[xg_random(&b->s) % XG_COUNT(profiles)]);
    b->m.rq.weight_zero_point = b->m.rq.act_zero_point = b->m.rq.per_channel = true;
    uint64_t bytes[XG_REGIONS] = {16, DDR, 16, 16};
    assert_int_equal(xg_sim_new(a, &b->m, bytes, &b->sim), XG_OK);
    b->st = (xg_state *)(uintptr_t)xg_sim_core(b->sim, 0);
    for (int mem = 0; mem < 4; mem++) {
        uint8_t *p = mem ? b->st->mem[mem] : b->st->ddr[XG_REG_WORK];
        size_t n = mem ? b->st->mem_bytes[mem] : DDR;
        for (size_t i = 0; i < n; i++) p[i] = (uint8_t)xg_random(&b->s);
        b->want[mem] = xg_memdup(a, p, n);
        b->flag[mem] = xg_alloc(a, units(b, mem));
        b->seen[mem] = xg_alloc(a, units(b, mem));
    }
}

/* ---- naive addressing
 * ---------------------------------------------------------------------------------------------- */

typedef struct place {
    int32_t addr, row0, ring, il, row, pix, lane;
} place;

/* Byte of channel c of pixel x of row r, marked. */
static uint8_t *elem(bench *b, const place *v, int32_t r, int32_t x, int32_t c, int mark) {
    int32_t pp = (int32_t)b->m.tile.pp, icp = (int32_t)b->m.tile.icp, h = v->row0 + r;
    if (v->ring) h = h % v->ring;
    int32_t bank = (h / v->il) % pp, k = (v->lane + c) / icp;
    int32_t word = v->addr + (h / (v->il * pp) * v->il + h % v->il) * v->row + x * v->pix + k;
    assert_in_range(word, 0, b->m.tile.fm_depth - 1);
    size_t unit = (size_t)bank * b->m.tile.fm_depth + (size_t)word;
    b->flag[XG_MEM_FM][unit] |= (uint8_t)mark;
    return &b->want[XG_MEM_FM][unit * (size_t)icp + (size_t)((v->lane + c) % icp)];
}

static int32_t read_elem(bench *b, const place *v, int32_t r, int32_t x, int32_t c) {
    return *(int8_t *)elem(b, v, r, x, c, 1);
}

/* Whole words are read: all lanes of a pixel's channel words, also those past ch. */
static void mark_pixel(bench *b, const place *v, int32_t r, int32_t x, int32_t ch) {
    for (int32_t c = 0; c < ch; c++) (void)elem(b, v, r, x, c, 1);
}

static uint8_t *ddr_byte(bench *b, int64_t at, int mark) {
    assert_in_range(at, 0, DDR - 1);
    b->flag[0][at] |= (uint8_t)mark;
    return &b->want[0][at];
}

static int32_t param_i32(bench *b, int32_t at) {
    uint32_t v = 0;
    for (int i = 3; i >= 0; i--)
        v = v << 8 | b->want[XG_MEM_PARAM][at + i], b->flag[XG_MEM_PARAM][at + i] |= 1;
    return (int32_t)v;
}

/* A view of rows x cols x ch in words [lo, lo + room) of every bank; false when it does not fit. */
static bool random_view(bench *b, int32_t rows, int32_t cols, int32_t ch, bool lanes, int32_t lo,
                        int32_t room, place *v) {
    const xg_tile_machine *t = &b->m.tile;
    int32_t icp = (int32_t)t->icp, pp = (int32_t)t->pp;
    v->lane = lanes ? test_in(&b->s, 0, icp - 1) : 0;
    int32_t words = (v->lane + ch + icp - 1) / icp;
    v->pix = words + test_in(&b->s, 0, 2) * test_in(&b->s, 0, 1);
    v->row = cols * v->pix + test_in(&b->s, 0, 2);
    v->il = test_in(&b->s, 1, 3);
    v->row0 = test_in(&b->s, 0, 9);
    v->ring = xg_random(&b->s) & 1 ? rows + test_in(&b->s, 0, 4) : 0;
    int32_t top = v->ring ? v->ring : v->row0 + rows, slots = (top / (v->il * pp) + 1) * v->il;
    if (slots * v->row > room) return false;
    v->addr = lo + test_in(&b->s, 0, room - slots * v->row);
    return true;
}

/* ---- comparing
 * ----------------------------------------------------------------------------------------------------
 */

static void see(void *arg, const xg_access *x) {
    bench *b = arg;
    static const uint8_t mark[2] = {1, 2};
    for (uint32_t r = 0; r < x->rows; r++)
        for (uint32_t i = 0; i < x->count; i++) {
            size_t unit = x->addr + (size_t)r * x->row_step + (size_t)i * x->step;
            if (x->mem == XG_MEM_FM) unit += (size_t)x->bank * b->m.tile.fm_depth;
            if (x->mem == XG_MEM_W) unit += (size_t)x->bank * b->m.tile.w_depth;
            assert_true(unit < units(b, x->mem));
            b->seen[x->mem][unit] |= mark[x->write];
        }
}

static void run_and_compare(bench *b, const xg_inst *init, const xg_inst *in) {
    const xg_family *f = &xg_tile_family;
    if (init) {
        assert_null(f->exec(b->st, init));
        assert_null(f->check(b->a, &b->m, &b->st->regs, init));
    }
    const char *why = f->check(b->a, &b->m, &b->st->regs, in);
    if (why) print_message("%s\n", why);
    assert_null(why);
    f->access(&b->m, &b->st->regs, in, see, b);
    why = f->exec(b->st, in);
    if (why) print_message("%s\n", why);
    assert_null(why);
    for (int mem = 0; mem < 4; mem++) {
        const uint8_t *got = mem ? b->st->mem[mem] : b->st->ddr[XG_REG_WORK];
        size_t n = mem ? b->st->mem_bytes[mem] : DDR;
        for (size_t i = 0; i < n; i++)
            if (got[i] != b->want[mem][i]) {
                print_message("%s: memory %d byte %zu is %d, expected %d\n",
                              xg_tile_inst[in->op].mnemonic, mem, i, got[i], b->want[mem][i]);
                fail();
            }
        for (size_t i = 0; i < units(b, mem); i++)
            if (b->flag[mem][i] != b->seen[mem][i]) {
                print_message("%s: memory %d unit %zu accessed %d, expected %d\n",
                              xg_tile_inst[in->op].mnemonic, mem, i, b->seen[mem][i],
                              b->flag[mem][i]);
                fail();
            }
    }
    xg_cost cost;
    f->cost(&b->m, &b->st->regs, in, &cost);
    assert_true(cost.cycles > 0);
}

#define PLACE1(in, OP, v)                                                                          \
    (SET(in, OP, addr, (v).addr), SET(in, OP, row0, (v).row0), SET(in, OP, ring, (v).ring),        \
     SET(in, OP, il, (v).il), SET(in, OP, row, (v).row), SET(in, OP, pix, (v).pix),                \
     SET(in, OP, lane, (v).lane))
#define PLACE2(init, I, in, OP, p, v)                                                              \
    (SET(in, OP, p##_addr, (v).addr), SET(in, OP, p##_row0, (v).row0),                             \
     SET(init, I, p##_ring, (v).ring), SET(init, I, p##_il, (v).il),                               \
     SET(init, I, p##_row, (v).row), SET(init, I, p##_pix, (v).pix))

/* ---- LOAD, SAVE
 * -----------------------------------------------------------------------------------------------------
 */

static bool move_case(bench *b, bool save) {
    xg_inst in = test_inst(save ? XG_T_SAVE : XG_T_LOAD);
    int32_t rows = test_in(&b->s, 1, 6), cols = test_in(&b->s, 1, 6), ch = test_in(&b->s, 1, 20);
    int32_t fold = !save && (xg_random(&b->s) & 1) ? test_in(&b->s, 2, 5) : 1,
            fold_s = test_in(&b->s, 1, 4);
    int32_t pad = test_in(&b->s, 0, 5), cols_in = test_in(&b->s, 1, 12),
            fill = test_in(&b->s, -128, 127);
    place v;
    if (!random_view(b, rows, cols, ch * fold, true, 0, 256, &v)) return false;
    int32_t pix = ch + test_in(&b->s, 0, 1) * test_in(&b->s, 0, 9),
            row = 24 * pix + test_in(&b->s, 0, 5), at = test_in(&b->s, 0, 999);
    for (int32_t r = 0; r < rows; r++)
        for (int32_t x = 0; x < cols; x++)
            for (int32_t c = 0; c < ch * fold; c++) {
                int64_t col = fold > 1 ? (int64_t)x * fold_s - pad + c / ch : x;
                bool there = fold == 1 || (col >= 0 && col < cols_in);
                int64_t d = at + (int64_t)r * row + col * pix + c % ch;
                if (save)
                    *ddr_byte(b, d, 2) = *elem(b, &v, r, x, c, 1);
                else
                    *elem(b, &v, r, x, c, 2) = there ? *ddr_byte(b, d, 1) : (uint8_t)fill;
            }
    if (save) {
        SET(in, SAVE, reg, XG_REG_WORK), SET(in, SAVE, ddr, at), SET(in, SAVE, rows, rows),
            SET(in, SAVE, cols, cols);
        SET(in, SAVE, ch, ch), SET(in, SAVE, ddr_row, row), SET(in, SAVE, ddr_pix, pix);
        PLACE1(in, SAVE, v);
    } else {
        SET(in, LOAD, reg, XG_REG_WORK), SET(in, LOAD, ddr, at), SET(in, LOAD, rows, rows),
            SET(in, LOAD, cols, cols);
        SET(in, LOAD, ch, ch), SET(in, LOAD, ddr_row, row), SET(in, LOAD, ddr_pix, pix),
            SET(in, LOAD, fold, fold);
        SET(in, LOAD, fold_s, fold_s), SET(in, LOAD, fold_pad, pad),
            SET(in, LOAD, fold_in, cols_in), SET(in, LOAD, fill, fill);
        PLACE1(in, LOAD, v);
    }
    run_and_compare(b, NULL, &in);
    return true;
}

static bool load_case(bench *b) {
    return move_case(b, false);
}
static bool save_case(bench *b) {
    return move_case(b, true);
}

static bool loadw_case(bench *b) {
    xg_inst in = test_inst(XG_T_LOADW);
    int32_t words = test_in(&b->s, 1, 64), addr = test_in(&b->s, 0, 64 - words),
            banks = test_in(&b->s, 1, (int32_t)b->m.tile.ocp);
    int32_t at = test_in(&b->s, 0, 99), icp = (int32_t)b->m.tile.icp;
    for (int32_t k = 0; k < banks; k++)
        for (int32_t w = 0; w < words; w++)
            for (int32_t i = 0; i < icp; i++) {
                size_t unit = (size_t)(k * 64 + addr + w);
                b->flag[XG_MEM_W][unit] |= 2;
                b->want[XG_MEM_W][unit * (size_t)icp + (size_t)i] =
                    *ddr_byte(b, at + (k * words + w) * icp + i, 1);
            }
    SET(in, LOADW, reg, XG_REG_WORK), SET(in, LOADW, ddr, at), SET(in, LOADW, addr, addr),
        SET(in, LOADW, words, words);
    SET(in, LOADW, banks, banks);
    run_and_compare(b, NULL, &in);
    return true;
}

static bool loadp_case(bench *b) {
    xg_inst in = test_inst(XG_T_LOADP);
    int32_t n = test_in(&b->s, 1, 4096), addr = test_in(&b->s, 0, 4096 - n),
            at = test_in(&b->s, 0, 99);
    for (int32_t i = 0; i < n; i++) {
        b->flag[XG_MEM_PARAM][addr + i] |= 2;
        b->want[XG_MEM_PARAM][addr + i] = *ddr_byte(b, at + i, 1);
    }
    SET(in, LOADP, reg, XG_REG_WORK), SET(in, LOADP, ddr, at), SET(in, LOADP, addr, addr),
        SET(in, LOADP, bytes, n);
    run_and_compare(b, NULL, &in);
    return true;
}

/* ---- windows
 * ----------------------------------------------------------------------------------------------------------
 */

typedef struct win {
    int32_t kh, kw, sh, sw, dh, dw, pt, pl, in_rows, in_cols, rows, cols;
} win;

static win random_window(bench *b, int32_t rows_max) {
    win w = {test_in(&b->s, 1, 3),
             test_in(&b->s, 1, 3),
             test_in(&b->s, 1, 3),
             test_in(&b->s, 1, 3),
             test_in(&b->s, 1, 2),
             test_in(&b->s, 1, 2),
             0,
             0,
             0,
             0,
             0,
             0};
    w.pt = test_in(&b->s, 0, 2), w.pl = test_in(&b->s, 0, 2);
    w.in_rows = test_in(&b->s, 1, 6), w.in_cols = test_in(&b->s, 1, 7);
    w.rows = test_in(&b->s, 1, rows_max), w.cols = test_in(&b->s, 1, 5);
    return w;
}

/* Input row and column of a tap; false outside. */
static bool tap_at(const win *w, int32_t r, int32_t x, int32_t y, int32_t t, int32_t *i,
                   int32_t *j) {
    *i = r * w->sh + y * w->dh - w->pt, *j = x * w->sw + t * w->dw - w->pl;
    return *i >= 0 && *i < w->in_rows && *j >= 0 && *j < w->in_cols;
}

#define SET_WIN(init, I, in, OP, w)                                                                \
    (SET(init, I, kh, (w).kh), SET(init, I, kw, (w).kw), SET(init, I, sh, (w).sh),                 \
     SET(init, I, sw, (w).sw), SET(init, I, dh, (w).dh), SET(init, I, dw, (w).dw),                 \
     SET(in, OP, pad_top, (w).pt), SET(in, OP, in_rows, (w).in_rows),                              \
     SET(in, OP, pad_left, (w).pl), SET(in, OP, in_cols, (w).in_cols),                             \
     SET(in, OP, rows, (w).rows), SET(in, OP, cols, (w).cols))

typedef struct quant {
    int32_t zi, zw, zo, lo, hi, chan;
    xg_rq q;
} quant;

static xg_rq random_rq(bench *b) {
    xg_rq q;
    float num = 0.01f + (float)(xg_random(&b->s) % 1000) * 1e-4f, den = 3.0f;
    assert_true(xg_rq_derive(&b->m.rq, &num, 1, den, &q));
    return q;
}

static quant random_quant(bench *b) {
    quant q = {.zi = test_in(&b->s, -128, 127),
               .zw = test_in(&b->s, -128, 127),
               .zo = test_in(&b->s, -128, 127)};
    q.lo = test_in(&b->s, -128, 0), q.hi = test_in(&b->s, 1, 127), q.chan = test_in(&b->s, 0, 1);
    q.q = random_rq(b);
    return q;
}

#define SET_QUANT(init, I, z)                                                                      \
    (SET(init, I, zp_in, (z).zi), SET(init, I, zp_w, (z).zw), SET(init, I, zp_out, (z).zo),        \
     SET(init, I, lo, (z).lo), SET(init, I, hi, (z).hi), SET(init, I, chan, (z).chan),             \
     SET(init, I, mult, (z).q.mult), SET(init, I, shift, (z).q.shift))

/* Sensible records for n channels in both memories; biases stay small enough for every accumulator.
 */
static void fill_records(bench *b, int32_t p_addr, int32_t n, int32_t chan) {
    for (int32_t o = 0; o < n; o++) {
        int32_t rec[3] = {test_in(&b->s, -5000, 5000), 0, 0};
        xg_rq q = random_rq(b);
        rec[1] = q.mult, rec[2] = q.shift;
        size_t bytes = chan ? 12 : 4, at = (size_t)p_addr + (size_t)o * bytes;
        memcpy(b->want[XG_MEM_PARAM] + at, rec, bytes);
        memcpy(b->st->mem[XG_MEM_PARAM] + at, rec, bytes);
    }
}

static int32_t apply(bench *b, const quant *z, int32_t p_addr, int32_t o, int64_t acc, bool bias) {
    int32_t size = z->chan ? 12 : 4;
    if (bias) acc += param_i32(b, p_addr + o * size);
    xg_rq q = z->q;
    if (z->chan)
        q = (xg_rq){param_i32(b, p_addr + o * size + 4), param_i32(b, p_addr + o * size + 8)};
    return xg_rq_apply(&b->m.rq, q, acc, z->zo, z->lo, z->hi);
}

/* Partial sum of channel o: little-endian, marked with the words it lies in. */
static uint8_t *psum_at(bench *b, int32_t psum, int32_t r, int32_t x, int32_t o, int i, int mark) {
    int32_t icp = (int32_t)b->m.tile.icp, step = (4 * (int32_t)b->m.tile.ocp + icp - 1) / icp;
    size_t word = (size_t)(psum + x * step + (4 * o + i) / icp),
           unit = (size_t)r * b->m.tile.fm_depth + word;
    b->flag[XG_MEM_FM][unit] |= (uint8_t)mark;
    return &b->want[XG_MEM_FM][unit * (size_t)icp + (size_t)((4 * o + i) % icp)];
}

static int64_t conv_sum(bench *b, const win *w, const quant *z, const place *v, int32_t r,
                        int32_t x, int32_t o, int32_t icw, int32_t w_addr) {
    int64_t sum = 0;
    int32_t icp = (int32_t)b->m.tile.icp, i, j;
    for (int32_t y = 0; y < w->kh; y++)
        for (int32_t t = 0; t < w->kw; t++)
            for (int32_t c = 0; c < icw * icp; c++) {
                size_t unit = (size_t)(o * 64 + w_addr + (y * w->kw + t) * icw + c / icp);
                b->flag[XG_MEM_W][unit] |= 1;
                int32_t wt = (int8_t)b->want[XG_MEM_W][unit * (size_t)icp + (size_t)(c % icp)];
                if (tap_at(w, r, x, y, t, &i, &j))
                    sum += (int64_t)(read_elem(b, v, i, j, c) - z->zi) * (wt - z->zw);
            }
    return sum;
}

static bool conv_case(bench *b) {
    xg_inst init = test_inst(XG_T_CONVINIT), in = test_inst(XG_T_CONV);
    win w = random_window(b, (int32_t)b->m.tile.pp);
    quant z = random_quant(b);
    int32_t icw = test_in(&b->s, 1, 3), oc = test_in(&b->s, 1, (int32_t)b->m.tile.ocp),
            words = w.kh * w.kw * icw;
    int32_t acc_in = test_in(&b->s, 0, 1), acc_out = test_in(&b->s, 0, 1),
            w_addr = test_in(&b->s, 0, 64 - words);
    int32_t p_addr = test_in(&b->s, 0, 1000), psum = test_in(&b->s, 180, 190);
    place v, out;
    if (!random_view(b, w.in_rows, w.in_cols, icw * (int32_t)b->m.tile.icp, false, 0, 90, &v))
        return false;
    if (!random_view(b, w.rows, w.cols, oc, true, 90, 90, &out)) return false;
    fill_records(b, p_addr, oc, z.chan);
    for (int32_t r = 0; r < w.rows; r++)
        for (int32_t x = 0; x < w.cols; x++)
            for (int32_t o = 0; o < oc && acc_in; o++) /* sane sums to start from */
                for (int k = 0; k < 4; k++) {
                    uint8_t byte = k < 2 ? (uint8_t)xg_random(&b->s) : (r + x + o) % 2 ? 0xff : 0;
                    uint8_t *p = psum_at(b, psum, r, x, o, k, 1);
                    *p = byte;
                    b->st->mem[XG_MEM_FM][p - b->want[XG_MEM_FM]] = byte;
                }
    for (int32_t r = 0; r < w.rows; r++)
        for (int32_t x = 0; x < w.cols; x++)
            for (int32_t o = 0; o < oc; o++) {
                int64_t acc = conv_sum(b, &w, &z, &v, r, x, o, icw, w_addr);
                uint32_t from = 0;
                for (int k = 3; k >= 0 && acc_in; k--)
                    from = from << 8 | *psum_at(b, psum, r, x, o, k, 1);
                acc += (int32_t)from;
                if (!acc_out) {
                    *elem(b, &out, r, x, o, 2) = (uint8_t)apply(b, &z, p_addr, o, acc, !acc_in);
                    continue;
                }
                if (!acc_in) acc += param_i32(b, p_addr + o * (z.chan ? 12 : 4));
                for (int k = 0; k < 4; k++)
                    *psum_at(b, psum, r, x, o, k, 2) = (uint8_t)((uint64_t)acc >> (8 * k));
            }
    bool records = !acc_in || (!acc_out && z.chan); /* read whole */
    for (int32_t i = 0; records && i < oc * (z.chan ? 12 : 4); i++)
        b->flag[XG_MEM_PARAM][p_addr + i] |= 1;
    SET_WIN(init, CONVINIT, in, CONV, w);
    SET_QUANT(init, CONVINIT, z);
    PLACE2(init, CONVINIT, in, CONV, in, v);
    PLACE2(init, CONVINIT, in, CONV, out, out);
    SET(in, CONV, icw, icw), SET(in, CONV, w_addr, w_addr), SET(in, CONV, p_addr, p_addr),
        SET(in, CONV, out_lane, out.lane);
    SET(in, CONV, oc, oc), SET(in, CONV, acc_in, acc_in), SET(in, CONV, acc_out, acc_out),
        SET(in, CONV, psum, psum);
    run_and_compare(b, &init, &in);
    return true;
}

static bool dwconv_case(bench *b) {
    xg_inst init = test_inst(XG_T_DWINIT), in = test_inst(XG_T_DWCONV);
    win w = random_window(b, 6);
    quant z = random_quant(b);
    int32_t icp = (int32_t)b->m.tile.icp, ch = test_in(&b->s, 1, 2 * icp),
            padded = (ch + icp - 1) / icp * icp;
    int32_t p_addr = test_in(&b->s, 0, 1000), w_addr = test_in(&b->s, 2000, 2500), i, j;
    place v, out;
    if (!random_view(b, w.in_rows, w.in_cols, ch, false, 0, 128, &v)) return false;
    if (!random_view(b, w.rows, w.cols, ch, false, 128, 128, &out)) return false;
    fill_records(b, p_addr, ch, z.chan);
    for (int32_t k = 0; k < w.kh * w.kw * padded; k++) b->flag[XG_MEM_PARAM][w_addr + k] |= 1;
    for (int32_t r = 0; r < w.rows; r++)
        for (int32_t x = 0; x < w.cols; x++)
            for (int32_t c = 0; c < ch; c++) {
                int64_t acc = 0;
                for (int32_t k = 0; k < w.kh * w.kw; k++) {
                    if (!tap_at(&w, r, x, k / w.kw, k % w.kw, &i, &j)) continue;
                    int32_t wt = (int8_t)b->want[XG_MEM_PARAM][w_addr + k * padded + c];
                    acc += (int64_t)(read_elem(b, &v, i, j, c) - z.zi) * (wt - z.zw);
                }
                *elem(b, &out, r, x, c, 2) = (uint8_t)apply(b, &z, p_addr, c, acc, true);
            }
    SET_WIN(init, DWINIT, in, DWCONV, w);
    SET_QUANT(init, DWINIT, z);
    PLACE2(init, DWINIT, in, DWCONV, in, v);
    PLACE2(init, DWINIT, in, DWCONV, out, out);
    SET(in, DWCONV, w_addr, w_addr), SET(in, DWCONV, p_addr, p_addr), SET(in, DWCONV, ch, ch);
    run_and_compare(b, &init, &in);
    return true;
}

static bool pool_case(bench *b) {
    xg_inst init = test_inst(XG_T_POOLINIT), in = test_inst(XG_T_POOL);
    win w = random_window(b, 6);
    quant z = random_quant(b);
    int32_t kind = test_in(&b->s, 0, 2), ch = test_in(&b->s, 1, 2 * (int32_t)b->m.tile.icp), i, j;
    xg_poolrq q = {.n = w.kh * w.kw};
    place v, out;
    if (!random_view(b, w.in_rows, w.in_cols, ch, false, 0, 128, &v)) return false;
    if (!random_view(b, w.rows, w.cols, ch, false, 128, 128, &out)) return false;
    if (kind) assert_true(xg_pool_derive(&b->m.rq, 0.031f, 0.027f, w.kh * w.kw, kind == 2, &q));
    for (int32_t r = 0; r < w.rows; r++)
        for (int32_t x = 0; x < w.cols; x++)
            for (int32_t c = 0; c < ch; c++) {
                int32_t n = 0, best = -128, taps[9];
                for (int32_t k = 0; k < w.kh * w.kw; k++) {
                    if (!tap_at(&w, r, x, k / w.kw, k % w.kw, &i, &j)) continue;
                    int32_t e = read_elem(b, &v, i, j, c);
                    taps[n++] = e - z.zi;
                    if (e > best) best = e;
                }
                int32_t y = kind ? xg_pool_apply(&b->m.rq, &q, taps, n, z.zo, z.lo, z.hi)
                                 : (int32_t)xg_clamp(best, z.lo, z.hi);
                *elem(b, &out, r, x, c, 2) = (uint8_t)y;
            }
    SET_WIN(init, POOLINIT, in, POOL, w);
    SET(init, POOLINIT, kind, kind), SET(init, POOLINIT, zp_in, z.zi),
        SET(init, POOLINIT, zp_out, z.zo);
    SET(init, POOLINIT, lo, z.lo), SET(init, POOLINIT, hi, z.hi), SET(init, POOLINIT, count, q.n);
    SET(init, POOLINIT, mult, q.m.mult), SET(init, POOLINIT, shift, q.m.shift),
        SET(init, POOLINIT, mult2, q.d.mult);
    PLACE2(init, POOLINIT, in, POOL, in, v);
    PLACE2(init, POOLINIT, in, POOL, out, out);
    SET(in, POOL, ch, ch);
    run_and_compare(b, &init, &in);
    return true;
}

/* ---- element by element
 * ---------------------------------------------------------------------------------------------- */

static bool elew_case(bench *b) {
    xg_inst init = test_inst(XG_T_ELEWINIT), in = test_inst(XG_T_ELEW);
    quant z = random_quant(b);
    int32_t rows = test_in(&b->s, 1, 6), cols = test_in(&b->s, 1, 6),
            ch = test_in(&b->s, 1, 2 * (int32_t)b->m.tile.icp);
    int32_t kind = test_in(&b->s, 0, 1);
    place va, vb, out;
    if (!random_view(b, rows, cols, ch, false, 0, 80, &va) ||
        !random_view(b, rows, cols, ch, false, 80, 80, &vb) ||
        !random_view(b, rows, cols, ch, false, 160, 96, &out))
        return false;
    if (xg_random(&b->s) & 1) vb.pix = 0, vb.ring = 1, vb.il = 1; /* one pixel for all */
    xg_addrq q = {0};
    if (kind)
        assert_true(xg_mul_derive(&b->m.rq, 0.02f, 0.03f, 0.05f, &q.o));
    else
        assert_true(xg_add_derive(&b->m.rq, 0.02f, z.zi, 0.03f, z.zw, 0.04f, z.zo, &q));
    for (int32_t r = 0; r < rows; r++)
        for (int32_t x = 0; x < cols; x++)
            for (int32_t c = 0; c < ch; c++) {
                int32_t a = read_elem(b, &va, r, x, c), bb = read_elem(b, &vb, r, x, c);
                int32_t y =
                    kind ? xg_mul_apply(&b->m.rq, q.o, (a - z.zi) * (bb - z.zw), z.zo, z.lo, z.hi)
                         : xg_add_apply(&b->m.rq, &q, a, bb, z.lo, z.hi);
                *elem(b, &out, r, x, c, 2) = (uint8_t)y;
            }
    SET(init, ELEWINIT, kind, kind), SET(init, ELEWINIT, zp_a, z.zi),
        SET(init, ELEWINIT, zp_b, z.zw);
    SET(init, ELEWINIT, zp_out, z.zo), SET(init, ELEWINIT, lo, z.lo), SET(init, ELEWINIT, hi, z.hi);
    SET(init, ELEWINIT, mult_a, q.a.mult), SET(init, ELEWINIT, shift_a, q.a.shift),
        SET(init, ELEWINIT, mult_b, q.b.mult);
    SET(init, ELEWINIT, shift_b, q.b.shift), SET(init, ELEWINIT, mult_o, q.o.mult),
        SET(init, ELEWINIT, shift_o, q.o.shift);
    PLACE2(init, ELEWINIT, in, ELEW, a, va);
    PLACE2(init, ELEWINIT, in, ELEW, b, vb);
    PLACE2(init, ELEWINIT, in, ELEW, out, out);
    SET(in, ELEW, rows, rows), SET(in, ELEW, cols, cols), SET(in, ELEW, ch, ch);
    run_and_compare(b, &init, &in);
    return true;
}

static bool lut_case(bench *b) {
    xg_inst in = test_inst(XG_T_LUT);
    int32_t rows = test_in(&b->s, 1, 6), cols = test_in(&b->s, 1, 6),
            ch = test_in(&b->s, 1, 2 * (int32_t)b->m.tile.icp);
    int32_t table = test_in(&b->s, 0, 4096 - 256);
    place v, out;
    if (!random_view(b, rows, cols, ch, false, 0, 128, &v) ||
        !random_view(b, rows, cols, ch, false, 128, 128, &out))
        return false;
    for (int32_t i = 0; i < 256; i++) b->flag[XG_MEM_PARAM][table + i] |= 1;
    for (int32_t r = 0; r < rows; r++)
        for (int32_t x = 0; x < cols; x++) {
            mark_pixel(b, &v, r, x, ch);
            for (int32_t c = 0; c < ch; c++)
                *elem(b, &out, r, x, c, 2) =
                    b->want[XG_MEM_PARAM][table + read_elem(b, &v, r, x, c) + 128];
        }
    PLACE2(in, LUT, in, LUT, in, v);
    PLACE2(in, LUT, in, LUT, out, out);
    SET(in, LUT, table, table), SET(in, LUT, rows, rows), SET(in, LUT, cols, cols),
        SET(in, LUT, ch, ch);
    run_and_compare(b, NULL, &in);
    return true;
}

/* Each case runs on a fresh machine; most random views fit. */
static void run_cases(void **state, bool (*one)(bench *b), int n) {
    xg_test *t = *state;
    int done = 0;
    for (int i = 0; i < n; i++) {
        xg_arena *a = xg_arena_new(t->c);
        bench b;
        bench_init(&b, a, (uint64_t)i + 1000);
        done += one(&b);
        xg_arena_free(a);
    }
    assert_true(done > n / 5);
}

static void test_load(void **state) {
    run_cases(state, load_case, 300);
}
static void test_save(void **state) {
    run_cases(state, save_case, 300);
}
static void test_loadw(void **state) {
    run_cases(state, loadw_case, 60);
}
static void test_loadp(void **state) {
    run_cases(state, loadp_case, 60);
}
static void test_conv(void **state) {
    run_cases(state, conv_case, 500);
}
static void test_dwconv(void **state) {
    run_cases(state, dwconv_case, 300);
}
static void test_pool(void **state) {
    run_cases(state, pool_case, 300);
}
static void test_elew(void **state) {
    run_cases(state, elew_case, 300);
}
static void test_lut(void **state) {
    run_cases(state, lut_case, 200);
}

/* ---- hostile operands
 * ---------------------------------------------------------------------------------------------------
 */

static int32_t odd_value(uint64_t *s) {
    static const int32_t odd[] = {INT32_MIN, INT32_MAX, -1, 0, 1, 255, 256, 65535, 65536, 1 << 30};
    switch (xg_random(s) % 4) {
    case 0:
        return odd[xg_random(s) % XG_COUNT(odd)];
    case 1:
        return (int32_t)xg_random(s);
    default:
        return test_in(s, 0, 9);
    }
}

static void see_chip(void *arg, const xg_access *x) {
    if (x->mem != XG_MEM_DDR) see(arg, x);
}

/* Any operands: execution stays in bounds (the sanitizers look), and accepts exactly what check()
 * accepts. */
static void test_hostile(void **state) {
    xg_test *t = *state;
    bench b;
    bench_init(&b, t->a, 5);
    int ran = 0;
    for (int i = 0; i < 60000; i++) {
        xg_inst in = test_inst((int)(xg_random(&b.s) % (XG_T_COUNT + 2)));
        int n = in.op < XG_T_COUNT ? xg_tile_inst[in.op].noperand : XG_OPERANDS_MAX;
        bool wild = xg_random(&b.s) & 1;
        for (int k = 0; k < n; k++) in.f[k] = wild ? odd_value(&b.s) : test_in(&b.s, 0, 3);
        if (in.op == XG_T_LOAD || in.op == XG_T_SAVE) in.f[0] = XG_REG_WORK;
        xg_arena *a = xg_arena_new(t->c);
        xg_tile_operands d;
        char text[XG_TILE_WHY_BYTES];
        const char *bad = xg_tile_operands_of(&b.m, &b.st->regs, &in, &d, text) ? NULL : text;
        if (bad) assert_string_equal(xg_tile_check(a, &b.m, &b.st->regs, &in), bad);
        xg_tile_access(&b.m, &b.st->regs, &in, see_chip, &b);
        xg_cost cost;
        xg_tile_cost(&b.m, &b.st->regs, &in, &cost);
        const char *why = xg_tile_exec(b.st, &in);
        if (bad) {
            assert_non_null(why);
            assert_string_equal(bad, why);
        }
        ran += !why && in.op < XG_T_COUNT && !xg_tile_inst[in.op].is_init;
        xg_arena_free(a);
    }
    assert_true(ran > 500);
}

/* One limit each, one step beyond it: named with its value and bounds. */
static void test_refusals(void **state) {
    xg_test *t = *state;
    bench b;
    bench_init(&b, t->a, 2); /* 8 x 16 x 16 */
    xg_inst in = test_inst(XG_T_CONV);
    assert_non_null(
        strstr(xg_tile_check(t->a, &b.m, &b.st->regs, &in), "conv without an earlier convinit"));
    in = test_inst(XG_T_LOADW);
    SET(in, LOADW, words, 65), SET(in, LOADW, banks, 1);
    assert_string_equal(xg_tile_check(t->a, &b.m, &b.st->regs, &in),
                        "loadw words is 65, allowed are 1 to 64");
    SET(in, LOADW, words, 64), SET(in, LOADW, banks, 17);
    assert_string_equal(xg_tile_check(t->a, &b.m, &b.st->regs, &in),
                        "loadw banks is 17, allowed are 1 to 16");
    SET(in, LOADW, banks, 16);
    assert_null(xg_tile_check(t->a, &b.m, &b.st->regs, &in));
    assert_non_null(strstr(xg_tile_exec(b.st, &in), "DDR region ends")); /* region 0 has 16 bytes */
    in = test_inst(XG_T_SAVE);
    SET(in, SAVE, reg, 1), SET(in, SAVE, rows, 1), SET(in, SAVE, cols, 256), SET(in, SAVE, ch, 16),
        SET(in, SAVE, il, 1), SET(in, SAVE, pix, 1);
    SET(in, SAVE, ddr_pix, 16);
    assert_null(xg_tile_check(t->a, &b.m, &b.st->regs, &in));
    SET(in, SAVE, addr, 1);
    assert_string_equal(xg_tile_check(t->a, &b.m, &b.st->regs, &in),
                        "input view row 0 ends at word 257 of its bank, the bank has 256");
    SET(in, SAVE, reg, 0);
    assert_string_equal(xg_tile_check(t->a, &b.m, &b.st->regs, &in),
                        "save reg is 0, allowed are 1 to 3");
}

/* Output over input: refused by the check, except exactly in place for LUT and ELEW; interleaved
 * pixels are no overlap. */
static void test_overlap(void **state) {
    xg_test *t = *state;
    bench b;
    bench_init(&b, t->a, 1); /* 4 x 12 x 12 */
    xg_inst in = test_inst(XG_T_LUT);
    SET(in, LUT, in_il, 1), SET(in, LUT, in_row, 40), SET(in, LUT, in_pix, 4),
        SET(in, LUT, out_il, 1), SET(in, LUT, out_row, 40);
    SET(in, LUT, out_pix, 4), SET(in, LUT, rows, 5), SET(in, LUT, cols, 3), SET(in, LUT, ch, 20);
    static const struct {
        int32_t addr, row0;
        bool ok;
    } cases[] = {{0, 0, true},  {1, 0, false}, {2, 0, true},  {3, 0, false}, {4, 0, false},
                 {9, 0, false}, {10, 0, true}, {0, 4, false}, {0, 8, true}};
    for (size_t i = 0; i < XG_COUNT(cases); i++) {
        SET(in, LUT, out_addr, cases[i].addr), SET(in, LUT, out_row0, cases[i].row0);
        const char *why = xg_tile_check(t->a, &b.m, &b.st->regs, &in);
        if (!why != cases[i].ok) print_message("case %zu: %s\n", i, why ? why : "accepted");
        assert_true(!why == cases[i].ok);
        if (why) assert_string_equal(why, "lut: the output overlaps what the instruction reads");
    }
    /* Many rows go another way to the same answer. */
    SET(in, LUT, in_row, 1), SET(in, LUT, in_pix, 1), SET(in, LUT, out_row, 1),
        SET(in, LUT, out_pix, 1), SET(in, LUT, rows, 400);
    SET(in, LUT, cols, 1), SET(in, LUT, ch, 12), SET(in, LUT, out_row0, 0),
        SET(in, LUT, out_addr, 100);
    assert_null(xg_tile_check(t->a, &b.m, &b.st->regs, &in));
    SET(in, LUT, out_addr, 99);
    assert_non_null(xg_tile_check(t->a, &b.m, &b.st->regs, &in));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_load), TEST(test_save),    TEST(test_loadw),    TEST(test_loadp),
        TEST(test_conv), TEST(test_dwconv),  TEST(test_pool),     TEST(test_elew),
        TEST(test_lut),  TEST(test_hostile), TEST(test_refusals), TEST(test_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

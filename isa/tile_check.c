#include "isa/tile_operands.h"

/* Beside the operands: an instruction does not write what it still reads. The order of accesses
 * inside an instruction belongs to the machine, so overlap would make the result depend on it; only
 * LUT and ELEW may work exactly in place, where each word is read before it is written. */

/* One row of a view: pixel x covers words [base + x*pix, + words). */
typedef struct row {
    uint32_t bank, base, cols, pix, words;
} row;

static row view_row(const xg_machine *m, const xg_tile_view *v, uint32_t r) {
    row o = {0, 0, v->pix ? v->cols : 1, v->pix, v->words};
    o.base = xg_tile_row(m, v, r, &o.bank);
    return o;
}

static uint64_t row_end(const row *r) {
    return r->base + (uint64_t)(r->cols - 1) * r->pix + r->words;
}

/* Whether pixel x of a, words [from, to), meets some pixel of b. */
static bool meets(const row *b, uint64_t from, uint64_t to) {
    if (to <= b->base || from >= row_end(b)) return false;
    if (b->pix == 0) return true;
    uint64_t x = from > b->base ? (from - b->base) / b->pix
                                : 0; /* the last pixel that starts at or before `from` */
    for (; x < b->cols && b->base + x * b->pix < to; x++)
        if (b->base + x * b->pix + b->words > from) return true;
    return false;
}

static bool rows_overlap(const row *a, const row *b) {
    if (a->bank != b->bank || row_end(a) <= b->base || row_end(b) <= a->base) return false;
    for (uint32_t x = 0; x < a->cols; x++) {
        uint64_t from = a->base + (uint64_t)x * a->pix;
        if (meets(b, from, from + a->words)) return true;
    }
    return false;
}

/* Marks the words of a view, or finds one that is marked. */
static bool walk_words(const xg_machine *m, const xg_tile_view *v, uint8_t *marks, bool find) {
    for (uint32_t i = 0; i < v->rows; i++) {
        row r = view_row(m, v, i);
        uint8_t *bank = marks + (size_t)r.bank * m->tile.fm_depth + r.base;
        for (uint32_t x = 0; x < r.cols; x++)
            for (uint32_t k = 0; k < r.words; k++) {
                uint8_t *mark = &bank[(size_t)x * r.pix + k];
                if (find && *mark) return true;
                if (!find) *mark = 1;
            }
    }
    return false;
}

static bool views_overlap(xg_arena *arena, const xg_machine *m, const xg_tile_view *a,
                          const xg_tile_view *b) {
    if ((uint64_t)a->rows * b->rows > 1 << 14) { /* too many pairs of rows: mark words */
        xg_arena *scratch = xg_arena_new(xg_arena_ctx(arena));
        uint8_t *marks = xg_alloc_array(scratch, m->tile.pp, m->tile.fm_depth);
        (void)walk_words(m, a, marks, false);
        bool found = walk_words(m, b, marks, true);
        xg_arena_free(scratch);
        return found;
    }
    for (uint32_t i = 0; i < a->rows; i++) {
        row x = view_row(m, a, i);
        for (uint32_t j = 0; j < b->rows; j++) {
            row y = view_row(m, b, j);
            if (rows_overlap(&x, &y)) return true;
        }
    }
    return false;
}

/* Partial sums against a view: row r of them in bank r. */
static bool sums_overlap(const xg_machine *m, const xg_tile_operands *d, const xg_tile_view *v) {
    for (uint32_t r = 0; d->psum_words && r < d->out.rows; r++) {
        row x = {r, d->psum, d->out.cols, d->psum_step, d->psum_words};
        for (uint32_t j = 0; j < v->rows; j++) {
            row y = view_row(m, v, j);
            if (rows_overlap(&x, &y)) return true;
        }
    }
    return false;
}

static bool same_place(const xg_tile_view *a, const xg_tile_view *b) {
    return a->addr == b->addr && a->row0 == b->row0 && a->ring == b->ring && a->il == b->il &&
           a->row == b->row && a->pix == b->pix;
}

static const char *overlap(xg_arena *a, const xg_machine *m, const xg_tile_operands *d) {
    bool in_place = d->op == XG_T_LUT || d->op == XG_T_ELEW;
    bool acc_out = d->op == XG_T_CONV && d->in->f[XG_F(CONV, acc_out)];
    const xg_tile_view *in[2] = {&d->a, &d->b};
    for (int i = 0; i < 2 && !acc_out; i++)
        if (in[i]->rows && !(in_place && same_place(in[i], &d->out)) &&
            views_overlap(a, m, in[i], &d->out))
            return "the output overlaps what the instruction reads";
    if (sums_overlap(m, d, &d->a)) return "the partial sums overlap the input";
    if (!acc_out && sums_overlap(m, d, &d->out)) return "the output overlaps the partial sums";
    return NULL;
}

const char *xg_tile_check(xg_arena *a, const xg_machine *m, const xg_regs *regs,
                          const xg_inst *in) {
    xg_tile_operands d;
    char why[XG_TILE_WHY_BYTES];
    if (!xg_tile_operands_of(m, regs, in, &d, why)) return xg_strdup(a, why);
    const char *text = d.out.rows && !d.has_ddr ? overlap(a, m, &d) : NULL;
    return text ? xg_strf(a, "%s: %s", xg_tile_inst[in->op].mnemonic, text) : NULL;
}

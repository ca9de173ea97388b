#include "fusion/stairs.h"

#include <math.h>

enum {
    WHOLE_NODES = 400,    /* of the search of a whole program */
    PIECE_NODES = 60,     /* of the search of a piece */
    PIECE_PIVOTS = 20000, /* of a piece's relaxation */
    ROUNDS = 3,           /* ways to cut that are tried, one after another */
    STATES = 8            /* of a pair at a cut */
};
/* Pivots times rows of the whole relaxation. */
static const uint64_t WHOLE_WORK = 60000000;
static const double SMALL_GAP = 1e-4;
const xg_stairs_sizes xg_stairs_usual = {.whole_rows = 400, .piece_cols = 300};

xg_stairs *xg_stairs_new(xg_arena *a, uint32_t turns) {
    xg_stairs *s = xg_new(a, xg_stairs);
    s->mip = xg_mip_new(a);
    s->turns = turns;
    return s;
}

uint32_t xg_stairs_add_row(xg_stairs *s, uint32_t turn, int64_t lo, int64_t hi) {
    xg_push(s->mip->arena, &s->row, turn);
    return xg_mip_row(s->mip, lo, hi);
}

uint32_t xg_stairs_add_col(xg_stairs *s, int64_t cost, uint32_t first, uint32_t last) {
    xg_push(s->mip->arena, &s->col, (xg_stairs_col){first, last, XG_NONE});
    return xg_mip_col(s->mip, cost);
}

uint32_t xg_stairs_add_pair(xg_stairs *s, uint32_t first, uint32_t last, bool forced, bool both) {
    xg_stairs_pair p = {xg_stairs_add_col(s, 0, first, last), xg_stairs_add_col(s, 0, first, last),
                        XG_NONE, forced, both};
    s->col.v[p.r].pair = s->col.v[p.d].pair = s->pair.n;
    xg_push(s->mip->arena, &s->pair, p);
    return s->pair.n - 1;
}

uint32_t xg_stairs_add_view(xg_stairs *s, uint32_t pair) {
    xg_stairs_pair *p = &s->pair.v[pair];
    p->view = xg_stairs_add_col(s, 0, s->col.v[p->r].first, s->col.v[p->r].last);
    s->col.v[p->view].pair = pair;
    return p->view;
}

/* ---- cuts ---- */

/* What a pair is: bit 0 r, bit 1 d, bit 2 the view. */
enum { ON_CHIP = 1, IN_DDR = 2, VIEWED = 4 };

static uint8_t bit_of(const xg_stairs_pair *p, uint32_t col) {
    return col == p->r ? ON_CHIP : col == p->d ? IN_DDR : VIEWED;
}

typedef struct cut {
    uint32_t at;    /* between turns at - 1 and at */
    uint32_t pair;  /* tried in several states, or XG_NONE */
    uint32_t state; /* number of states */
    uint8_t value[STATES];
} cut;

typedef struct solver {
    xg_stairs *s;
    xg_arena *a;
    uint32_t *row_start;   /* [turns + 1] into row_of */
    uint32_t *row_of;      /* rows by turn */
    uint32_t *entry_start; /* [rows + 1] */
    uint32_t *local;       /* [cols] number in the piece that is made */
    uint32_t *entries;     /* [cols] */
    uint8_t *state;        /* [pairs] at the cuts beside the piece: value + 1, or 0 */
    bool relaxed;          /* see piece_cost */
    bool *x;               /* [cols] the best solution */
    XG_VEC(cut) cut;
    xg_map known; /* digest of a piece -> its solution */
    XG_VEC(xg_mip_result) solution;
    uint32_t piece_cols, nodes;
} solver;

static bool reaches(const xg_stairs_col *c, uint32_t at) {
    return c->first < at && c->last >= at;
}

static uint8_t value_of(const solver *k, uint32_t pair) {
    const xg_stairs_pair *p = &k->s->pair.v[pair];
    bool viewed = p->view != XG_NONE && k->x[p->view];
    return (uint8_t)(k->x[p->r] * ON_CHIP + k->x[p->d] * IN_DDR + viewed * VIEWED);
}

/* [turns + 1] how dear a cut is: pairs that reach across it; XG_NONE where the best solution has a
 * group there. */
static uint32_t *price_cuts(const solver *k) {
    uint32_t n = k->s->turns;
    int32_t *step = xg_newn(k->a, int32_t, n + 2), *group = xg_newn(k->a, int32_t, n + 2);
    uint32_t *price = xg_newn(k->a, uint32_t, n + 2);
    for (uint32_t j = 0; j < k->s->col.n; j++) {
        const xg_stairs_col *c = &k->s->col.v[j];
        int32_t *to = c->pair == XG_NONE ? group : step;
        if (c->pair == XG_NONE ? !k->x[j] : k->s->pair.v[c->pair].r != j) continue;
        to[c->first + 1]++;
        to[c->last + 1]--;
    }
    int32_t across = 0, inside = 0;
    for (uint32_t p = 0; p <= n; p++) {
        across += step[p];
        inside += group[p];
        price[p] = inside ? XG_NONE : (uint32_t)across;
    }
    return price;
}

/* Relaxed, groups may reach across: then a tensor may be inside one, and be nowhere. */
static void list_states(const xg_stairs_pair *q, bool relaxed, cut *t) {
    t->state = 0;
    t->value[t->state++] = IN_DDR;
    if (!q->forced) t->value[t->state++] = ON_CHIP;
    if (q->forced || q->both || relaxed) t->value[t->state++] = ON_CHIP | IN_DDR;
    for (uint32_t i = 0, n = t->state; q->view != XG_NONE && i < n; i++)
        if (t->value[i] & ON_CHIP) t->value[t->state++] = t->value[i] | VIEWED;
    if (relaxed) t->value[t->state++] = 0;
}

/* A cut's pair is one that reaches across no other cut. */
static void choose_pairs(solver *k) {
    for (uint32_t i = 1; i + 1 < k->cut.n; i++) k->cut.v[i].pair = XG_NONE;
    for (uint32_t p = 0; p < k->s->pair.n; p++) {
        const xg_stairs_pair *q = &k->s->pair.v[p];
        const xg_stairs_col *c = &k->s->col.v[q->r];
        uint32_t across = 0, which = 0;
        for (uint32_t i = 1; i + 1 < k->cut.n; i++)
            if (reaches(c, k->cut.v[i].at)) across++, which = i;
        cut *t = &k->cut.v[which];
        if (across != 1 || t->pair != XG_NONE) continue;
        t->pair = p;
        list_states(q, false, t);
    }
    for (uint32_t i = 1; i + 1 < k->cut.n; i++)
        if (k->cut.v[i].pair == XG_NONE) k->cut.v[i].state = 1;
}

/* Cuts about piece_cols columns apart, each where the fewest pairs reach across. */
static void choose_cuts(solver *k, uint32_t round) {
    uint32_t n = k->s->turns, *price = price_cuts(k);
    uint32_t *ends = xg_newn(k->a, uint32_t, n + 1);
    for (uint32_t j = 0; j < k->s->col.n; j++) ends[k->s->col.v[j].last]++;
    k->cut.n = 0;
    xg_push(k->a, &k->cut, (cut){.at = 0, .pair = XG_NONE, .state = 1});
    uint32_t cols = k->piece_cols / 2 * (round % 2), best = XG_NONE;
    for (uint32_t p = 1; p < n; p++) {
        cols += ends[p - 1];
        if (cols < k->piece_cols / 2) continue;
        if (price[p] != XG_NONE && (best == XG_NONE || price[p] < price[best])) best = p;
        if (best == XG_NONE || cols < k->piece_cols) continue;
        xg_push(k->a, &k->cut, (cut){.at = best, .pair = XG_NONE, .state = 1});
        for (cols = 0; best < p; best++) cols += ends[best];
        best = XG_NONE;
    }
    xg_push(k->a, &k->cut, (cut){.at = n, .pair = XG_NONE, .state = 1});
    choose_pairs(k);
}

/* ---- one piece ---- */

typedef struct piece {
    xg_mip *mip;
    XG_VEC(uint32_t) col; /* [mip's columns] the whole program's */
} piece;

/* Whether a column is one of the piece's; else *fixed is its value. Relaxed, columns that reach
 * across a cut are free, but for pairs that have a state there. */
static bool is_free(const solver *k, uint32_t j, uint32_t a, uint32_t b, bool *fixed) {
    const xg_stairs_col *c = &k->s->col.v[j];
    *fixed = false;
    if (c->first >= a && c->last < b) return true;
    if (c->pair == XG_NONE) return k->relaxed;
    if (!k->state[c->pair] && k->relaxed) return true;
    uint8_t value = k->state[c->pair] ? (uint8_t)(k->state[c->pair] - 1) : value_of(k, c->pair);
    *fixed = value & bit_of(&k->s->pair.v[c->pair], j);
    return false;
}

/* Relaxed, a column that reaches across costs each piece its share: then the pieces together are a
 * relaxation of the whole, and a bound on it. */
static int64_t piece_cost(const solver *k, uint32_t j, uint32_t inside) {
    int64_t cost = k->s->mip->col.v[j];
    return inside == k->entries[j] ? cost : (int64_t)((double)cost * inside / k->entries[j]);
}

static void add_entry(solver *k, piece *p, uint32_t row, const xg_mip_entry *x) {
    if (k->local[x->col] == XG_NONE) {
        k->local[x->col] = xg_mip_col(p->mip, 0);
        xg_push(k->a, &p->col, x->col);
    }
    uint32_t mine = k->local[x->col];
    p->mip->col.v[mine]++; /* entries, until the costs are known */
    xg_mip_add(p->mip, row, mine, x->v);
}

static piece make_piece(solver *k, uint32_t a, uint32_t b) {
    const xg_mip *m = k->s->mip;
    piece p = {.mip = xg_mip_new(k->a)};
    for (uint32_t i = k->row_start[a]; i < k->row_start[b]; i++) {
        uint32_t row = k->row_of[i];
        xg_mip_bounds bounds = m->row.v[row];
        uint32_t mine = xg_mip_row(p.mip, bounds.lo, bounds.hi);
        for (uint32_t e = k->entry_start[row]; e < k->entry_start[row + 1]; e++) {
            const xg_mip_entry *x = &m->entry.v[e];
            bool one;
            if (is_free(k, x->col, a, b, &one)) add_entry(k, &p, mine, x);
            if (!one) continue;
            if (bounds.lo != INT64_MIN) p.mip->row.v[mine].lo -= x->v;
            if (bounds.hi != INT64_MAX) p.mip->row.v[mine].hi -= x->v;
        }
    }
    for (uint32_t i = 0; i < p.col.n; i++) {
        k->local[p.col.v[i]] = XG_NONE;
        p.mip->col.v[i] = piece_cost(k, p.col.v[i], (uint32_t)p.mip->col.v[i]);
    }
    return p;
}

static uint32_t find_known(solver *k, const piece *p, char key[65]) {
    xg_buf b = {.arena = k->a};
    uint32_t n[2] = {p->mip->row.n, p->mip->col.n};
    xg_put(&b, n, sizeof n);
    xg_put(&b, p->mip->row.v, n[0] * sizeof *p->mip->row.v);
    xg_put(&b, p->mip->col.v, n[1] * sizeof *p->mip->col.v);
    xg_put(&b, p->mip->entry.v, p->mip->entry.n * sizeof *p->mip->entry.v);
    xg_sha256_hex(b.p, b.n, key);
    return xg_map_get(&k->known, key);
}

/* The present best solution, when it fulfils the piece. */
static const bool *start_of(const solver *k, const piece *p) {
    bool *x = xg_newn(k->a, bool, p->mip->col.n + 1);
    for (uint32_t j = 0; j < p->mip->col.n; j++) x[j] = k->x[p->col.v[j]];
    return xg_mip_holds(p->mip, x, k->a) ? x : NULL;
}

static xg_status solve_piece(solver *k, uint32_t a, uint32_t b, piece *p,
                             const xg_mip_result **out) {
    char key[65];
    *p = make_piece(k, a, b);
    uint32_t at = find_known(k, p, key);
    if (at == XG_NONE) {
        xg_mip_result r;
        xg_mip_options o = {PIECE_PIVOTS, PIECE_NODES, SMALL_GAP / 2, start_of(k, p)};
        xg_status st = xg_mip_solve(p->mip, &o, &r);
        if (st != XG_OK) return st;
        k->nodes += r.nodes;
        at = k->solution.n;
        xg_push(k->a, &k->solution, r);
        xg_map_set(&k->known, key, at);
    }
    xg_mip_result *r = &k->solution.v[at];
    const bool *start = start_of(k, p);
    int64_t value = start ? xg_mip_value(p->mip, start) : 0;
    if (start && (!r->feasible || r->value > value))
        r->feasible = true, r->infeasible = false, r->value = value, r->x = start;
    *out = r;
    return XG_OK;
}

/* ---- joining the pieces ---- */

typedef struct joint {
    bool reached;
    int64_t value; /* of all pieces to the left */
    uint32_t left; /* state at the cut before */
    const uint32_t *col;
    const bool *x;
    uint32_t n;
} joint;

static void set_state(solver *k, const cut *c, uint32_t state, bool on) {
    if (c->pair != XG_NONE) k->state[c->pair] = on ? (uint8_t)(c->value[state] + 1) : 0;
}

/* The piece in every state of its cuts. For a bound, its bounds are joined, not its values. */
static xg_status join_piece(solver *k, uint32_t i, joint (*table)[STATES]) {
    const cut *l = &k->cut.v[i], *r = &k->cut.v[i + 1];
    for (uint32_t from = 0; from < l->state; from++)
        for (uint32_t to = 0; to < r->state; to++) {
            if (!table[i][from].reached) continue;
            const xg_mip_result *got = NULL;
            piece p;
            set_state(k, l, from, true);
            set_state(k, r, to, true);
            xg_status st = solve_piece(k, l->at, r->at, &p, &got);
            set_state(k, l, from, false);
            set_state(k, r, to, false);
            if (st != XG_OK) return st;
            joint *j = &table[i + 1][to];
            int64_t value =
                table[i][from].value + (k->relaxed ? (int64_t)ceil(got->bound - 1e-6) : got->value);
            bool possible = k->relaxed ? !got->infeasible : got->feasible;
            if (!possible || (j->reached && j->value <= value)) continue;
            *j = (joint){true, value, from, p.col.v, got->x, p.mip->col.n};
        }
    return XG_OK;
}

/* Writes the joined solution over x. */
static void take_joined(solver *k, joint (*table)[STATES]) {
    uint32_t state = 0;
    for (uint32_t i = k->cut.n - 1; i > 0; i--) {
        const joint *j = &table[i][state];
        const cut *c = &k->cut.v[i];
        for (uint32_t n = 0; n < j->n; n++) k->x[j->col[n]] = j->x[n];
        if (c->pair != XG_NONE) {
            k->x[k->s->pair.v[c->pair].r] = c->value[state] & ON_CHIP;
            k->x[k->s->pair.v[c->pair].d] = (c->value[state] & IN_DDR) != 0;
            if (k->s->pair.v[c->pair].view != XG_NONE)
                k->x[k->s->pair.v[c->pair].view] = (c->value[state] & VIEWED) != 0;
        }
        state = j->left;
    }
}

static xg_status join_pieces(solver *k, joint (**table)[STATES]) {
    *table = xg_alloc_array(k->a, k->cut.n, sizeof **table);
    (*table)[0][0].reached = true;
    for (uint32_t i = 0; i + 1 < k->cut.n; i++) {
        xg_status st = join_piece(k, i, *table);
        if (st != XG_OK) return st;
    }
    return XG_OK;
}

/* A better solution, with the cuts of this round. */
static xg_status improve(solver *k, uint32_t round, int64_t *value) {
    joint(*table)[STATES];
    choose_cuts(k, round);
    xg_status st = join_pieces(k, &table);
    const joint *end = st == XG_OK ? &table[k->cut.n - 1][0] : NULL;
    if (!end || !end->reached || end->value >= *value) return st;
    take_joined(k, table);
    *value = end->value;
    return XG_OK;
}

/* A better bound, with the cuts that there are. */
static xg_status raise_bound(solver *k, double *bound) {
    joint(*table)[STATES];
    k->relaxed = true;
    for (uint32_t i = 0; i < k->cut.n; i++)
        if (k->cut.v[i].pair != XG_NONE)
            list_states(&k->s->pair.v[k->cut.v[i].pair], true, &k->cut.v[i]);
    xg_status st = join_pieces(k, &table);
    k->relaxed = false;
    if (st != XG_OK) return st;
    const joint *end = &table[k->cut.n - 1][0];
    if (end->reached && (double)end->value > *bound) *bound = (double)end->value;
    return XG_OK;
}

static void index_program(solver *k) {
    xg_mip *m = k->s->mip;
    uint32_t turns = k->s->turns;
    xg_mip_sort(m);
    k->row_start = xg_newn(k->a, uint32_t, turns + 2);
    k->row_of = xg_newn(k->a, uint32_t, m->row.n + 1);
    k->entry_start = xg_newn(k->a, uint32_t, m->row.n + 2);
    for (uint32_t i = 0; i < m->row.n; i++) k->row_start[k->s->row.v[i] + 1]++;
    for (uint32_t p = 0; p < turns; p++) k->row_start[p + 1] += k->row_start[p];
    uint32_t *at = xg_memdup(k->a, k->row_start, (turns + 1) * sizeof *at);
    for (uint32_t i = 0; i < m->row.n; i++) k->row_of[at[k->s->row.v[i]]++] = i;
    k->entries = xg_newn(k->a, uint32_t, m->col.n + 1);
    for (uint32_t e = 0; e < m->entry.n; e++) {
        k->entry_start[m->entry.v[e].row + 1]++;
        k->entries[m->entry.v[e].col]++;
    }
    for (uint32_t i = 0; i < m->row.n; i++) k->entry_start[i + 1] += k->entry_start[i];
    k->local = xg_newn(k->a, uint32_t, m->col.n + 1);
    for (uint32_t j = 0; j < m->col.n; j++) k->local[j] = XG_NONE;
    k->state = xg_newn(k->a, uint8_t, k->s->pair.n + 1);
    k->known = (xg_map){.arena = k->a};
}

static bool close_enough(const xg_mip_result *r) {
    return r->feasible && (double)r->value <= r->bound / (1 - SMALL_GAP);
}

static xg_status solve_pieces(xg_stairs *s, uint32_t piece_cols, xg_mip_result *out) {
    xg_arena *tmp = xg_arena_new(xg_arena_ctx(s->mip->arena));
    solver k = {.s = s, .a = tmp, .piece_cols = piece_cols};
    k.x = xg_memdup(tmp, out->x, s->mip->col.n * sizeof *k.x + 1);
    index_program(&k);
    xg_status st = XG_OK;
    for (uint32_t round = 0; round < ROUNDS && st == XG_OK && !close_enough(out); round++) {
        int64_t before = out->value;
        st = improve(&k, round, &out->value);
        if (round && out->value == before) break;
    }
    if (st == XG_OK && !close_enough(out)) st = raise_bound(&k, &out->bound);
    out->nodes += k.nodes;
    out->x = xg_memdup(s->mip->arena, k.x, s->mip->col.n * sizeof *k.x + 1);
    out->optimal = out->optimal || close_enough(out);
    xg_arena_free(tmp);
    return st;
}

xg_status xg_stairs_solve(xg_stairs *s, const bool *start, double bound,
                          const xg_stairs_sizes *sizes, xg_mip_result *out) {
    bool whole = s->mip->row.n <= sizes->whole_rows || !start;
    uint64_t pivots = WHOLE_WORK / (s->mip->row.n + 1);
    xg_mip_options o = {.pivots = (uint32_t)xg_min((int64_t)pivots, 400000),
                        .nodes = whole ? WHOLE_NODES : 0,
                        .gap = 0,
                        .start = start};
    xg_status st = xg_mip_solve(s->mip, &o, out);
    if (out->bound < bound) out->bound = bound;
    if (st != XG_OK || !out->feasible || out->optimal || close_enough(out)) return st;
    return solve_pieces(s, sizes->piece_cols, out);
}

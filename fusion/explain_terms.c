/* Costs taken apart, and what room strategies want. */
#include "fusion/explain.h"

#include "isa/timing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *xg_grouped_digits(xg_arena *a, int64_t v) {
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, (uint64_t)(v < 0 ? -v : v));
    char *s = xg_alloc(a, (size_t)n + (size_t)n / 3 + 2), *p = s;
    if (v < 0) *p++ = '-';
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) *p++ = ',';
        *p++ = digits[i];
    }
    return s;
}

/* ---- cost by term ------------------------------------------------------------------------------
 */

/* The share of the slowest core in a map of d, in units that a core does at once. */
typedef struct core_share {
    double images, row_groups, channel_groups;
} core_share;

static core_share share_of(const xg_machine *m, xg_split split, const int64_t d[4]) {
    int64_t rows = xg_ceil_div(d[1], m->tile.pp), channels = xg_ceil_div(d[3], m->tile.ocp),
            images = d[0], cores = m->cores;
    if (split == XG_SPLIT_IMAGE) images = xg_ceil_div(images, cores);
    if (split == XG_SPLIT_ROWS) rows = xg_ceil_div(rows, cores);
    if (split == XG_SPLIT_CHANNELS) channels = xg_ceil_div(channels, cores);
    return (core_share){(double)images, (double)rows, (double)channels};
}

/* Input words that all groups of output channels read, in sum, and input channels likewise. */
static void input_words(const xg_graph *g, const xg_machine *m, const xg_node *n, bool folded,
                        double *words, double *channels) {
    int64_t in[4], out[4], group = xg_ai(n, XG_ATTR_group);
    xg_dims4(xg_in(g, n, 0), in);
    xg_dims4(xg_out(g, n, 0), out);
    *words = 0;
    *channels = (double)out[3] * (double)(in[3] / group);
    for (int64_t c = 0; c < out[3]; c += m->tile.ocp) {
        uint32_t lo, hi;
        xg_conv_channel_words(g, n, m->tile.icp, (uint32_t)c,
                              (uint32_t)xg_min(c + m->tile.ocp, out[3]), &lo, &hi);
        if (folded) lo = 0, hi = (uint32_t)xg_ceil_div(in[3] * xg_node_window(n).kw, m->tile.icp);
        *words += hi - lo;
    }
}

static void add_conv(const xg_graph *g, const xg_machine *m, const xg_node *n,
                     const xg_strategy *st, bool folded, double term[3]) {
    const xg_tile_machine *t = &m->tile;
    xg_window w = xg_node_window(n);
    int64_t d[4];
    double words, channels;
    xg_dims4(xg_out(g, n, 0), d);
    input_words(g, m, n, folded, &words, &channels);
    core_share s = share_of(m, st->split, d);
    double taps = (double)w.kh * w.kw, steps = folded ? w.kh : taps, map = (double)(d[1] * d[2]);
    double images = (double)d[0] / m->cores;
    double full = images * map * taps * channels / ((double)t->pp * t->icp * t->ocp);
    double padded = images * map * steps * words / t->pp;
    double groups = (double)xg_ceil_div(d[3], t->ocp);
    double split =
        s.images * s.row_groups * (double)d[2] * steps * words * s.channel_groups / groups;
    term[0] += full;
    term[1] += padded - full;
    term[2] += split - padded;
}

static void split_conv(const xg_graph *g, const xg_machine *m, const xg_group *grp,
                       xg_cost_terms *out) {
    double term[3] = {0};
    for (uint32_t k = 0; k < grp->nnode; k++) {
        const xg_node *n = xg_nodep(g, grp->node[k]);
        if (xg_node_tile_kind(g, n) == XG_TK_CONV)
            add_conv(g, m, n, &grp->strategy, grp->strategy.fold && k == 0, term);
    }
    out->full = (int64_t)(term[0] + 0.5);
    out->channels = (int64_t)(term[0] + term[1] + 0.5) - out->full;
    out->rows = (int64_t)(term[0] + term[1] + term[2] + 0.5) - out->full - out->channels;
    out->tiling = (int64_t)out->est.conv - out->full - out->channels - out->rows;
}

static void find_slowest(xg_cost_terms *t) {
    const struct {
        const char *name;
        uint64_t cycles;
    } all[] = {{"CONV", t->est.conv},
               {"MISC", t->est.misc},
               {"LOAD", t->est.load},
               {"SAVE", t->est.save},
               {"DDR", t->ddr_busy}};
    t->slowest = "-";
    for (size_t i = 0; i < XG_COUNT(all); i++)
        if (all[i].cycles > t->slowest_cycles)
            t->slowest = all[i].name, t->slowest_cycles = all[i].cycles;
    t->not_hidden = (int64_t)t->est.cycles - (int64_t)t->slowest_cycles;
}

void xg_cost_by_term(const xg_graph *g, const xg_machine *m, const xg_group *grp,
                     const xg_surroundings *env, xg_cost_terms *out) {
    memset(out, 0, sizeof *out);
    xg_parts *p = &out->parts;
    if (grp->strategy.flat && env && env->flat) g = env->flat;
    xg_estimate_parts(g, m, grp, &grp->strategy, p);
    if (!p->valid) return;
    xg_estimate_group(g, m, grp, &grp->strategy, env, &out->est);
    const bool *on = env ? env->on_chip : NULL;
    uint64_t ddr = p->wddr;
    for (uint32_t k = 0; k < p->nin; k++) {
        bool chip = on && on[p->in[k].tensor];
        out->chip_in |= (uint32_t)chip << k;
        if (!chip) ddr += p->in[k].ddr;
    }
    for (uint32_t k = 0; k < p->nout; k++) {
        bool chip = on && on[p->out[k].tensor];
        bool save = !chip || (env->to_ddr && env->to_ddr[p->out[k].tensor]);
        out->chip_out |= (uint32_t)chip << k;
        out->to_ddr |= (uint32_t)save << k;
        if (save) ddr += p->out[k].ddr;
    }
    out->ddr_busy = (ddr * p->cores >> 16) * p->images;
    split_conv(g, m, grp, out);
    find_slowest(out);
}

/* ---- room --------------------------------------------------------------------------------------
 */

typedef struct point {
    uint64_t cycles;
    uint32_t words;
} point;

typedef struct fitting {
    xg_arena *a;
    const xg_graph *g;
    const xg_machine *m;
    const xg_group *grp;
    const bool *may_stay;
    xg_fit *out;
    double worst; /* of the nearest */
    XG_VEC(point) point;
} fitting;

static double share(uint64_t want, uint32_t have) {
    return have ? (double)want / have : want ? 1e9 : 0;
}

static void note_room(fitting *f, const xg_strategy *st, const xg_estimate *e) {
    xg_fit *o = f->out;
    const xg_tile_machine *t = &f->m->tile;
    xg_room r = {e->fm_words, e->w_words, e->param_bytes};
    double fm = share(r.fm_words, t->fm_depth), w = share(r.w_words, t->w_depth),
           p = share(r.param_bytes, t->param_bytes), worst = fm > w ? fm : w;
    if (p > worst) worst = p;
    bool first = !o->followed;
    if (first || r.fm_words < o->least.fm_words) o->least.fm_words = r.fm_words;
    if (first || r.w_words < o->least.w_words) o->least.w_words = r.w_words;
    if (first || r.param_bytes < o->least.param_bytes) o->least.param_bytes = r.param_bytes;
    if (first || worst < f->worst) {
        f->worst = worst;
        o->nearest = r;
        o->nearest_one = *st;
    }
    o->followed = true;
}

static void look(void *arg, const xg_strategy *st) {
    fitting *f = arg;
    xg_parts p;
    xg_estimate ddr, chip;
    f->out->tried++;
    xg_estimate_parts(f->g, f->m, f->grp, st, &p);
    if (!p.valid) return;
    uint32_t mask = 0;
    for (uint32_t k = 0; k < p.nin; k++)
        if (k != p.folded && f->may_stay[p.in[k].tensor]) mask |= 1u << k;
    uint32_t all = (1u << p.nout) - 1, stays = 0;
    for (uint32_t k = 0; k < p.nout; k++)
        if (f->may_stay[p.out[k].tensor]) stays |= 1u << k;
    xg_estimate_sum(f->m, &p, 0, 0, all, f->m->tile.fm_depth, &ddr);
    xg_estimate_sum(f->m, &p, mask, stays, all, f->m->tile.fm_depth, &chip);
    f->out->fit_ddr += ddr.fits;
    f->out->fit += ddr.fits || chip.fits;
    if (ddr.fits) xg_push(f->a, &f->point, (point){ddr.cycles, ddr.fm_words});
    note_room(f, st, &chip);
}

static int by_cycles(const void *a, const void *b) {
    const point *x = a, *y = b;
    if (x->cycles != y->cycles) return x->cycles < y->cycles ? -1 : 1;
    return x->words < y->words ? -1 : x->words > y->words;
}

void xg_fit_of(xg_arena *a, const xg_graph *g, const xg_machine *m, const xg_group *grp,
               const bool *may_stay, xg_fit *out) {
    memset(out, 0, sizeof *out);
    fitting f = {.a = a, .g = g, .m = m, .grp = grp, .may_stay = may_stay, .out = out};
    xg_each_strategy(g, m, grp, look, &f);
    if (f.point.n) qsort(f.point.v, f.point.n, sizeof *f.point.v, by_cycles);
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < f.point.n; i++)
        if (f.point.v[i].words < least) {
            least = f.point.v[i].words;
            out->kept++;
        }
}

static void put_short(xg_arena *a, xg_buf *b, const char *what, uint64_t want, uint32_t have,
                      const char *unit) {
    if (want <= have) return;
    xg_putf(b, "%s%s %s %s, the machine has %s (%s short)", b->n ? "\n" : "", what,
            xg_grouped_digits(a, (int64_t)want), unit, xg_grouped_digits(a, have),
            xg_grouped_digits(a, (int64_t)(want - have)));
}

const char *xg_fit_shortage(xg_arena *a, const xg_machine *m, const xg_fit *fit) {
    const xg_tile_machine *t = &m->tile;
    xg_buf b = {.arena = a};
    if (!fit->followed) return "it touches more tensors than the estimate can follow";
    put_short(a, &b, "feature maps: the smallest tile wants", fit->least.fm_words, t->fm_depth,
              "words a bank");
    put_short(a, &b, "weights: the smallest block wants", fit->least.w_words, t->w_depth,
              "words a bank");
    put_short(a, &b, "parameters: the smallest block wants", fit->least.param_bytes, t->param_bytes,
              "bytes");
    if (b.n) return b.p;
    const xg_strategy *s = &fit->nearest_one;
    const char *tile = xg_strf(a, "a tile of %u x %u x %u", s->tile_h, s->tile_w, s->tile_oc);
    put_short(a, &b, xg_strf(a, "feature maps: the nearest, %s, wants", tile),
              fit->nearest.fm_words, t->fm_depth, "words a bank");
    put_short(a, &b, xg_strf(a, "weights: the nearest, %s, wants", tile), fit->nearest.w_words,
              t->w_depth, "words a bank");
    put_short(a, &b, xg_strf(a, "parameters: the nearest, %s, wants", tile),
              fit->nearest.param_bytes, t->param_bytes, "bytes");
    return b.n ? b.p : "no strategy fits";
}

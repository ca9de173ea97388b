#include "fusion/estimate.h"

#include "isa/timing.h"

#include <stddef.h>
#include <string.h>

enum { LOCALS = 96 };

typedef struct est_local {
    uint32_t tensor, il;
    xg_slice need; /* of one tile */
    bool inside;
    uint32_t step; /* rows by which need moves from tile to tile */
    bool once,
        kept; /* each row is made, or loaded, once; because it is held, or its readers are so */
} est_local;

typedef struct est {
    const xg_graph *g;
    const xg_machine *m;
    const xg_group *grp;
    const xg_strategy *s;
    xg_parts *p;
    uint32_t nloc;
    uint32_t images, rows, cols, channels; /* of one core */
    uint32_t th, tw, tc;                   /* tile */
    uint64_t tiles, blocks, down;          /* down: tiles below each other */
    bool keep;
    est_local loc[LOCALS]; /* [nloc]; the others are not set: an estimate is made by the 100,000 */
} est;

static est_local *local_of(est *e, uint32_t tensor) {
    for (uint32_t i = 0; i < e->nloc; i++)
        if (e->loc[i].tensor == tensor) return &e->loc[i];
    if (e->nloc == LOCALS) return NULL;
    e->loc[e->nloc] = (est_local){.tensor = tensor, .il = 0};
    return &e->loc[e->nloc++];
}

static uint32_t map_operands(const xg_graph *g, const xg_node *n) {
    return xg_node_tile_kind(g, n) == XG_TK_ELEW ? 2 : 1;
}

/* Rows that a tile adds to those that are kept: whole row groups where they are computed. */
static uint32_t new_rows(const est *e, const est_local *l) {
    uint32_t pp = e->m->tile.pp, all = l->need.h1 - l->need.h0,
             rows = l->inside ? (uint32_t)xg_ceil_div(l->step, pp) * pp : l->step;
    return l->kept && rows < all ? rows : all;
}

/* What node n reads of operand o moves so far from tile to tile. */
static uint32_t operand_step(const est *e, const xg_node *n, uint32_t o, uint32_t step) {
    xg_tile_kind kind = xg_node_tile_kind(e->g, n);
    int64_t d[4];
    xg_dims4(xg_in(e->g, n, o), d);
    if (d[1] == 1) return 0;
    bool window = kind == XG_TK_CONV || kind == XG_TK_DW || kind == XG_TK_POOL;
    return window ? step * (uint32_t)xg_node_window(n).sh : step;
}

static void begin_local(const est *e, est_local *l) {
    bool folded = e->s->fold && l->tensor == xg_nodep(e->g, e->grp->node[0])->in[0];
    l->once = e->keep;
    l->kept = e->keep && !folded && xg_rows_kept(e->g, e->grp->node, e->grp->nnode, l->tensor);
}

/* An inner tile: not at a border, so its needs are the largest. */
static bool spread(est *e) {
    const uint32_t *result;
    uint32_t nresult = xg_group_results(e->grp, &result);
    e->nloc = 0;
    for (uint32_t r = 0; r < nresult; r++) {
        const xg_node *n = xg_nodep(e->g, result[r]);
        int64_t d[4];
        xg_dims4(xg_out(e->g, n, 0), d);
        xg_slice s = {0, 0, e->th, 0, e->tw, 0, nresult > 1 ? (uint32_t)d[3] : e->tc};
        uint32_t h = (uint32_t)(d[1] - e->th) / 2, w = (uint32_t)(d[2] - e->tw) / 2;
        s.h0 += h, s.h1 += h, s.w0 += w, s.w1 += w;
        est_local *l = local_of(e, n->out[0]);
        l->need = s;
        l->step = e->th;
    }
    for (uint32_t k = 0; k < e->grp->nnode; k++) {
        est_local *l = local_of(e, xg_nodep(e->g, e->grp->node[k])->out[0]);
        if (!l) return false;
        l->inside = true;
        l->il = l->il ? l->il : 1;
    }
    for (uint32_t k = e->grp->nnode; k-- > 0;) {
        const xg_node *n = xg_nodep(e->g, e->grp->node[k]);
        est_local *y = local_of(e, n->out[0]);
        y->once = y->kept || (y->once && !xg_group_returns(e->grp, e->grp->node[k]));
        xg_slice have = y->need;
        have.h0 = have.h1 - new_rows(e, y);
        for (uint32_t o = 0; o < map_operands(e->g, n); o++) {
            xg_slice need = xg_need(e->g, n, o, &have);
            need.c0 = need.c0 / e->m->tile.icp * e->m->tile.icp;
            est_local *l = local_of(e, n->in[o]);
            if (!l) return false;
            if (l->need.h1)
                xg_slice_unite(&l->need, &need);
            else
                begin_local(e, l), l->need = need;
            l->once = l->once && (y->once || l->kept || (y->need.h1 - y->need.h0 == y->step));
            uint32_t step = operand_step(e, n, o, y->step);
            if (step > l->step) l->step = step;
            uint32_t il = xg_node_interleave(e->g, e->m, n);
            if (il > l->il) l->il = il;
        }
    }
    return true;
}

bool xg_conv_input_whole(const xg_machine *m, const xg_slice *need, uint32_t il) {
    return (uint64_t)xg_fm_words(m, need, il) * 2 <= m->tile.fm_depth * (uint64_t)5 / 8;
}

typedef struct conv_shape {
    uint32_t taps, ic, chunk, block, nchunk,
        words; /* words of one block and chunk in a weight bank */
} conv_shape;

static bool folds(const est *e, const xg_node *n) {
    return e->s->fold && n == xg_nodep(e->g, e->grp->node[0]);
}

static conv_shape conv_of(const est *e, const xg_node *n, const xg_slice *out) {
    xg_window w = xg_node_window(n);
    xg_slice need = xg_need(e->g, n, 0, out);
    uint32_t icp = e->m->tile.icp, c = out->c1 - out->c0;
    bool grouped = xg_ai(n, XG_ATTR_group) > 1;
    conv_shape r = {.taps = (uint32_t)(w.kh * w.kw), .ic = need.c1 - need.c0};
    if (folds(e, n)) r.taps = (uint32_t)w.kh, r.ic *= (uint32_t)w.kw;
    if (grouped) {
        xg_slice one = *out;
        one.c1 = (uint32_t)xg_min(one.c0 + e->m->tile.ocp, out->c1);
        need = xg_need(e->g, n, 0, &one);
        r.ic = need.c1 - need.c0 / icp * icp;
    }
    r.chunk = e->s->tile_ic && e->s->tile_ic < r.ic ? e->s->tile_ic : r.ic;
    r.block = grouped ? e->m->tile.ocp : e->s->tile_oc && e->s->tile_oc < c ? e->s->tile_oc : c;
    r.nchunk = (uint32_t)xg_ceil_div(r.ic, r.chunk);
    r.words = r.taps * (uint32_t)xg_ceil_div(r.chunk, icp) *
              (uint32_t)xg_ceil_div(r.block, e->m->tile.ocp);
    return r;
}

static uint64_t conv_cycles(const est *e, const xg_node *n, const xg_slice *out) {
    const xg_tile_machine *t = &e->m->tile;
    xg_window w = xg_node_window(n);
    conv_shape c = conv_of(e, n, out);
    uint64_t groups = (uint64_t)xg_ceil_div(out->c1 - out->c0, t->ocp);
    uint64_t row_groups = (uint64_t)xg_ceil_div(out->h1 - out->h0, t->pp);
    uint32_t il = xg_node_interleave(e->g, e->m, n);
    uint64_t one = xg_time_conv(e->m, (uint32_t)w.kh, folds(e, n) ? 1 : (uint32_t)w.kw,
                                (uint32_t)w.sh, il, (uint32_t)xg_ceil_div(c.chunk, t->icp), t->pp,
                                out->w1 - out->w0, c.nchunk > 1, c.nchunk > 1);
    return groups * row_groups * c.nchunk * one;
}

static uint64_t misc_cycles(const est *e, const xg_node *n, const xg_slice *s) {
    uint32_t rows = s->h1 - s->h0, cols = s->w1 - s->w0, ch = s->c1 - s->c0;
    xg_window w;
    switch (xg_node_tile_kind(e->g, n)) {
    case XG_TK_DW:
        w = xg_node_window(n);
        return xg_time_dwconv(e->m, (uint32_t)(w.kh * w.kw), rows, cols, ch);
    case XG_TK_POOL:
        w = xg_node_window(n);
        return xg_time_pool(e->m, (uint32_t)(w.kh * w.kw), rows, cols, ch);
    case XG_TK_ELEW:
        return xg_time_elew(e->m, 2, rows, cols, ch);
    default:
        return xg_time_lut(e->m, rows, cols, ch);
    }
}

typedef struct move_cost {
    uint64_t engine, ddr_x65536, bytes;
} move_cost;

static move_cost transfer(const est *e, uint32_t start, uint64_t runs, uint64_t run,
                          uint64_t words) {
    return (move_cost){xg_time_transfer(e->m, start, runs, run, words),
                       xg_time_ddr_x65536(e->m, runs * run, xg_time_bursts(e->m, runs, run)),
                       runs * run};
}

/* A slice moved between DDR and the chip. */
static move_cost move_slice(const est *e, const xg_tensor *t, const xg_slice *s, bool load) {
    int64_t d[4];
    xg_dims4(t, d);
    uint64_t rows = s->h1 - s->h0, cols = s->w1 - s->w0, ch = s->c1 - s->c0, runs = rows,
             run = cols * ch;
    if (ch < (uint64_t)d[3])
        runs = rows * cols, run = ch;
    else if (cols == (uint64_t)d[2])
        runs = 1, run = rows * cols * ch;
    uint64_t words = rows * cols * (uint64_t)xg_ceil_div((int64_t)ch, e->m->tile.icp);
    return transfer(e, load ? e->m->tile.load_start : e->m->tile.save_start, runs, run, words);
}

static void count_weights(est *e, move_cost c, uint64_t times) {
    e->p->wload += c.engine * times;
    e->p->wddr += c.ddr_x65536 * times;
    e->p->weight_bytes += c.bytes * times;
}

/* Words in each bank for what is kept of a tensor: what one tile needs and what the next one adds.
 */
static uint64_t kept_words(const est *e, const est_local *l, uint32_t il) {
    int64_t d[4];
    xg_dims4(xg_tensorp(e->g, l->tensor), d);
    xg_slice s = l->need;
    uint32_t rows = s.h1 - s.h0 + (l->step ? new_rows(e, l) : 0),
             ring = xg_ring_rows(e->m, rows, (uint32_t)d[1], il);
    s.h1 = s.h0 + (ring ? ring : (uint32_t)d[1]);
    return xg_fm_words(e->m, &s, il);
}

/* One input of the group, moved `times` times. */
static void add_input(est *e, const est_local *l, uint64_t times) {
    xg_parts *p = e->p;
    if (p->nin == XG_PARTS_INPUTS) {
        p->valid = false;
        return;
    }
    uint32_t il = l->il ? l->il : 1;
    xg_slice moved = l->need;
    moved.h0 = moved.h1 - new_rows(e, l);
    move_cost c = move_slice(e, xg_tensorp(e->g, l->tensor), &moved, true);
    uint64_t words = l->kept ? kept_words(e, l, il) : xg_fm_words(e->m, &l->need, il);
    if (l->kept && !l->step) times /= e->down;
    if (e->s->tile_ic && !xg_conv_input_whole(e->m, &l->need, il)) {
        xg_slice part = l->need;
        part.c1 = (uint32_t)xg_min(part.c0 + e->s->tile_ic, part.c1);
        words = xg_fm_words(e->m, &part, il);
        if (e->s->order == XG_MAP_STATIONARY)
            times *=
                (uint64_t)xg_ceil_div(e->channels, e->s->tile_oc ? e->s->tile_oc : e->channels);
    }
    const xg_node *first = xg_nodep(e->g, e->grp->node[0]);
    if (e->s->fold && l->tensor == first->in[0]) {
        xg_slice f = xg_folded(e->g, first, l->need, 0, e->tw);
        uint64_t cells = (uint64_t)(f.h1 - f.h0) * (f.w1 - f.w0);
        words = xg_fm_words(e->m, &f, il);
        uint64_t runs = l->need.h1 - l->need.h0,
                 run = (uint64_t)(l->need.w1 - l->need.w0) * (l->need.c1 - l->need.c0);
        c = transfer(e, e->m->tile.load_start, runs, run,
                     cells * (uint64_t)xg_ceil_div(f.c1, e->m->tile.icp));
        p->folded = p->nin;
    }
    p->in[p->nin++] = (xg_part){.tensor = l->tensor,
                                .engine = c.engine * times,
                                .one = c.engine,
                                .ddr = c.ddr_x65536 * times,
                                .bytes = c.bytes * times,
                                .fm = words * (times > 1 && !l->kept ? 2 : 1)};
}

/* An input whose slice follows the channel block is loaded for every block; one that all blocks
 * share is loaded again for each only when other tiles come in between. */
static void add_inputs(est *e) {
    for (uint32_t i = 0; i < e->nloc; i++) {
        const est_local *l = &e->loc[i];
        if (l->inside) continue;
        int64_t d[4];
        xg_dims4(xg_tensorp(e->g, l->tensor), d);
        bool own = l->need.c1 - l->need.c0 < d[3] || e->tiles > 1;
        add_input(e, l, e->tiles * (own ? e->blocks : 1));
    }
}

static void add_weights(est *e, const xg_node *n, const xg_slice *out) {
    conv_shape c = conv_of(e, n, out);
    uint64_t in_tile = (uint64_t)xg_ceil_div(out->c1 - out->c0, c.block) * c.nchunk;
    uint64_t in_core =
        (uint64_t)xg_ceil_div(e->channels, e->tc) * in_tile; /* blocks of the whole layer */
    bool resident = e->s->weights_resident || in_core == 1;
    uint64_t loads = in_core;
    if (!resident && (e->s->order == XG_MAP_STATIONARY || in_tile > 1)) loads *= e->tiles;
    uint64_t banks = (uint64_t)xg_min(c.block, e->m->tile.ocp), words = c.words * banks;
    uint64_t param = (uint64_t)c.block * xg_param_record(e->m);
    e->p->w += resident ? in_core * c.words : 2 * (uint64_t)c.words;
    e->p->param += 4 * param;
    count_weights(e, transfer(e, e->m->tile.load_start, 1, words * e->m->tile.icp, words), loads);
    count_weights(e, transfer(e, e->m->tile.load_start, 1, param, 1), loads);
    if (c.nchunk > 1)
        e->p->fm += (uint64_t)xg_ceil_div(c.block, e->m->tile.ocp) *
                    (uint64_t)xg_ceil_div(out->h1 - out->h0, e->m->tile.pp) * (out->w1 - out->w0) *
                    xg_psum_words(e->m);
}

static void add_depthwise(est *e, const xg_node *n, const xg_slice *out) {
    xg_window w = xg_node_window(n);
    uint64_t ch = out->c1 - out->c0, bytes = (uint64_t)(w.kh * w.kw) * ch,
             param = ch * xg_param_record(e->m);
    e->p->param += 2 * (bytes + param);
    count_weights(e, transfer(e, e->m->tile.load_start, 1, bytes, 1), e->blocks);
    count_weights(e, transfer(e, e->m->tile.load_start, 1, param, 1), e->blocks);
}

/* A later node of the group writes over the result of node k: it takes no room of its own. */
static bool overwritten(const est *e, uint32_t k) {
    uint32_t t = xg_nodep(e->g, e->grp->node[k])->out[0];
    for (uint32_t j = k + 1; j < e->grp->nnode; j++) {
        int o = xg_in_place(e->g, e->grp->node, e->grp->nnode, j);
        if (o >= 0 && xg_nodep(e->g, e->grp->node[j])->in[o] == t) return true;
    }
    return false;
}

/* What is made of a tensor, and how often: of what is made once, all rows. */
static xg_slice whole_or_tile(const est *e, const est_local *l, uint64_t *times) {
    xg_slice s = l->need;
    int64_t d[4];
    if (!l->once || !l->inside) return s;
    xg_dims4(xg_tensorp(e->g, l->tensor), d);
    uint64_t rows = l->step ? l->step * e->down : s.h1 - s.h0;
    s.h0 = 0;
    s.h1 = (uint32_t)xg_min((int64_t)rows, d[1]);
    *times /= e->down;
    return s;
}

static void add_nodes(est *e) {
    xg_parts *p = e->p;
    for (uint32_t k = 0; k < e->grp->nnode; k++) {
        const xg_node *n = xg_nodep(e->g, e->grp->node[k]);
        const est_local *l = local_of(e, n->out[0]);
        xg_tile_kind kind = xg_node_tile_kind(e->g, n);
        if (!xg_group_returns(e->grp, e->grp->node[k]) && !overwritten(e, k))
            p->fm += l->kept ? kept_words(e, l, l->il) : xg_fm_words(e->m, &l->need, l->il);
        uint64_t times = p->times;
        xg_slice made = whole_or_tile(e, l, &times);
        if (kind == XG_TK_CONV)
            p->conv += conv_cycles(e, n, &made) * times;
        else
            p->misc += misc_cycles(e, n, &made) * times;
        if (kind == XG_TK_CONV) add_weights(e, n, &l->need);
        if (kind == XG_TK_DW) add_depthwise(e, n, &l->need);
        if (kind == XG_TK_LUT) p->param += 2 * 256;
    }
}

static uint32_t part(uint32_t total, uint32_t unit, uint32_t cores) {
    uint32_t units = (uint32_t)xg_ceil_div(total, unit);
    return (uint32_t)xg_min((int64_t)xg_ceil_div(units, cores) * unit, total);
}

static void areas(est *e) {
    const xg_machine *m = e->m;
    int64_t d[4];
    xg_group_dims(e->g, e->grp, d);
    e->images = (uint32_t)d[0], e->rows = (uint32_t)d[1], e->cols = (uint32_t)d[2],
    e->channels = (uint32_t)d[3];
    if (e->s->split == XG_SPLIT_IMAGE) e->images = part(e->images, 1, m->cores);
    if (e->s->split == XG_SPLIT_ROWS) e->rows = part(e->rows, m->tile.pp, m->cores);
    if (e->s->split == XG_SPLIT_CHANNELS)
        e->channels = part(e->channels, (uint32_t)xg_max(m->tile.ocp, m->tile.icp), m->cores);
    /* a later convolution reads all channels: the tile has them all; so it has of siblings */
    bool mixes = e->grp->nresult > 1;
    for (uint32_t k = 1; k < e->grp->nnode; k++)
        mixes |= xg_node_tile_kind(e->g, xg_nodep(e->g, e->grp->node[k])) == XG_TK_CONV;
    bool conv_first = xg_node_tile_kind(e->g, xg_nodep(e->g, e->grp->node[0])) == XG_TK_CONV;
    e->th = e->s->tile_h && e->s->tile_h < e->rows ? e->s->tile_h : e->rows;
    e->tw = e->s->tile_w && e->s->tile_w < e->cols ? e->s->tile_w : e->cols;
    bool inside = mixes || (conv_first && e->s->order == XG_MAP_STATIONARY);
    e->tc = !inside && e->s->tile_oc && e->s->tile_oc < e->channels ? e->s->tile_oc : e->channels;
    e->down = (uint64_t)xg_ceil_div(e->rows, e->th);
    e->tiles = e->down * (uint64_t)xg_ceil_div(e->cols, e->tw);
    e->keep = e->s->keep && !e->s->tile_ic && e->down > 1;
    e->blocks = (uint64_t)xg_ceil_div(e->channels, e->tc);
    if (e->s->batched || e->s->split != XG_SPLIT_IMAGE) /* images are more tiles of one pass */
        e->tiles *= e->images, e->images = 1;
}

static uint32_t cores_at_work(const est *e) {
    return e->s->split == XG_SPLIT_NONE ? 1 : e->m->cores;
}

static void add_output(est *e, uint32_t node) {
    xg_parts *p = e->p;
    const xg_node *n = xg_nodep(e->g, node);
    const est_local *l = local_of(e, n->out[0]);
    move_cost c = move_slice(e, xg_out(e->g, n, 0), &l->need, false);
    uint64_t fm = xg_fm_words(e->m, &l->need, l->il);
    p->out[p->nout++] = (xg_part){.tensor = n->out[0],
                                  .engine = c.engine * p->times,
                                  .one = c.engine,
                                  .ddr = c.ddr_x65536 * p->times,
                                  .bytes = c.bytes * p->times,
                                  .fm = fm * (p->times > 1 ? 2 : 1)};
}

void xg_estimate_parts(const xg_graph *g, const xg_machine *m, const xg_group *grp,
                       const xg_strategy *s, xg_parts *out) {
    est e;
    memset(&e, 0, offsetof(est, loc));
    e.g = g, e.m = m, e.grp = grp, e.s = s, e.p = out;
    memset(out, 0, sizeof *out);
    if (grp->nresult > XG_GROUP_RESULTS) return;
    areas(&e);
    if (!spread(&e)) return;
    out->valid = true;
    out->folded = XG_NONE;
    out->times = e.tiles * e.blocks;
    out->images = e.images;
    out->cores = cores_at_work(&e);
    add_inputs(&e);
    add_nodes(&e);
    const uint32_t *result;
    uint32_t nresult = xg_group_results(grp, &result);
    for (uint32_t r = 0; r < nresult; r++) add_output(&e, result[r]);
}

/* The slowest engine or the bus sets the pace; the first load and the last save are not hidden. */
static uint64_t makespan(const xg_parts *p, uint64_t load, uint64_t save, uint64_t ddr) {
    uint64_t most = p->conv;
    if (p->misc > most) most = p->misc;
    if (load > most) most = load;
    if (save > most) most = save;
    if (ddr > most) most = ddr;
    return most + load / (p->times + 1) + (save ? p->out[p->nout - 1].one : 0);
}

void xg_estimate_sum(const xg_machine *m, const xg_parts *p, uint32_t chip_in, uint32_t chip_out,
                     uint32_t to_ddr, uint32_t fm_words, xg_estimate *out) {
    uint64_t fm = p->fm, load = p->wload, save = 0, ddr = p->wddr, maps = 0;
    for (uint32_t k = 0; k < p->nin; k++) {
        if (chip_in >> k & 1) continue;
        fm += p->in[k].fm;
        load += p->in[k].engine;
        ddr += p->in[k].ddr;
        maps += p->in[k].bytes;
    }
    for (uint32_t k = 0; k < p->nout; k++) {
        if (!(chip_out >> k & 1)) fm += p->out[k].fm;
        if (!(to_ddr >> k & 1)) continue;
        save += p->out[k].engine;
        ddr += p->out[k].ddr;
        maps += p->out[k].bytes;
    }
    uint64_t all = (uint64_t)p->images * p->cores;
    *out = (xg_estimate){.conv = p->conv * p->images,
                         .misc = p->misc * p->images,
                         .load = load * p->images,
                         .save = save * p->images,
                         .map_bytes = maps * all,
                         .weight_bytes = p->weight_bytes * all,
                         .ddr_bytes = (maps + p->weight_bytes) * all,
                         .cycles = makespan(p, load, save, ddr * p->cores >> 16) * p->images,
                         .fm_words = (uint32_t)xg_min((int64_t)fm, UINT32_MAX),
                         .w_words = (uint32_t)xg_min((int64_t)p->w, UINT32_MAX),
                         .param_bytes = (uint32_t)xg_min((int64_t)p->param, UINT32_MAX)};
    bool folded_on_chip = p->folded != XG_NONE && (chip_in >> p->folded & 1);
    out->fits = p->valid && !folded_on_chip && fm <= fm_words && p->w <= m->tile.w_depth &&
                p->param <= m->tile.param_bytes;
}

void xg_estimate_group(const xg_graph *g, const xg_machine *m, const xg_group *grp,
                       const xg_strategy *s, const xg_surroundings *env, xg_estimate *out) {
    xg_parts p;
    xg_estimate_parts(g, m, grp, s, &p);
    uint32_t chip = 0, stays = 0, saved = 0;
    const bool *on = env ? env->on_chip : NULL;
    for (uint32_t k = 0; on && k < p.nin; k++) chip |= (uint32_t)on[p.in[k].tensor] << k;
    for (uint32_t k = 0; k < p.nout; k++) {
        bool here = on && on[p.out[k].tensor];
        stays |= (uint32_t)here << k;
        saved |= (uint32_t)(!here || (env->to_ddr && env->to_ddr[p.out[k].tensor])) << k;
    }
    xg_estimate_sum(m, &p, chip, stays, saved, env ? env->fm_words : m->tile.fm_depth, out);
}

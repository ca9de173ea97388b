#include "fusion/known.h"

#include "fusion/choose.h"

#include <stddef.h>
#include <string.h>

enum { KEPT_MAX = 1 << 15 }; /* estimates, of some 300 bytes each; then no more are kept */

/* One strategy's parts: what stands before the parts of tensors, and those that are set. */
typedef struct kept {
    struct kept *next;
    xg_strategy strategy;
    _Alignas(8) uint8_t head[offsetof(xg_parts, in)];
    xg_part part[]; /* inputs, results */
} kept;

typedef struct best_known {
    bool found;
    xg_strategy strategy;
    xg_estimate cost;
} best_known;

struct xg_known {
    xg_arena *a;
    const xg_patterns *library;
    xg_candidates found;
    bool matched;
    xg_map by_signature;
    XG_VEC(const kept *) first; /* of a signature */
    uint32_t n;
    xg_map best_by_signature;
    XG_VEC(best_known) best;
    xg_buf key;
};

xg_status xg_known_new(xg_arena *a, const char *patterns, xg_known **out) {
    xg_known *k = *out = xg_new(a, xg_known);
    k->a = k->by_signature.arena = k->best_by_signature.arena = k->key.arena = a;
    return xg_patterns_load(a, patterns, &k->library);
}

xg_status xg_known_match(xg_known *k, const xg_graph *g, const bool *accel,
                         const xg_candidates **out) {
    xg_status st = k->matched ? XG_OK : xg_match(k->a, g, accel, k->library, &k->found, NULL);
    k->matched = st == XG_OK;
    *out = &k->found;
    return st;
}

typedef struct recording {
    xg_known *k;
    const xg_graph *g;
    const xg_machine *m;
    const xg_group *grp;
    void (*fn)(void *arg, const xg_strategy *s, const xg_parts *p);
    void *arg;
    kept *first, **last;
    bool full;
} recording;

static void record(void *arg, const xg_strategy *s) {
    recording *r = arg;
    xg_parts p;
    xg_estimate_parts(r->g, r->m, r->grp, s, &p);
    r->fn(r->arg, s, &p);
    r->full |= r->k->n == KEPT_MAX;
    if (r->full) return;
    r->k->n++;
    kept *e = xg_alloc(r->k->a, sizeof *e + (p.nin + p.nout) * sizeof(xg_part));
    e->strategy = *s;
    memcpy(e->head, &p, sizeof e->head);
    memcpy(e->part, p.in, p.nin * sizeof(xg_part));
    memcpy(e->part + p.nin, p.out, p.nout * sizeof(xg_part));
    *r->last = e;
    r->last = &e->next;
}

static void set_tensors(xg_part *to, const xg_part *from, const xg_part *own, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        to[i] = from[i];
        to[i].tensor = own[i].tensor;
    }
}

/* Tensors stand in the same order in all parts of a group. */
static void replay(const recording *r, const kept *e) {
    xg_parts own, p;
    xg_estimate_parts(r->g, r->m, r->grp, &e->strategy, &own);
    for (; e; e = e->next) {
        memcpy(&p, e->head, sizeof e->head);
        set_tensors(p.in, e->part, own.in, p.nin);
        set_tensors(p.out, e->part + p.nin, own.out, p.nout);
        r->fn(r->arg, &e->strategy, &p);
    }
}

void xg_known_each(xg_known *k, const xg_graph *g, const xg_machine *m, const xg_group *grp,
                   const char *signature,
                   void (*fn)(void *arg, const xg_strategy *s, const xg_parts *p), void *arg) {
    recording r = {.k = k, .g = g, .m = m, .grp = grp, .fn = fn, .arg = arg};
    uint32_t i = xg_map_get(&k->by_signature, signature);
    if (i != XG_NONE) {
        replay(&r, k->first.v[i]);
        return;
    }
    r.last = &r.first;
    xg_each_strategy(g, m, grp, record, &r);
    if (r.full || !r.first) return;
    xg_map_set(&k->by_signature, signature, k->first.n);
    xg_push(k->a, &k->first, r.first);
}

bool xg_known_best(xg_known *k, const xg_graph *g, const xg_machine *m, const xg_group *grp,
                   xg_strategy *best, xg_estimate *cost) {
    k->key.n = 0;
    xg_group_signature(g, grp, &k->key);
    uint32_t i = xg_map_get(&k->best_by_signature, k->key.p);
    if (i == XG_NONE) {
        best_known b = {0};
        b.found = xg_best_strategy(g, m, grp, NULL, &b.strategy, &b.cost);
        i = k->best.n;
        xg_map_set(&k->best_by_signature, k->key.p, i);
        xg_push(k->a, &k->best, b);
    }
    *best = k->best.v[i].strategy;
    *cost = k->best.v[i].cost;
    return k->best.v[i].found;
}

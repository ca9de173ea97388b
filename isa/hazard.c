#include "isa/hazard.h"

#include <string.h>

/* Spans of a page, `cap` of them allocated, each `stride` bytes; n = 0: one untouched span. */
struct xg_span_page {
    uint8_t *v;
    uint32_t n, cap;
};

enum { PAGE_SHIFT = 10 };

static xg_touch *span(const xg_span_map *m, const struct xg_span_page *p, uint32_t i) {
    return (xg_touch *)(void *)(p->v + i * m->stride);
}

static xg_touch *flat(const xg_span_map *m, uint64_t unit) {
    return (xg_touch *)(void *)(m->state + unit * m->stride);
}

void xg_span_map_init(xg_span_map *m, xg_arena *a, uint32_t slots, uint64_t units) {
    *m = (xg_span_map){.arena = a, .slots = slots, .shift = PAGE_SHIFT};
    m->stride = sizeof(xg_touch) + slots * sizeof(uint32_t);
    if (units == 0) return;
    uint64_t words = (units + 63) / 64;
    m->starts = xg_newn(a, uint64_t, words);
    m->state = xg_alloc_array(a, words * 64, m->stride);
}

/* Makes a span start at unit `at` of a word of 64. */
static void flat_split(xg_span_map *m, uint64_t word, uint32_t at) {
    m->starts[word] |= 1; /* a span ends with its word at the latest */
    uint64_t bit = UINT64_C(1) << at, below = m->starts[word] & (bit - 1);
    if (m->starts[word] & bit) return;
    memcpy(flat(m, word * 64 + at), flat(m, word * 64 + 63 - (uint32_t)__builtin_clzll(below)),
           m->stride);
    m->starts[word] |= bit;
}

/* Units [lo, hi) of one word of 64. */
static void flat_touch(xg_span_map *m, uint64_t word, uint32_t lo, uint32_t hi, bool write,
                       uint32_t slot, uint32_t seq, xg_touch_fn fn, void *arg) {
    uint64_t range = (hi < 64 ? (UINT64_C(1) << hi) - 1 : UINT64_MAX) & ~((UINT64_C(1) << lo) - 1);
    flat_split(m, word, lo);
    if (hi < 64) flat_split(m, word, hi);
    for (uint64_t left = m->starts[word] & range; left; left &= left - 1) {
        uint64_t unit = word * 64 + (uint32_t)__builtin_ctzll(left);
        xg_touch *t = flat(m, unit);
        fn(arg, t, unit);
        if (!write) t->read[slot] = seq;
    }
    if (!write) return;
    m->starts[word] = (m->starts[word] & ~range) | UINT64_C(1) << lo;
    xg_touch *t = flat(m, word * 64 + lo);
    memset(t, 0, m->stride);
    t->write_slot = slot, t->write_seq = seq;
}

static struct xg_span_page *page_of(xg_span_map *m, uint64_t index) {
    if (index >= m->npage) {
        uint64_t n = m->npage ? m->npage : 64;
        while (n <= index) n *= 2;
        struct xg_span_page *page = xg_newn(m->arena, struct xg_span_page, n);
        if (m->npage) memcpy(page, m->page, m->npage * sizeof *page);
        m->page = page, m->npage = n;
    }
    return &m->page[index];
}

/* Room for `more` spans; an empty page gets its untouched span. */
static void reserve(const xg_span_map *m, struct xg_span_page *p, uint32_t more) {
    if (p->n + more > p->cap) {
        uint32_t cap = p->cap ? p->cap * 2 : 4;
        if (cap < p->n + more) cap = p->n + more;
        uint8_t *v = xg_alloc_array(m->arena, cap, m->stride);
        if (p->n) memcpy(v, p->v, p->n * m->stride);
        p->v = v, p->cap = cap;
    }
    if (p->n == 0) {
        memset(span(m, p, 0), 0, m->stride);
        p->n = 1;
    }
}

/* The span that holds unit u of a page. */
static uint32_t find(const xg_span_map *m, const struct xg_span_page *p, uint32_t u) {
    uint32_t lo = 0, hi = p->n;
    while (hi - lo > 1) {
        uint32_t mid = (lo + hi) / 2;
        if (span(m, p, mid)->start <= u)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* Makes a span start at u; returns its index. */
static uint32_t split(const xg_span_map *m, struct xg_span_page *p, uint32_t u) {
    uint32_t i = find(m, p, u);
    if (span(m, p, i)->start == u) return i;
    memmove(span(m, p, i + 1), span(m, p, i), (p->n - i) * m->stride);
    p->n++;
    span(m, p, i + 1)->start = u;
    return i + 1;
}

/* Units [lo, hi) of one page. */
static void touch_page(xg_span_map *m, uint64_t index, uint32_t lo, uint32_t hi, bool write,
                       uint32_t slot, uint32_t seq, xg_touch_fn fn, void *arg) {
    struct xg_span_page *p = page_of(m, index);
    reserve(m, p, 3);
    uint32_t first = split(m, p, lo);
    uint32_t end = hi >> m->shift ? p->n : split(m, p, hi);
    for (uint32_t i = first; i < end; i++) {
        xg_touch *t = span(m, p, i);
        fn(arg, t, (index << m->shift) + t->start);
        if (!write) t->read[slot] = seq;
    }
    if (!write) return;
    xg_touch *t = span(m, p, first);
    memset(t, 0, m->stride);
    t->start = lo, t->write_slot = slot, t->write_seq = seq;
    if (end - first > 1) {
        memmove(span(m, p, first + 1), span(m, p, end), (p->n - end) * m->stride);
        p->n -= end - first - 1;
    }
}

void xg_span_touch(xg_span_map *m, uint64_t unit, uint64_t count, bool write, uint32_t slot,
                   uint32_t seq, xg_touch_fn fn, void *arg) {
    uint64_t end = unit + count;
    while (m->starts && unit < end) {
        uint64_t base = unit / 64 * 64, stop = end < base + 64 ? end : base + 64;
        flat_touch(m, unit / 64, (uint32_t)(unit - base), (uint32_t)(stop - base), write, slot, seq,
                   fn, arg);
        unit = stop;
    }
    uint64_t size = UINT64_C(1) << m->shift;
    while (unit < end) {
        uint64_t index = unit >> m->shift, base = index << m->shift;
        uint64_t stop = end < base + size ? end : base + size;
        touch_page(m, index, (uint32_t)(unit - base), (uint32_t)(stop - base), write, slot, seq, fn,
                   arg);
        unit = stop;
    }
}

void xg_hazards_init(xg_hazards *h, xg_arena *a, const xg_machine *m, uint32_t slots) {
    for (uint8_t i = 0; i < XG_COUNT(h->mem); i++) {
        xg_mem_desc d = {NULL, 0, 0, 0};
        if (i < m->family->nmem) m->family->mem_desc(m, i, &d);
        h->depth[i] = d.depth;
        xg_span_map_init(&h->mem[i], a, slots, (uint64_t)d.banks * d.depth);
    }
    for (int r = 0; r < XG_REGIONS; r++) xg_span_map_init(&h->region[r], a, slots, 0);
}

void xg_hazards_touch(xg_hazards *h, const xg_access *x, uint32_t slot, uint32_t seq,
                      xg_touch_fn fn, void *arg) {
    xg_span_map *m = x->mem ? &h->mem[x->mem] : &h->region[x->region];
    uint64_t base = x->mem ? (uint64_t)x->bank * h->depth[x->mem] : 0;
    for (uint32_t r = 0; r < x->rows; r++) {
        uint64_t unit = base + x->addr + (uint64_t)r * x->row_step;
        if (x->step == 1) {
            xg_span_touch(m, unit, x->count, x->write, slot, seq, fn, arg);
            continue;
        }
        for (uint32_t i = 0; i < x->count; i++)
            xg_span_touch(m, unit + (uint64_t)i * x->step, 1, x->write, slot, seq, fn, arg);
    }
}

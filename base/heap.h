/* A binary heap of numbers by a key each, the least on top; equal keys go by number. */
#ifndef XG_HEAP_H
#define XG_HEAP_H

#include "base/base.h"

typedef struct xg_heap {
    const uint32_t *key; /* [numbers] */
    uint32_t *v, n;      /* room for all that are in it at once is the caller's */
} xg_heap;

static inline bool xg_heap_before(const xg_heap *h, uint32_t a, uint32_t b) {
    return h->key[a] != h->key[b] ? h->key[a] < h->key[b] : a < b;
}

static inline void xg_heap_push(xg_heap *h, uint32_t x) {
    uint32_t i = h->n++;
    for (; i && xg_heap_before(h, x, h->v[(i - 1) / 2]); i = (i - 1) / 2)
        h->v[i] = h->v[(i - 1) / 2];
    h->v[i] = x;
}

/* Takes the least; the heap must not be empty. */
static inline uint32_t xg_heap_pop(xg_heap *h) {
    uint32_t top = h->v[0], x = h->v[--h->n], i = 0;
    for (uint32_t k; (k = 2 * i + 1) < h->n; i = k) {
        if (k + 1 < h->n && xg_heap_before(h, h->v[k + 1], h->v[k])) k++;
        if (!xg_heap_before(h, h->v[k], x)) break;
        h->v[i] = h->v[k];
    }
    h->v[i] = x;
    return top;
}

#endif

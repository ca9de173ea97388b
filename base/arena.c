#include "base/internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Under AddressSanitizer everything in a chunk that was not handed out is poisoned, with a gap
 * behind every block, so that overruns inside an arena are found as they would be with malloc. */
#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#ifdef HAVE_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#define GAP            16u
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#define GAP            0u
#endif

#define SMALL_ALIGN       ((size_t)16)
#define BIG_ALIGN         ((size_t)64)
#define BIG_BYTES         ((size_t)4096)    /* from here on a block stands alone, aligned to 64 */
#define FIRST_CHUNK_BYTES ((size_t)4096)    /* chunks double from here ... */
#define LAST_CHUNK_BYTES  ((size_t)1 << 20) /* ... to here */
#define HUGE_PAGE_BYTES   ((size_t)2 << 20)
/* A single request above this is out of memory without asking: it can only come from a hostile
 * size. */
#define BLOCK_MAX_BYTES ((size_t)1 << 38)

/* Memory comes from calloc and is never reused inside an arena, so blocks are zero without a
 * memset. */
typedef struct chunk {
    _Alignas(16) struct chunk *prev; /* the first block behind this header is aligned too */
    struct chunk *next;
    size_t bytes; /* behind this header */
} chunk;

typedef struct deferred {
    struct deferred *next;
    void (*fn)(void *);
    void *obj;
} deferred;

struct xg_arena {
    xg_ctx *ctx;
    xg_arena *prev, *next; /* list of the context's arenas */
    chunk *chunks;
    deferred *defers; /* latest first */
    uint8_t *free;    /* the unused rest of the current chunk */
    size_t free_bytes, chunk_bytes;
};

static size_t round_up(size_t n, size_t align) {
    return (n + align - 1) & ~(align - 1);
}

xg_arena *xg_arena_try(xg_ctx *c, xg_arena **list) {
    xg_arena *a = calloc(1, sizeof(*a));
    if (!a) return NULL;
    a->ctx = c;
    a->chunk_bytes = FIRST_CHUNK_BYTES;
    a->next = *list;
    if (a->next) a->next->prev = a;
    *list = a;
    return a;
}

xg_arena *xg_arena_new(xg_ctx *c) {
    xg_arena *a = xg_ctx_may_alloc(c) ? xg_arena_try(c, xg_ctx_arenas(c)) : NULL;
    if (!a) xg_ctx_no_memory(c);
    return a;
}

static void unlist(xg_arena *a) {
    xg_arena **list = xg_ctx_arenas(a->ctx);
    if (a->prev)
        a->prev->next = a->next;
    else
        *list = a->next;
    if (a->next) a->next->prev = a->prev;
    free(a);
}

static void free_chunk(chunk *k) {
    UNPOISON(k + 1, k->bytes);
    free(k);
}

void xg_arena_free(xg_arena *a) {
    if (!a) return;
    /* A deferred function may still read arena memory: all of them run before any chunk goes. */
    while (a->defers) {
        deferred *d = a->defers;
        a->defers = d->next;
        d->fn(d->obj);
    }
    while (a->chunks) {
        chunk *k = a->chunks;
        a->chunks = k->next;
        free_chunk(k);
    }
    unlist(a);
}

static void link_chunk(xg_arena *a, chunk *k) {
    k->prev = NULL;
    k->next = a->chunks;
    if (k->next) k->next->prev = k;
    a->chunks = k;
}

void xg_arena_adopt(xg_arena *a, xg_arena *from) {
    deferred **defers = &from->defers;
    while (*defers) defers = &(*defers)->next;
    *defers = a->defers;
    a->defers = from->defers;
    while (from->chunks) {
        chunk *k = from->chunks;
        from->chunks = k->next;
        link_chunk(a, k);
    }
    unlist(from);
}

xg_ctx *xg_arena_ctx(const xg_arena *a) {
    return a->ctx;
}

/* The whole huge pages within a block that will be filled: 512 page faults less for each. */
static void ask_for_huge_pages(void *p, size_t bytes) {
    if (bytes < 2 * HUGE_PAGE_BYTES) return;
    uint8_t *from = (uint8_t *)p + (round_up((uintptr_t)p, HUGE_PAGE_BYTES) - (uintptr_t)p);
    size_t n = (bytes - (size_t)(from - (uint8_t *)p)) & ~(HUGE_PAGE_BYTES - 1);
    (void)madvise(from, n, MADV_HUGEPAGE); /* a wish */
}

static uint8_t *new_chunk(xg_arena *a, size_t bytes) {
    chunk *k = calloc(1, sizeof(*k) + bytes);
    if (!k) xg_ctx_no_memory(a->ctx);
    ask_for_huge_pages(k, sizeof *k + bytes);
    k->bytes = bytes;
    link_chunk(a, k);
    POISON(k + 1, bytes);
    return (uint8_t *)(k + 1);
}

/* The chunk's header stands right before the block. */
static void *alloc_big(xg_arena *a, size_t n) {
    uint8_t *raw = new_chunk(a, n + BIG_ALIGN + GAP + sizeof(chunk *));
    chunk *k = (chunk *)(void *)raw - 1;
    uintptr_t at = round_up((uintptr_t)raw + sizeof(chunk *), BIG_ALIGN);
    uint8_t *p = raw + (at - (uintptr_t)raw);
    UNPOISON(p - sizeof(chunk *), n + sizeof(chunk *));
    memcpy(p - sizeof(chunk *), &k, sizeof k);
    return p;
}

static chunk *chunk_of(const void *big) {
    chunk *k;
    memcpy(&k, (const uint8_t *)big - sizeof(chunk *), sizeof k);
    return k;
}

static void unlink_chunk(xg_arena *a, chunk *k) {
    if (k->prev)
        k->prev->next = k->next;
    else
        a->chunks = k->next;
    if (k->next) k->next->prev = k->prev;
}

static void free_big(xg_arena *a, void *p) {
    chunk *k = chunk_of(p);
    unlink_chunk(a, k);
    free_chunk(k);
}

void *xg_arena_take(xg_arena *a, void *p, size_t n) {
    if (n < BIG_BYTES) p = memcpy(alloc_big(a, n), p, n);
    unlink_chunk(a, chunk_of(p));
    return p;
}

void xg_taken_free(void *p) {
    if (p) free_chunk(chunk_of(p));
}

void *xg_alloc(xg_arena *a, size_t n) {
    if (!xg_ctx_may_alloc(a->ctx) || n > BLOCK_MAX_BYTES) xg_ctx_no_memory(a->ctx);
    if (n >= BIG_BYTES) return alloc_big(a, n);
    size_t need = round_up(n ? n : 1, SMALL_ALIGN) + GAP;
    if (need > a->free_bytes) {
        size_t bytes = a->chunk_bytes > need ? a->chunk_bytes : need;
        a->free = new_chunk(a, bytes);
        a->free_bytes = bytes;
        if (a->chunk_bytes < LAST_CHUNK_BYTES) a->chunk_bytes *= 2;
    }
    uint8_t *p = a->free;
    a->free += need;
    a->free_bytes -= need;
    UNPOISON(p, n);
    return p;
}

void *xg_alloc_array(xg_arena *a, size_t count, size_t size) {
    uint64_t n;
    if (!xg_mul_ok(count, size, &n)) xg_ctx_no_memory(a->ctx);
    return xg_alloc(a, n);
}

void xg_arena_defer(xg_arena *a, void (*fn)(void *), void *obj) {
    deferred *d = xg_new(a, deferred);
    d->fn = fn;
    d->obj = obj;
    d->next = a->defers;
    a->defers = d;
}

void *xg_memdup(xg_arena *a, const void *p, size_t n) {
    void *q = xg_alloc(a, n);
    if (n) memcpy(q, p, n);
    return q;
}

char *xg_strndup(xg_arena *a, const char *s, size_t n) {
    size_t len = strnlen(s, n);
    if (len >= BLOCK_MAX_BYTES) xg_ctx_no_memory(a->ctx);
    char *q = xg_alloc(a, len + 1);
    memcpy(q, s, len);
    return q;
}

char *xg_strdup(xg_arena *a, const char *s) {
    return xg_memdup(a, s, strlen(s) + 1);
}

void xg_vec_grow(xg_arena *a, void **v, uint32_t *cap, uint32_t n, uint32_t want, size_t size) {
    /* Half the index range at most, so that n + 1 in xg_push cannot wrap. */
    if (want > INT32_MAX) xg_ctx_no_memory(a->ctx);
    uint64_t next = *cap ? (uint64_t)*cap * 2 : 8;
    if (next < want) next = want;
    if (next > INT32_MAX) next = INT32_MAX;
    void *fresh = xg_alloc_array(a, next, size);
    void *old; /* *v is really a T *: copied as bytes, whatever T is */
    memcpy(&old, v, sizeof(old));
    if (n) memcpy(fresh, old, n * size);
    memcpy(v, &fresh, sizeof(fresh));
    *cap = (uint32_t)next;
}

void xg_vec_grow_own(xg_arena *a, void **v, uint32_t *cap, uint32_t n, uint32_t want, size_t size) {
    void *old;
    size_t bytes = *cap * size;
    memcpy(&old, v, sizeof(old));
    xg_vec_grow(a, v, cap, n, want, size);
    if (bytes >= BIG_BYTES) free_big(a, old);
}

void xg_vec_drop_own(xg_arena *a, void *v, uint32_t cap, size_t size) {
    if (cap * size >= BIG_BYTES) free_big(a, v);
}

#include "isa/book.h"

#include <stdlib.h>

static int by_start(const void *pa, const void *pb) {
    const xg_work *a = pa, *b = pb;
    if (a->start != b->start) return a->start < b->start ? -1 : 1;
    if (a->end != b->end) return a->end < b->end ? -1 : 1;
    return a->owner < b->owner ? -1 : a->owner > b->owner;
}

/* What is at work now, and parts of a cycle that were handed out but not yet booked. */
typedef struct book {
    XG_VEC(xg_work) busy;
    uint64_t *cycles, *part; /* [owners]; part: 1/65536 */
} book;

static void add(book *b, uint32_t owner, uint64_t part) {
    b->part[owner] += part;
    b->cycles[owner] += b->part[owner] >> 16;
    b->part[owner] &= 0xffff;
}

/* The cycles [from, to): nothing begins or ends in between. */
static void book_stretch(book *b, uint64_t from, uint64_t to, uint32_t idle_owner) {
    uint64_t all = (to - from) << 16;
    if (!b->busy.n) add(b, idle_owner, all);
    for (size_t i = 0; i < b->busy.n; i++)
        add(b, b->busy.v[i].owner, all / b->busy.n + (i ? 0 : all % b->busy.n));
}

static void drop_finished(book *b, uint64_t now) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->busy.n; i++)
        if (b->busy.v[i].end > now) b->busy.v[n++] = b->busy.v[i];
    b->busy.n = n;
}

/* Parts of cycles add up to whole ones: these go to the owners with the lowest numbers. */
static void settle(book *b, uint32_t owners) {
    uint64_t left = 0;
    for (uint32_t o = 0; o < owners; o++) left += b->part[o];
    for (uint32_t o = 0; o < owners && left >> 16; o++)
        if (b->part[o]) b->cycles[o]++, left -= 0x10000;
}

void xg_book_cycles(xg_arena *a, xg_work *work, size_t n, uint64_t total, uint64_t *cycles) {
    if (!n) return;
    uint32_t owners = 0;
    uint64_t now = 0;
    for (size_t i = 0; i < n; i++)
        if (work[i].owner >= owners) owners = work[i].owner + 1;
    qsort(work, n, sizeof *work, by_start);
    book b = {.cycles = cycles};
    b.part = xg_newn(a, uint64_t, owners);
    for (size_t next = 0; now < total;) {
        uint64_t until = next < n && work[next].start < total ? work[next].start : total;
        for (size_t i = 0; i < b.busy.n; i++)
            if (b.busy.v[i].end < until) until = b.busy.v[i].end;
        if (until > now) book_stretch(&b, now, until, work[next < n ? next : n - 1].owner);
        now = until;
        drop_finished(&b, now);
        for (; next < n && work[next].start <= now; next++) {
            if (work[next].end > now) xg_push(a, &b.busy, work[next]);
        }
    }
    settle(&b, owners);
}

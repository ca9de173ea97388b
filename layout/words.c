/* Which tasks meet in words on chip and bytes in DDR, as tokens would have it (isa/tokens.c), but
 * task by task. */
#include "layout/order.h"

#include "isa/hazard.h"
#include "isa/tile.h"

#include <string.h>

enum { E = XG_ENGINES_MAX };

struct xg_words {
    const xg_machine *m;
    xg_hazards mem;
    uint32_t *nth[E]; /* [n] task of an engine's number i + 1 */
    uint32_t count[E], need[E];
    uint32_t engine; /* of the current task */
};

xg_words *xg_words_new(xg_arena *a, const xg_machine *m, uint32_t n) {
    xg_words *w = xg_new(a, xg_words);
    w->m = m;
    xg_hazards_init(&w->mem, a, m, m->family->nengine);
    for (uint32_t e = 0; e < m->family->nengine; e++) w->nth[e] = xg_newn(a, uint32_t, n + 1);
    return w;
}

void xg_words_begin(xg_words *w, uint32_t task, uint32_t engine) {
    w->engine = engine;
    w->nth[engine][w->count[engine]++] = task;
    memset(w->need, 0, sizeof w->need);
}

static void touch(xg_words *w, const xg_access *x) {
    xg_hazards_need(&w->mem, x, w->engine, w->count[w->engine], w->need);
}

void xg_words_touch_all(xg_words *w, const xg_buffer *b, bool write) {
    xg_access x = {
        .mem = b->mem, .write = write, .addr = b->addr, .count = b->size, .step = 1, .rows = 1};
    uint32_t banks = b->mem == XG_MEM_FM ? w->m->tile.pp : 1; /* weights: the same in every bank */
    if (!b->size) return;
    for (; x.bank < banks; x.bank++) touch(w, &x);
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

void xg_words_touch(xg_words *w, const xg_buffer *b, const xg_slice *s, bool write) {
    uint32_t icp = w->m->tile.icp, pp = w->m->tile.pp;
    uint32_t c1 = least(s->c1, b->s.c1), h1 = least(s->h1, b->s.h1), w1 = least(s->w1, b->s.w1);
    if (c1 <= s->c0 || h1 <= s->h0 || w1 <= s->w0) return;
    uint32_t c0 = (s->c0 - b->s.c0) / icp, words = (uint32_t)xg_ceil_div(c1 - b->s.c0, icp) - c0,
             cols = w1 - s->w0;
    xg_access x = {.mem = b->mem, .write = write, .count = words, .step = 1, .rows = cols};
    x.row_step = b->pix;
    if (words == b->pix) x.count *= cols, x.rows = 1;
    for (uint32_t r = s->h0 - b->s.h0; r < h1 - b->s.h0; r++) {
        uint32_t h = b->ring ? r % b->ring : r, q = h / b->il;
        x.bank = (uint16_t)(q % pp);
        x.addr = b->addr + (q / pp * b->il + h % b->il) * b->row + (s->w0 - b->s.w0) * b->pix + c0;
        touch(w, &x);
    }
}

void xg_words_transfer(xg_words *w, const xg_place *pl, const xg_slice *s, bool write) {
    uint32_t cols = s->w1 - s->w0, ch = s->c1 - s->c0, rows = s->h1 - s->h0;
    xg_access x = {.mem = XG_MEM_DDR, .write = write, .region = pl->region, .step = 1};
    x.addr = (uint32_t)xg_place_address(pl, s), x.count = ch;
    x.rows = cols, x.row_step = pl->pix_step;
    if (pl->pix_step == ch || cols == 1) x.count *= cols, x.rows = 1;
    if (x.rows == 1 && pl->row_step == x.count) x.count *= rows, rows = 1;
    for (; rows; rows--, x.addr += pl->row_step) touch(w, &x);
}

uint32_t xg_words_met(const xg_words *w, uint32_t engine) {
    if (engine == w->engine || !w->need[engine]) return XG_NONE;
    return w->nth[engine][w->need[engine] - 1];
}

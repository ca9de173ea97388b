#include "validate/report_inner.h"

#include <stdlib.h>

typedef struct row_end {
    uint32_t last, row;
} row_end;

static int by_end(const void *pa, const void *pb) {
    const row_end *a = pa, *b = pb;
    if (a->last != b->last) return a->last < b->last ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

typedef struct booker {
    const xg_machine *m;
    uint32_t *owner;    /* [n] layer; XG_NONE: in no row */
    uint32_t *reader;   /* [n] of an instruction in no row: the first that reads what it wrote */
    uint32_t *wrote[8]; /* [units] of a memory: 1 + the last writer, if that is in no row */
    uint64_t units[8];
    uint32_t depth[8];
    uint32_t at;
} booker;

static void touch(void *arg, const xg_access *x) {
    booker *b = arg;
    if (x->mem == 0) return;
    uint64_t base = (uint64_t)x->bank * b->depth[x->mem] + x->addr;
    for (uint32_t r = 0; r < x->rows; r++)
        for (uint32_t i = 0; i < x->count; i++) {
            uint64_t unit = base + (uint64_t)r * x->row_step + (uint64_t)i * x->step;
            if (unit >= b->units[x->mem]) return;
            uint32_t *w = &b->wrote[x->mem][unit];
            if (x->write)
                *w = b->owner[b->at] == XG_NONE ? b->at + 1 : 0;
            else if (*w && b->reader[*w - 1] == XG_NONE)
                b->reader[*w - 1] = b->at;
        }
}

static void find_readers(booker *b, xg_arena *scratch, const xg_stream *st) {
    const xg_family *f = b->m->family;
    for (uint8_t i = 1; i < f->nmem; i++) {
        xg_mem_desc d = {0};
        f->mem_desc(b->m, i, &d);
        b->depth[i] = d.depth;
        b->units[i] = (uint64_t)d.banks * d.depth;
        b->wrote[i] = xg_newn(scratch, uint32_t, b->units[i] + 1);
    }
    xg_regs *regs = xg_new(scratch, xg_regs);
    for (b->at = 0; b->at < st->n; b->at++) {
        xg_regs_track(f, regs, &st->inst[b->at]);
        f->access(b->m, regs, &st->inst[b->at], touch, b);
    }
}

/* Rows of one stream by their ends. */
static uint32_t sorted_rows(xg_arena *scratch, const xg_program *p, uint32_t segment, uint32_t core,
                            row_end **out) {
    uint32_t n = 0;
    row_end *end = *out = xg_newn(scratch, row_end, p->map.n + 1);
    for (uint32_t i = 0; i < p->map.n; i++)
        if (p->map.v[i].segment == segment && p->map.v[i].core == core)
            end[n++] = (row_end){p->map.v[i].last, i};
    qsort(end, n, sizeof *end, by_end);
    return n;
}

/* From the back: readers stand behind writers. An INIT belongs to what its engine does next; what
 * nobody reads (barriers) to the row that ends next. */
static void resolve(booker *b, const xg_stream *st, const row_end *end, uint32_t rows,
                    const uint32_t *layer_of_row, uint32_t none) {
    const xg_family *f = b->m->family;
    uint32_t after[XG_ENGINES_MAX];
    for (uint32_t e = 0; e < XG_ENGINES_MAX; e++) after[e] = XG_NONE;
    for (uint32_t i = st->n; i-- > 0;) {
        const xg_inst_desc *d = &f->inst[st->inst[i].op];
        while (rows && end[rows - 1].last > i) rows--; /* end[rows] is the next to end */
        uint32_t *o = &b->owner[i];
        if (*o == XG_NONE && b->reader[i] != XG_NONE) *o = b->owner[b->reader[i]];
        if (*o == XG_NONE && d->is_init) *o = after[d->engine];
        if (*o == XG_NONE) *o = end[rows].last > i ? layer_of_row[end[rows].row] : none;
        if (!d->is_init) after[d->engine] = *o;
    }
}

uint32_t *xg_report_owners(xg_arena *a, const xg_machine *m, const xg_program *p, uint32_t segment,
                           uint32_t core, const uint32_t *layer_of_row, uint32_t none) {
    const xg_stream *st = &p->segment.v[segment].core[core];
    xg_arena *scratch = xg_arena_new(xg_arena_ctx(a));
    booker *b = xg_new(scratch, booker);
    b->m = m;
    b->owner = xg_newn(a, uint32_t, st->n);
    b->reader = xg_newn(scratch, uint32_t, st->n);
    for (uint32_t i = 0; i < st->n; i++) b->owner[i] = b->reader[i] = XG_NONE;
    row_end *end;
    uint32_t rows = sorted_rows(scratch, p, segment, core, &end);
    for (uint32_t k = 0; k < rows; k++) {
        const xg_map_row *row = &p->map.v[end[k].row];
        for (uint32_t i = row->first; i < row->last && i < st->n; i++)
            b->owner[i] = layer_of_row[end[k].row];
    }
    find_readers(b, scratch, st);
    resolve(b, st, end, rows, layer_of_row, none);
    uint32_t *owner = b->owner;
    xg_arena_free(scratch);
    return owner;
}

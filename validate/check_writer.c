#include "validate/check_inner.h"

#include "isa/tile.h"

#include <string.h>

typedef struct {
    uint8_t mem, region;
    uint64_t word; /* DDR: byte; else word of the bank */
    uint32_t bank;
    bool hit, partial;
} probe;

static void look(void *arg, const xg_access *x) {
    probe *p = arg;
    if (!x->write || x->mem != p->mem) return;
    if (x->mem == XG_MEM_DDR ? x->region != p->region : x->bank != p->bank) return;
    for (uint32_t r = 0; r < x->rows; r++) {
        uint64_t first = (uint64_t)x->addr + (uint64_t)r * x->row_step;
        if (p->word < first) continue;
        uint64_t d = p->word - first, step = x->step ? x->step : 1;
        if (d % step == 0 && d / step < x->count) {
            p->hit = true;
            p->partial |= x->partial;
        }
    }
}

/* Executes one instruction on a copy of the on-chip memories, with the byte poisoned: does it write
 * the byte? Two poisons, because one of them may be the result. */
static bool writes_byte(xg_arena *scratch, const xg_machine *m, const xg_state *core,
                        const xg_regs *regs, const xg_inst *in, uint8_t mem, uint64_t offset) {
    static const uint8_t poison[2] = {0x55, 0xaa};
    xg_state copy = *core;
    copy.regs = *regs;
    for (uint8_t k = 1; k < m->family->nmem; k++)
        copy.mem[k] = xg_memdup(scratch, core->mem[k], core->mem_bytes[k]);
    for (int i = 0; i < 2; i++) {
        copy.mem[mem][offset] = poison[i];
        if (m->family->exec(&copy, in)) return false;
        if (copy.mem[mem][offset] != poison[i]) return true;
    }
    return false;
}

uint32_t xg_find_writer(xg_arena *scratch, const xg_machine *m, const xg_sim *s,
                        const xg_stream *st, uint32_t core, uint8_t mem, uint8_t region,
                        uint64_t offset, uint32_t limit) {
    probe p = {.mem = mem, .region = region, .word = offset};
    if (mem != XG_MEM_DDR) {
        xg_mem_desc d;
        m->family->mem_desc(m, mem, &d);
        p.bank = (uint32_t)(offset / d.word_bytes / d.depth);
        p.word = offset / d.word_bytes % d.depth;
    }
    uint32_t found = XG_NONE;
    while (limit > 0) {
        xg_regs regs = {0}, at = {0};
        bool partial = false;
        found = XG_NONE;
        for (uint32_t i = 0; i < limit && i < st->n; i++) {
            xg_regs_track(m->family, &regs, &st->inst[i]);
            p.hit = p.partial = false;
            m->family->access(m, &regs, &st->inst[i], look, &p);
            if (!p.hit) continue;
            found = i;
            partial = p.partial;
            at = regs;
        }
        if (found == XG_NONE || mem == XG_MEM_DDR || !partial) return found;
        if (writes_byte(scratch, m, xg_sim_core(s, core), &at, &st->inst[found], mem, offset))
            return found;
        limit = found;
    }
    return XG_NONE;
}

void xg_describe_inst(xg_arena *a, const xg_machine *m, const xg_stream *st, uint32_t index,
                      xg_divergence *d) {
    d->has_inst = true;
    d->inst = index;
    d->inst_offset = 0;
    for (uint32_t i = 0; i < index; i++) d->inst_offset += 4u * m->encoding->words[st->inst[i].op];
    xg_buf b = {.arena = a};
    xg_inst_print(m->family, &st->inst[index], &b);
    d->inst_text = b.p;
}

#include "isa/family.h"

#include "isa/tile.h"

#include <string.h>

static const xg_family *const families[] = {&xg_tile_family};
static const char *const names[] = {"tile", NULL};

const xg_family *xg_family_by_name(const char *name) {
    for (size_t i = 0; i < XG_COUNT(families); i++)
        if (!strcmp(families[i]->name, name)) return families[i];
    return NULL;
}

const char *const *xg_family_names(void) {
    return names;
}

void xg_regs_track(const xg_family *f, xg_regs *r, const xg_inst *in) {
    if (in->op >= f->ninst || in->op >= XG_COUNT(r->set) || !f->inst[in->op].is_init) return;
    r->last[in->op] = *in;
    r->set[in->op] = true;
}

int xg_inst_by_name(const xg_family *f, const char *mnemonic) {
    for (int i = 0; i < f->ninst; i++)
        if (!strcmp(f->inst[i].mnemonic, mnemonic)) return i;
    return -1;
}

int xg_operand_by_name(const xg_inst_desc *d, const char *name) {
    for (int i = 0; i < d->noperand; i++)
        if (!strcmp(d->operand[i].name, name)) return i;
    return -1;
}

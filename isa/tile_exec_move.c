#include "isa/tile_operands.h"

#include <string.h>

/* Byte of channel 0 of pixel x in a row that starts at word `base`. Channel words of a pixel follow
 * each other in the bank, so its channels are consecutive bytes. */
static uint8_t *pixel(const xg_state *s, const xg_tile_view *v, uint32_t bank, uint32_t base,
                      uint32_t x) {
    return xg_tile_fm(s, bank, base + x * v->pix) + v->lane;
}

/* Whether the pixels of a row are consecutive bytes, on chip and in DDR. */
static bool dense(const xg_state *s, const xg_tile_operands *d, const xg_tile_view *v) {
    return d->win.kw <= 1 && d->ddr.pix_step == d->ddr.ch &&
           v->pix * s->machine->tile.icp == d->ddr.ch;
}

static void load_folded(const xg_tile_operands *d, const uint8_t *row, uint32_t x, uint8_t *out) {
    const xg_tile_window *w = &d->win;
    uint32_t ch = d->ddr.ch;
    for (uint32_t j = 0; j < w->kw; j++) {
        int64_t c = (int64_t)x * w->sw + j - w->pad_left;
        if (c >= 0 && c < w->in_cols)
            memcpy(out + j * ch, row + (uint64_t)c * d->ddr.pix_step, ch);
        else
            memset(out + j * ch, (uint8_t)d->in->f[XG_F(LOAD, fill)], ch);
    }
}

const char *xg_tile_load(xg_state *s, const xg_tile_operands *d) {
    const uint8_t *from = s->ddr[d->ddr.region] + d->ddr.addr;
    const bool whole = dense(s, d, &d->out);
    for (uint32_t r = 0; r < d->out.rows; r++) {
        const uint8_t *row = from + (uint64_t)r * d->ddr.row_step;
        uint32_t bank, base = xg_tile_row(s->machine, &d->out, r, &bank);
        if (whole) memcpy(pixel(s, &d->out, bank, base, 0), row, (size_t)d->out.cols * d->ddr.ch);
        for (uint32_t x = 0; !whole && x < d->out.cols; x++) {
            uint8_t *out = pixel(s, &d->out, bank, base, x);
            if (d->win.kw > 1)
                load_folded(d, row, x, out);
            else
                memcpy(out, row + (uint64_t)x * d->ddr.pix_step, d->ddr.ch);
        }
    }
    return NULL;
}

const char *xg_tile_loadw(xg_state *s, const xg_tile_operands *d) {
    size_t n = (size_t)d->w_words * s->machine->tile.icp;
    const uint8_t *from = s->ddr[d->ddr.region] + d->ddr.addr;
    for (uint32_t b = 0; b < d->w_banks; b++) memcpy(xg_tile_w(s, b, d->w_addr), from + b * n, n);
    return NULL;
}

const char *xg_tile_loadp(xg_state *s, const xg_tile_operands *d) {
    memcpy(s->mem[XG_MEM_PARAM] + d->p_addr, s->ddr[d->ddr.region] + d->ddr.addr, d->p_bytes);
    return NULL;
}

const char *xg_tile_save(xg_state *s, const xg_tile_operands *d) {
    uint8_t *to = s->ddr[d->ddr.region] + d->ddr.addr;
    const bool whole = dense(s, d, &d->a);
    for (uint32_t r = 0; r < d->a.rows; r++) {
        uint8_t *row = to + (uint64_t)r * d->ddr.row_step;
        uint32_t bank, base = xg_tile_row(s->machine, &d->a, r, &bank);
        if (whole) memcpy(row, pixel(s, &d->a, bank, base, 0), (size_t)d->a.cols * d->ddr.ch);
        for (uint32_t x = 0; !whole && x < d->a.cols; x++)
            memcpy(row + (uint64_t)x * d->ddr.pix_step, pixel(s, &d->a, bank, base, x), d->ddr.ch);
    }
    return NULL;
}

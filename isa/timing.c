#include "isa/timing.h"

static uint64_t blocks(uint64_t n, uint32_t size) {
    return size ? (n + size - 1) / size : n;
}

uint32_t xg_time_conflict(uint32_t pp, uint32_t rows, uint32_t sh, uint32_t il) {
    if (rows < 2 || pp == 0) return 1;
    if (il == 0) il = 1;
    uint32_t worst = 1;
    /* The rows start at any phase of the interleave; a phase repeats after il rows. */
    for (uint32_t phase = 0; phase < il && phase < pp * sh; phase++)
        for (uint32_t r = 0; r < rows && worst < rows; r++) {
            uint32_t same = 0, bank = (phase + r * sh) / il % pp;
            for (uint32_t q = r; q < rows; q++) same += (phase + q * sh) / il % pp == bank;
            if (same > worst) worst = same;
        }
    return worst;
}

uint64_t xg_time_conv(const xg_machine *m, uint32_t kh, uint32_t kw, uint32_t sh, uint32_t in_il,
                      uint32_t icw, uint32_t rows, uint32_t cols, bool acc_in, bool acc_out) {
    const xg_tile_machine *t = &m->tile;
    uint32_t conflict = in_il == sh && rows <= t->pp ? 1 : xg_time_conflict(t->pp, rows, sh, in_il);
    uint64_t pixel = (uint64_t)kh * kw * icw * conflict;
    uint64_t psum = acc_in || acc_out ? blocks(4 * (uint64_t)t->ocp, t->icp) : 0;
    return t->conv_start + cols * (pixel > psum ? pixel : psum);
}

static uint64_t misc(const xg_machine *m, uint64_t taps, uint32_t rows, uint32_t cols,
                     uint32_t ch) {
    return m->tile.misc_start +
           blocks(rows, m->tile.misc_rows) * cols * taps * blocks(ch, m->tile.icp);
}

uint64_t xg_time_dwconv(const xg_machine *m, uint32_t taps, uint32_t rows, uint32_t cols,
                        uint32_t ch) {
    return misc(m, taps, rows, cols, ch);
}

uint64_t xg_time_pool(const xg_machine *m, uint32_t taps, uint32_t rows, uint32_t cols,
                      uint32_t ch) {
    return misc(m, taps, rows, cols, ch);
}

uint64_t xg_time_elew(const xg_machine *m, uint32_t operands, uint32_t rows, uint32_t cols,
                      uint32_t ch) {
    return misc(m, operands, rows, cols, ch);
}

uint64_t xg_time_lut(const xg_machine *m, uint32_t rows, uint32_t cols, uint32_t ch) {
    return misc(m, 1, rows, cols, ch);
}

uint64_t xg_time_bursts(const xg_machine *m, uint64_t runs, uint64_t run_bytes) {
    return runs * blocks(run_bytes, m->ddr.burst_bytes);
}

uint64_t xg_time_ddr_x65536(const xg_machine *m, uint64_t bytes, uint64_t bursts) {
    unsigned __int128 rate =
        (unsigned __int128)m->ddr.bytes_per_cycle_x256 * m->ddr.efficiency_x256;
    if (rate == 0) rate = 1;
    unsigned __int128 data = (((unsigned __int128)bytes << 32) + rate - 1) / rate;
    return (uint64_t)data + (bursts * m->ddr.burst_overhead << 16);
}

uint64_t xg_time_words(const xg_machine *m, uint64_t words) {
    uint32_t paths = m->tile.port_bytes / m->tile.icp;
    return blocks(words, paths ? paths : 1);
}

uint64_t xg_time_transfer(const xg_machine *m, uint32_t start, uint64_t runs, uint64_t run_bytes,
                          uint64_t words) {
    uint64_t bytes = runs * run_bytes;
    uint64_t ddr = (xg_time_ddr_x65536(m, bytes, xg_time_bursts(m, runs, run_bytes)) + 65535) >> 16;
    uint64_t port = blocks(bytes, m->tile.port_bytes);
    uint64_t move = ddr > port ? ddr : port;
    uint64_t banks = xg_time_words(m, words);
    return start + m->ddr.latency + (banks > move ? banks : move);
}

uint64_t xg_time_cap(uint64_t ddr_x65536, uint64_t alone) {
    uint64_t cap = (ddr_x65536 + alone - 1) / alone;
    return cap < 1 ? 1 : cap > XG_TIME_ONE ? XG_TIME_ONE : cap;
}

void xg_time_share(const uint64_t *cap, uint32_t n, uint64_t *rate) {
    uint64_t left = XG_TIME_ONE;
    uint32_t open = n;
    for (uint32_t i = 0; i < n; i++) rate[i] = 0;
    while (open) {
        uint64_t fair = left / open;
        uint32_t closed = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (rate[i] || cap[i] > fair) continue;
            rate[i] = cap[i], left -= cap[i], closed++;
        }
        open -= closed;
        if (closed) continue;
        for (uint32_t i = 0; i < n; i++)
            if (!rate[i]) rate[i] = fair ? fair : 1;
        break;
    }
}

/* A machine of the tile family with random numbers, read back from its text like a user's file, so
 * that what the reader refuses is never tested. */
#ifndef RANDOM_MACHINE_H
#define RANDOM_MACHINE_H

#include "isa/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint32_t between(uint64_t *s, uint32_t low, uint32_t high) {
    return low + (uint32_t)(xg_random(s) % (high - low + 1));
}

static void random_array(uint64_t *s, xg_tile_machine *t) {
    t->pp = between(s, 1, 12);
    t->icp = between(s, 1, 6) * (xg_random(s) % 2 ? 4 : 1);
    uint32_t times = between(s, 1, 3);
    t->ocp = t->icp;
    if (xg_random(s) % 2 && t->icp * times <= 64)
        t->ocp *= times;
    else if (t->icp % times == 0)
        t->ocp /= times;
    t->misc_rows = between(s, 1, t->pp);
    uint32_t room = 64u << between(s, 0, 5);
    t->fm_depth = room + between(s, 0, room);
    room = 64u << between(s, 0, 5);
    t->w_depth = room + between(s, 0, room);
    t->param_bytes = 4096 + between(s, 0, 60000);
}

static void random_limits(uint64_t *s, xg_tile_machine *t) {
    t->kernel_max = between(s, 3, 16);
    t->stride_max = between(s, 1, 8);
    t->dilation_max = between(s, 1, 16);
    t->pool_kernel_max = between(s, 2, 64);
    t->pool_stride_max = between(s, 1, 64);
    t->elew_mul = xg_random(s) % 4 != 0;
    t->lut = xg_random(s) % 4 != 0;
}

static void random_speed(uint64_t *s, xg_machine *m) {
    xg_tile_machine *t = &m->tile;
    t->conv_start = between(s, 0, 40);
    t->misc_start = between(s, 0, 40);
    t->load_start = between(s, 0, 40);
    t->save_start = between(s, 0, 40);
    t->dispatch = between(s, 0, 20);
    t->queue_depth = between(s, 1, 64);
    t->token_max = between(s, 1, 64);
    t->port_bytes = 1u << between(s, 0, 7);
    m->cores = between(s, 1, 5);
    m->ddr.bytes_per_cycle_x256 = between(s, 64, 64 * 256);
    m->ddr.latency = between(s, 0, 300);
    m->ddr.burst_bytes = 1u << between(s, 4, 13);
    m->ddr.burst_overhead = between(s, 0, 40);
    m->ddr.efficiency_x256 = between(s, 100, 256);
}

/* A named profile, the roundings changed at times. */
static void random_record(uint64_t *s, xg_machine *m) {
    static const char *const names[] = {"ort",   "tflite1", "tflite2", "dpu",
                                        "nvdla", "mul16",   "mul8"};
    m->profile = names[xg_random(s) % XG_COUNT(names)];
    if (!xg_rqrec_profile(m->profile, &m->rq)) abort();
    if (xg_random(s) % 2) return;
    m->rq.rounding[0] = (xg_rounding)between(s, XG_HALF_EVEN, XG_TRUNC);
    m->rq.rounding[1] = (xg_rounding)between(s, XG_HALF_EVEN, XG_TRUNC);
    m->rq.zp_before_round = xg_random(s) % 2;
}

/* Starts from the shipped machine named base. */
static xg_status random_machine(xg_arena *a, const char *base, uint64_t seed, xg_machine **out) {
    xg_machine *m;
    xg_status st = xg_machine_load(a, base, NULL, &m);
    if (st != XG_OK) return st;
    uint64_t s = seed * 0x2545f4914f6cdd1du + 1;
    random_array(&s, &m->tile);
    random_limits(&s, &m->tile);
    random_speed(&s, m);
    random_record(&s, m);
    m->name = "random";
    xg_buf text = {.arena = a};
    xg_machine_print(m, &text);
    char path[] = "random_machine_XXXXXX.yaml";
    int fd = mkstemps(path, 5);
    if (fd < 0) return xg_error(xg_arena_ctx(a), XG_INPUT, path, "cannot be made");
    bool written = write(fd, text.p, text.n) == (ssize_t)text.n;
    written = !close(fd) && written;
    st = written ? xg_machine_load(a, path, NULL, out) : XG_INPUT;
    (void)unlink(path);
    return st;
}

#endif

#include "isa/machine.h"

#include "base/embed.h"
#include "base/yaml.h"
#include "isa/encoding.h"
#include "isa/tile.h"

#include <inttypes.h>
#include <string.h>

/* ---- rows: every number of a machine file, its limits and where it goes ---------------------- */

/* TILE(name, lowest, highest): a uint32_t member of xg_tile_machine. Addresses on chip are 16 bits
 * wide. */
#define TILE_ROWS(X)                                                                               \
    X(pp, 1, 64)                                                                                   \
    X(icp, 1, 64)                                                                                  \
    X(ocp, 1, 64)                                                                                  \
    X(fm_depth, 16, 65536)                                                                         \
    X(w_depth, 16, 65536)                                                                          \
    X(param_bytes, 256, 1048576)                                                                   \
    X(misc_rows, 1, 64)                                                                            \
    X(kernel_max, 1, 64)                                                                           \
    X(stride_max, 1, 64)                                                                           \
    X(dilation_max, 1, 64)                                                                         \
    X(pool_kernel_max, 1, 1024)                                                                    \
    X(pool_stride_max, 1, 1024)                                                                    \
    X(elew_mul, 0, 1)                                                                              \
    X(lut, 0, 1)                                                                                   \
    X(conv_start, 0, 10000)                                                                        \
    X(misc_start, 0, 10000)                                                                        \
    X(load_start, 0, 10000)                                                                        \
    X(save_start, 0, 10000)                                                                        \
    X(dispatch, 0, 1000)                                                                           \
    X(queue_depth, 1, 65536)                                                                       \
    X(token_max, 1, 65535)                                                                         \
    X(port_bytes, 1, 4096)

/* RQ(name, lowest, highest): numbers and flags of xg_rqrec. */
#define RQ_INT_ROWS(X)                                                                             \
    X(mul_bits, 0, 31)                                                                             \
    X(acc_bits, 16, 63)                                                                            \
    X(shift_min, -64, 63)                                                                          \
    X(shift_max, -64, 63)                                                                          \
    X(weight_bits, 8, 8)
#define RQ_BOOL_ROWS(X)                                                                            \
    X(zp_before_round)                                                                             \
    X(per_channel)                                                                                 \
    X(act_zero_point)                                                                              \
    X(weight_zero_point)                                                                           \
    X(pow2_scales)

static const char *const method_words[] = {"shift", "mulshift", "mulshift2", "f32", NULL};
static const char *const rounding_words[] = {"half_even", "half_away", "half_up", "half_down",
                                             "floor",     "trunc",     NULL};
static const char *const add_words[] = {"f32_fma", "f32", "shift", "tflite", "mulshift", NULL};
static const char *const pool_words[] = {"f32", "mulshift", "dpu", "exact", NULL};

/* ---- the file as libcyaml fills it ----------------------------------------------------------- */

typedef struct file_rq {
    const char *profile;
    int32_t method, rounding, rounding2, add, pool;
#define X(name, lo, hi) int64_t name;
    RQ_INT_ROWS(X)
#undef X
#define X(name) bool name;
    RQ_BOOL_ROWS(X)
#undef X
} file_rq;

typedef struct file_ddr {
    int64_t bytes, latency, burst_bytes, burst_overhead;
    const char *bytes_per_cycle, *efficiency;
} file_ddr;

typedef struct file_tile {
#define X(name, lo, hi) int64_t name;
    TILE_ROWS(X)
#undef X
} file_tile;

typedef struct file_machine {
    const char *name, *description, *family, *encoding, *clock_mhz;
    int64_t cores;
    file_ddr ddr;
    file_rq requantise;
    file_tile tile;
} file_machine;

#define INT(type, name, low, high)                                                                 \
    { .key = #name, .kind = XG_YAML_INT, .offset = offsetof(type, name), .lo = (low), .hi = (high) }
#define TEXT(type, name, high)                                                                     \
    { .key = #name, .kind = XG_YAML_TEXT, .offset = offsetof(type, name), .hi = (high) }

static const xg_yaml_field rq_fields[] = {
    TEXT(file_rq, profile, 32),
#define WORD(name, list)                                                                           \
    {                                                                                              \
        .key = #name, .kind = XG_YAML_WORD, .optional = true, .offset = offsetof(file_rq, name),   \
        .words = list                                                                              \
    }
    WORD(method, method_words),
    WORD(rounding, rounding_words),
    WORD(rounding2, rounding_words),
    WORD(add, add_words),
    WORD(pool, pool_words),
#undef WORD
#define X(member, low, high)                                                                       \
    {.key = #member,                                                                               \
     .kind = XG_YAML_INT,                                                                          \
     .optional = true,                                                                             \
     .offset = offsetof(file_rq, member),                                                          \
     .lo = low,                                                                                    \
     .hi = high},
    RQ_INT_ROWS(X)
#undef X
#define X(member)                                                                                  \
    {.key = #member, .kind = XG_YAML_BOOL, .optional = true, .offset = offsetof(file_rq, member)},
        RQ_BOOL_ROWS(X)
#undef X
            {.key = NULL},
};
static const xg_yaml_map rq_map = {rq_fields, sizeof(file_rq)};

static const xg_yaml_field ddr_fields[] = {
    INT(file_ddr, bytes, 4096, (int64_t)1 << 40),
    TEXT(file_ddr, bytes_per_cycle, 40),
    INT(file_ddr, latency, 0, 100000),
    INT(file_ddr, burst_bytes, 1, 1 << 20),
    INT(file_ddr, burst_overhead, 0, 100000),
    TEXT(file_ddr, efficiency, 40),
    {.key = NULL},
};
static const xg_yaml_map ddr_map = {ddr_fields, sizeof(file_ddr)};

static const xg_yaml_field tile_fields[] = {
#define X(name, lo, hi) INT(file_tile, name, lo, hi),
    TILE_ROWS(X)
#undef X
        {.key = NULL},
};
static const xg_yaml_map tile_map = {tile_fields, sizeof(file_tile)};

#define MAP(name, table)                                                                           \
    { .key = #name, .kind = XG_YAML_MAP, .offset = offsetof(file_machine, name), .map = &(table) }
static const xg_yaml_field machine_fields[] = {
    TEXT(file_machine, name, 63),
    TEXT(file_machine, description, 1000),
    TEXT(file_machine, family, 32),
    TEXT(file_machine, encoding, 1000),
    TEXT(file_machine, clock_mhz, 40),
    INT(file_machine, cores, 1, 64),
    MAP(ddr, ddr_map),
    MAP(requantise, rq_map),
    MAP(tile, tile_map),
    {.key = NULL},
};
static const xg_yaml_map machine_map = {machine_fields, sizeof(file_machine)};

/* ---- file -> machine ------------------------------------------------------------------------- */

static bool given(const xg_yaml *y, const char *name) {
    char path[64];
    size_t n = strlen(name);
    if (n + 12 > sizeof path) return false;
    memcpy(path, "requantise.", 11);
    memcpy(path + 11, name, n + 1);
    return xg_yaml_has(y, path);
}

/* Fields that the file states replace the profile's. Returns the first one that is absent, or NULL.
 */
static const char * override(const xg_yaml *y, const file_rq *f, xg_rqrec *r) {
    const char *absent = NULL;
#define TAKE(name, target, value)                                                                  \
    if (given(y, name))                                                                            \
        target = (value);                                                                          \
    else if (!absent)                                                                              \
    absent = name
    TAKE("method", r->method, (xg_rq_method)f->method);
    TAKE("rounding", r->rounding[0], (xg_rounding)f->rounding);
    TAKE("rounding2", r->rounding[1], (xg_rounding)f->rounding2);
    TAKE("add", r->add, (xg_add_method)f->add);
    TAKE("pool", r->pool, (xg_pool_method)f->pool);
#define X(name, lo, hi) TAKE(#name, r->name, (__typeof__(r->name))f->name);
    RQ_INT_ROWS(X)
#undef X
#define X(name) TAKE(#name, r->name, f->name);
    RQ_BOOL_ROWS(X)
#undef X
#undef TAKE
    return absent;
}

static bool same_record(const xg_rqrec *a, const xg_rqrec *b) {
    bool same = a->method == b->method && a->rounding[0] == b->rounding[0] &&
                a->rounding[1] == b->rounding[1] && a->add == b->add && a->pool == b->pool;
#define X(name, ...) same = same && a->name == b->name;
    RQ_INT_ROWS(X)
    RQ_BOOL_ROWS(X)
#undef X
    return same;
}

static xg_status check_record(const xg_yaml *y, const xg_rqrec *r) {
    bool has_mult = r->method == XG_RQ_MULSHIFT || r->method == XG_RQ_MULSHIFT2;
    if (has_mult != (r->mul_bits > 0))
        return xg_yaml_error(y, XG_INPUT, "requantise", "method %s %s mul_bits, found %d",
                             method_words[r->method], has_mult ? "needs" : "has no", r->mul_bits);
    if (r->shift_min > r->shift_max)
        return xg_yaml_error(y, XG_INPUT, "requantise", "shift_min %d is greater than shift_max %d",
                             r->shift_min, r->shift_max);
    if (r->method == XG_RQ_SHIFT && !r->pow2_scales)
        return xg_yaml_error(y, XG_INPUT, "requantise", "method shift needs pow2_scales: true");
    return XG_OK;
}

static xg_status take_record(const xg_yaml *y, const file_rq *f, xg_machine *m) {
    bool custom = !strcmp(f->profile, "custom");
    xg_rqrec named;
    memset(&m->rq, 0, sizeof m->rq);
    if (!custom && !xg_rqrec_profile(f->profile, &m->rq))
        return xg_yaml_error(
            y, XG_INPUT, "requantise.profile",
            "found '%s', expected one of: ort, tflite1, tflite2, dpu, nvdla, mul16, "
            "mul8, custom",
            f->profile);
    named = m->rq;
    const char *absent = override(y, f, &m->rq);
    if (custom && absent)
        return xg_yaml_error(y, XG_INPUT, "requantise",
                             "profile custom needs every field; '%s' is missing", absent);
    m->profile = !custom && same_record(&named, &m->rq) ? f->profile : "custom";
    return check_record(y, &m->rq);
}

static xg_status take_tile(const xg_yaml *y, const file_tile *f, xg_machine *m) {
    xg_tile_machine *t = &m->tile;
#define X(name, lo, hi) t->name = (uint32_t)f->name;
    TILE_ROWS(X)
#undef X
    if (t->icp % t->ocp && t->ocp % t->icp)
        return xg_yaml_error(y, XG_INPUT, "tile.ocp",
                             "found %u with icp %u, expected one to be a multiple of the other",
                             t->ocp, t->icp);
    if (t->misc_rows > t->pp)
        return xg_yaml_error(y, XG_INPUT, "tile.misc_rows", "found %u, expected at most pp = %u",
                             t->misc_rows, t->pp);
    return XG_OK;
}

static xg_status take_ddr(const xg_yaml *y, const file_ddr *f, xg_machine *m) {
    int64_t rate, share;
    xg_status st = xg_yaml_decimal(y, "ddr.bytes_per_cycle", 256, 1, 65536 * 256, &rate);
    if (!st) st = xg_yaml_decimal(y, "ddr.efficiency", 256, 1, 256, &share);
    if (st) return st;
    m->ddr = (xg_ddr){.bytes = (uint64_t)f->bytes,
                      .bytes_per_cycle_x256 = (uint32_t)rate,
                      .latency = (uint32_t)f->latency,
                      .burst_bytes = (uint32_t)f->burst_bytes,
                      .burst_overhead = (uint32_t)f->burst_overhead,
                      .efficiency_x256 = (uint32_t)share};
    return XG_OK;
}

static xg_status take_head(xg_arena *a, const xg_yaml *y, const file_machine *f, xg_machine *m) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    if (!*f->name || f->name[strspn(f->name, letters)])
        return xg_yaml_error(y, XG_INPUT, "name",
                             "found '%.40s', expected letters, digits, '_', '-' and '.'", f->name);
    for (const char *p = f->description; *p; p++)
        if ((unsigned char)*p < ' ')
            return xg_yaml_error(y, XG_INPUT, "description", "a control character");
    m->name = xg_strdup(a, f->name);
    m->description = xg_strdup(a, f->description);
    m->family = xg_family_by_name(f->family);
    if (!m->family) {
        xg_buf all = {.arena = a};
        for (const char *const *n = xg_family_names(); *n; n++)
            xg_putf(&all, "%s%s", all.n ? ", " : "", *n);
        return xg_yaml_error(y, XG_INPUT, "family", "found '%s', expected one of: %s", f->family,
                             all.p);
    }
    int64_t khz;
    xg_status st = xg_yaml_decimal(y, "clock_mhz", 1000, 1, 10000000, &khz);
    if (st) return st;
    m->clock_khz = (uint32_t)khz;
    m->cores = (uint32_t)f->cores;
    return XG_OK;
}

/* ---- printing -------------------------------------------------------------------------------- */

static void print_record(const xg_machine *m, bool canonical, xg_buf *b) {
    const xg_rqrec *r = &m->rq;
    xg_puts(b, "requantise:\n");
    if (!canonical) xg_putf(b, "  profile: %s\n", m->profile);
    xg_putf(b, "  method: %s\n  rounding: %s\n  rounding2: %s\n  add: %s\n  pool: %s\n",
            method_words[r->method], rounding_words[r->rounding[0]], rounding_words[r->rounding[1]],
            add_words[r->add], pool_words[r->pool]);
#define X(name, lo, hi) xg_putf(b, "  %s: %d\n", #name, r->name);
    RQ_INT_ROWS(X)
#undef X
#define X(name) xg_putf(b, "  %s: %s\n", #name, r->name ? "true" : "false");
    RQ_BOOL_ROWS(X)
#undef X
}

/* canonical: what the digest is made of: all numbers and the name; no description, no file names.
 */
static void print_machine(const xg_machine *m, bool canonical, xg_buf *b) {
    xg_putf(b, "name: %s\n", m->name);
    if (!canonical) {
        xg_puts(b, "description: ");
        xg_put_quoted(b, m->description, true);
        xg_puts(b, "\nencoding: ");
        xg_put_quoted(b, m->encoding_file, true);
        xg_puts(b, "\n");
    }
    xg_putf(b, "family: %s\nclock_mhz: ", m->family->name);
    xg_yaml_put_decimal(b, m->clock_khz, 1000);
    xg_putf(b, "\ncores: %u\nddr:\n  bytes: %" PRIu64 "\n  bytes_per_cycle: ", m->cores,
            m->ddr.bytes);
    xg_yaml_put_decimal(b, m->ddr.bytes_per_cycle_x256, 256);
    xg_putf(b, "\n  latency: %u\n  burst_bytes: %u\n  burst_overhead: %u\n  efficiency: ",
            m->ddr.latency, m->ddr.burst_bytes, m->ddr.burst_overhead);
    xg_yaml_put_decimal(b, m->ddr.efficiency_x256, 256);
    xg_puts(b, "\n");
    print_record(m, canonical, b);
    xg_puts(b, "tile:\n");
#define X(name, lo, hi) xg_putf(b, "  %s: %u\n", #name, m->declared.name);
    TILE_ROWS(X)
#undef X
}

void xg_machine_print(const xg_machine *m, xg_buf *out) {
    print_machine(m, false, out);
}

/* ---- loading --------------------------------------------------------------------------------- */

/* The encoding's path: absolute, or beside the machine file. NULL = the family's default. */
static const char *encoding_path(xg_arena *a, const char *machine_path, const char *encoding) {
    if (!strcmp(encoding, "default")) return NULL;
    const char *slash = strrchr(machine_path, '/');
    if (*encoding == '/' || !slash) return xg_strdup(a, encoding);
    return xg_strf(a, "%.*s/%s", (int)(slash - machine_path), machine_path, encoding);
}

static xg_status take_encoding(xg_arena *a, const xg_yaml *y, const file_machine *f,
                               const char *override_path, xg_machine *m) {
    bool shipped = !strcmp(m->text_path, "built-in");
    const char *path = override_path;
    m->encoding_file = xg_strdup(a, override_path ? override_path : f->encoding);
    if (!path) {
        if (!*f->encoding || (shipped && strcmp(f->encoding, "default")))
            return xg_yaml_error(y, XG_INPUT, "encoding", "found '%s', expected default%s",
                                 f->encoding, shipped ? "" : " or a path");
        path = encoding_path(a, m->text_path, f->encoding);
    }
    xg_encoding *e;
    xg_status st = xg_encoding_load(a, m->family, path, &e);
    m->encoding = e;
    return st;
}

static xg_status parse(xg_arena *a, const char *path, bool shipped, const void *text, size_t n,
                       const char *override_path, xg_machine **out) {
    file_machine f;
    xg_yaml *y;
    xg_machine *m = xg_new(a, xg_machine);
    m->text_path = shipped ? "built-in" : xg_strdup(a, path);
    xg_status st = xg_yaml_load(a, path, text, n, &machine_map, &f, &y);
    if (!st) st = take_head(a, y, &f, m);
    if (!st) st = take_ddr(y, &f.ddr, m);
    if (!st) st = take_record(y, &f.requantise, m);
    if (!st) st = take_tile(y, &f.tile, m);
    if (!st) st = take_encoding(a, y, &f, override_path, m);
    if (st) return st;
    m->declared = m->tile;
    xg_tile_clip_memories(m);
    xg_buf canonical = {.arena = a};
    print_machine(m, true, &canonical);
    xg_sha256_hex(canonical.p, canonical.n, m->digest);
    *out = m;
    return XG_OK;
}

static bool looks_like_path(const char *s) {
    const char *dot = strrchr(s, '.');
    return strchr(s, '/') || !strcmp(s, "-") ||
           (dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml")));
}

xg_status xg_machine_load(xg_arena *a, const char *name_or_path, const char *encoding_override,
                          xg_machine **out) {
    if (looks_like_path(name_or_path)) {
        xg_bytes text;
        xg_status st = xg_read_file(a, name_or_path, &text);
        return st ? st : parse(a, name_or_path, false, text.p, text.n, encoding_override, out);
    }
    xg_buf all = {.arena = a};
    for (const xg_embedded *e = xg_embedded_machines; e->name; e++) {
        if (!strcmp(e->name, name_or_path))
            return parse(a, e->name, true, e->text, e->n, encoding_override, out);
        xg_putf(&all, "%s%s", all.n ? ", " : "", e->name);
    }
    return xg_error(xg_arena_ctx(a), XG_INPUT, "",
                    "no machine '%s'; shipped are %s; a machine file's name ends in .yaml",
                    name_or_path, all.p);
}

const char *const *xg_machine_names(void) {
    static const char *const names[] = {"edge", "kv260", "nano", "zcu102", "zu2", "zu9", NULL};
    return names;
}

double xg_machine_peak_ops(const xg_machine *m) {
    return 2.0 * m->tile.pp * m->tile.icp * m->tile.ocp * m->cores * m->clock_khz * 1000.0;
}

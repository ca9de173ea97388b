#include "xgraph/samples.h"

#include "xgraph/kernel.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILES_MAX = 1 << 20 };

/* Arrays for all inputs, holding several sets; or one picture. */
typedef struct entry {
    const char *path;
    const xg_array **array; /* [g inputs]; NULL: a picture */
    uint64_t first, sets;   /* pictures are counted apart */
} entry;

struct xg_samples {
    xg_ctx *ctx;
    xg_arena *arena;
    const xg_graph *g;
    bool random;
    uint64_t seed;
    XG_VEC(entry) entry;
    XG_VEC(const char *) picture;
    xg_image_options images;
    uint64_t sets;
};

/* ---- arrays ---- */

static bool is_integer(xg_dtype t) {
    return t == XG_I8 || t == XG_U8 || t == XG_I16 || t == XG_I32 || t == XG_I64;
}

static int64_t array_elems(const xg_array *v) {
    xg_tensor t = {.rank = v->rank};
    memcpy(t.dim, v->dim, sizeof t.dim);
    return xg_tensor_elems(&t);
}

static xg_status check_array(xg_samples *s, entry *e, uint32_t i) {
    const xg_tensor *t = xg_tensorp(s->g, s->g->input.v[i]);
    const xg_array *v = e->array[i];
    if (!v)
        return xg_error(s->ctx, XG_INPUT, e->path, "holds no array for the input '%s'", t->name);
    if (v->dtype != t->dtype && !(t->dtype == XG_F32 && is_integer(v->dtype)))
        return xg_error(s->ctx, XG_INPUT, e->path, "the array for input '%s' is %s, expected %s",
                        t->name, xg_dtype_name(v->dtype), xg_dtype_name(t->dtype));
    int64_t elems = xg_tensor_elems(t), have = array_elems(v), sets = elems ? have / elems : 0;
    if (sets < 1 || sets * elems != have)
        return xg_error(s->ctx, XG_INPUT, e->path,
                        "the array for input '%s' has %lld elements, expected a multiple of %lld",
                        t->name, (long long)have, (long long)elems);
    if (i && (uint64_t)sets != e->sets)
        return xg_error(s->ctx, XG_INPUT, e->path,
                        "the array for input '%s' holds %lld sets, the others %lld", t->name,
                        (long long)sets, (long long)e->sets);
    e->sets = (uint64_t)sets;
    return XG_OK;
}

/* By name; a single array goes to a single input, and a single f32 or whole-sized one among others
 * (labels beside images) too. */
static const xg_array *find_array(const xg_samples *s, const xg_tensor *t, const xg_array *all,
                                  uint32_t n) {
    for (uint32_t k = 0; k < n; k++)
        if (all[k].name && !strcmp(all[k].name, t->name)) return &all[k];
    if (s->g->input.n != 1) return NULL;
    if (n == 1) return &all[0];
    const xg_array *found = NULL;
    int64_t elems = xg_tensor_elems(t);
    for (uint32_t k = 0; k < n; k++) {
        int64_t have = array_elems(&all[k]);
        if (all[k].rank < 2 || have < elems || have % elems) continue;
        if (found) return NULL;
        found = &all[k];
    }
    return found;
}

static xg_status add_arrays(xg_samples *s, const char *path) {
    xg_array *all;
    uint32_t n;
    xg_status st = xg_array_read(s->arena, path, &all, &n);
    if (st != XG_OK) return st;
    entry e = {.path = path, .array = xg_newn(s->arena, const xg_array *, s->g->input.n)};
    for (uint32_t i = 0; i < s->g->input.n && st == XG_OK; i++) {
        e.array[i] = find_array(s, xg_tensorp(s->g, s->g->input.v[i]), all, n);
        st = check_array(s, &e, i);
    }
    if (st == XG_OK) xg_push(s->arena, &s->entry, e);
    return st;
}

static xg_status add_raw(xg_samples *s, const char *path) {
    if (s->g->input.n != 1)
        return xg_error(s->ctx, XG_INPUT, path, "raw elements need a graph with one input, not %u",
                        s->g->input.n);
    xg_bytes file;
    xg_status st = xg_read_file(s->arena, path, &file);
    if (st != XG_OK) return st;
    const xg_tensor *t = xg_tensorp(s->g, s->g->input.v[0]);
    size_t one = xg_dtype_bytes(t->dtype);
    if (file.n / one > INT32_MAX || file.n % one)
        return xg_error(s->ctx, XG_INPUT, path, "%zu bytes are no elements of type %s", file.n,
                        xg_dtype_name(t->dtype));
    xg_array *v = xg_new(s->arena, xg_array);
    *v = (xg_array){.dtype = t->dtype, .rank = 1, .dim = {(int64_t)(file.n / one)}};
    v->data = xg_memdup(s->arena, file.p, file.n); /* aligned */
    entry e = {.path = path, .array = xg_newn(s->arena, const xg_array *, 1)};
    e.array[0] = v;
    st = check_array(s, &e, 0);
    if (st == XG_OK) xg_push(s->arena, &s->entry, e);
    return st;
}

/* ---- paths ---- */

/* "random" or "random:SEED"; false when it is a path. */
static bool is_random(const char *s, uint64_t *seed) {
    if (strncmp(s, "random", 6)) return false;
    *seed = 0;
    if (!s[6]) return true;
    if (s[6] != ':' || s[7] < '0' || s[7] > '9') return false;
    char *end;
    errno = 0;
    *seed = strtoull(s + 7, &end, 0);
    return !*end && !errno;
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcasecmp(s + n - m, end);
}

static bool is_picture(const char *path) {
    return ends_with(path, ".png") || ends_with(path, ".jpg") || ends_with(path, ".jpeg");
}

static bool is_array_file(const char *path) {
    return ends_with(path, ".npy") || ends_with(path, ".npz") || ends_with(path, ".pb");
}

static bool is_raw(const char *path) {
    return ends_with(path, ".raw") || ends_with(path, ".bin");
}

static xg_status add_file(xg_samples *s, const char *path) {
    if (is_picture(path)) {
        xg_push(s->arena, &s->picture, path);
        return XG_OK;
    }
    return is_raw(path) ? add_raw(s, path) : add_arrays(s, path);
}

/* input_0.pb, input_1.pb ..: one array each, by position. */
static xg_status add_test_data(xg_samples *s, const char *folder) {
    entry e = {.path = folder, .array = xg_newn(s->arena, const xg_array *, s->g->input.n)};
    for (uint32_t i = 0; i < s->g->input.n; i++) {
        xg_array *v;
        uint32_t n;
        const char *path = xg_strf(s->arena, "%s/input_%u.pb", folder, i);
        xg_status st = xg_array_read(s->arena, path, &v, &n);
        if (st != XG_OK) return st;
        e.array[i] = &v[0];
        st = check_array(s, &e, i);
        if (st != XG_OK) return st;
    }
    xg_push(s->arena, &s->entry, e);
    return XG_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static xg_status list_folder(xg_samples *s, const char *folder, const char ***names, uint32_t *n) {
    XG_VEC(const char *) found = {0};
    DIR *d = opendir(folder);
    if (!d) return xg_error(s->ctx, XG_IO, folder, "cannot be read: %s", strerror(errno));
    bool too_many = false;
    for (struct dirent *f; (f = readdir(d)) && !too_many;) {
        if (f->d_name[0] == '.') continue;
        if (!is_picture(f->d_name) && !is_array_file(f->d_name) && !is_raw(f->d_name)) continue;
        too_many = found.n == FILES_MAX;
        if (!too_many) xg_push(s->arena, &found, xg_strdup(s->arena, f->d_name));
    }
    closedir(d);
    if (too_many) return xg_error(s->ctx, XG_LIMIT, folder, "more than %d files", FILES_MAX);
    if (found.n) qsort(found.v, found.n, sizeof *found.v, by_name);
    *names = found.v;
    *n = found.n;
    return XG_OK;
}

static xg_status add_folder(xg_samples *s, const char *folder) {
    const char **names = NULL;
    uint32_t n = 0;
    xg_status st = list_folder(s, folder, &names, &n);
    if (st != XG_OK) return st;
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(names[i], "input_0.pb")) return add_test_data(s, folder);
    for (uint32_t i = 0; i < n && st == XG_OK; i++)
        st = add_file(s, xg_strf(s->arena, "%s/%s", folder, names[i]));
    if (st == XG_OK && !s->entry.n && !s->picture.n)
        return xg_error(s->ctx, XG_INPUT, folder,
                        "holds no .npy, .npz, .pb, .raw, .bin, .png or .jpg file");
    return st;
}

/* ---- pictures ---- */

typedef struct layout {
    int64_t n, h, w;
    uint32_t channels;
    bool channels_first;
} layout;

static bool picture_layout(const xg_tensor *t, layout *l) {
    if (t->rank != 4) return false;
    int64_t first = t->dim[1], last = t->dim[3];
    *l = (layout){.n = t->dim[0]};
    l->channels_first = first == 1 || first == 3 || first == 4;
    if (!l->channels_first && last != 1 && last != 3 && last != 4) return false;
    l->channels = (uint32_t)(l->channels_first ? first : last);
    l->h = t->dim[l->channels_first ? 2 : 1];
    l->w = t->dim[l->channels_first ? 3 : 2];
    return true;
}

static xg_status check_pictures(xg_samples *s) {
    if (!s->picture.n) return XG_OK;
    const char *where = s->picture.v[0];
    const xg_tensor *t = s->g->input.n == 1 ? xg_tensorp(s->g, s->g->input.v[0]) : NULL;
    layout l;
    if (!t || !picture_layout(t, &l) || (t->dtype != XG_F32 && !xg_dtype_is_int8(t->dtype)))
        return xg_error(s->ctx, XG_INPUT, where,
                        "pictures need a graph with one input of four axes and 1, 3 or 4 channels "
                        "in f32, u8 or i8");
    const xg_image_options *o = &s->images;
    if ((o->nmean > 1 && o->nmean != l.channels) || (o->nstd > 1 && o->nstd != l.channels))
        return xg_error(s->ctx, XG_USAGE, where,
                        "%u means and %u standard deviations for %u channels", o->nmean, o->nstd,
                        l.channels);
    for (uint32_t i = 0; i < o->nstd; i++)
        if (!(o->std[i] > 0))
            return xg_error(s->ctx, XG_USAGE, where, "a standard deviation must be above 0");
    if (s->entry.n)
        return xg_error(s->ctx, XG_INPUT, s->entry.v[0].path,
                        "pictures and arrays are mixed in one folder");
    if (s->picture.n % (uint64_t)l.n)
        return xg_error(s->ctx, XG_INPUT, where, "%u pictures are no multiple of the batch %lld",
                        s->picture.n, (long long)l.n);
    s->sets = s->picture.n / (uint64_t)l.n;
    return XG_OK;
}

static float normalised(const xg_image_options *o, uint32_t c, int32_t p) {
    float mean = o->nmean ? o->mean[o->nmean > 1 ? c : 0] : 0;
    float div = o->nstd ? o->std[o->nstd > 1 ? c : 0] : o->nmean ? 1 : 255;
    return ((float)p - mean) / div;
}

/* One channel value of a picture into an input of any of the three types. */
static void store_pixel(const xg_samples *s, const xg_tensor *t, void *to, int64_t at, uint32_t c,
                        int32_t p) {
    const xg_image_options *o = &s->images;
    if (t->dtype == XG_F32) {
        ((float *)to)[at] = normalised(o, c, p);
        return;
    }
    int32_t lo, hi, q = p + (t->dtype == XG_I8 ? -128 : 0);
    xg_dtype_range(t->dtype, &lo, &hi);
    if ((o->nstd || o->nmean) && t->quant)
        q = xg_quantize_f32(normalised(o, c, p), t->quant->scale[0], t->quant->zp[0], lo, hi);
    xg_store(to, t->dtype, at, q);
}

static xg_status fill_picture(const xg_samples *s, const char *path, const xg_tensor *t,
                              const layout *l, int64_t n, void *to) {
    xg_arena *scratch = xg_arena_new(s->ctx);
    xg_image image;
    uint8_t *p = NULL;
    xg_status st = xg_image_read(scratch, path, &image);
    if (st == XG_OK)
        st = xg_image_resize(scratch, &image, l->h, l->w, l->channels, s->images.crop, &p);
    int64_t map = l->h * l->w, ch = l->channels;
    for (int64_t i = 0; i < map && st == XG_OK; i++)
        for (int64_t c = 0; c < ch; c++) {
            int64_t from = s->images.bgr && c < 3 && ch >= 3 ? 2 - c : c;
            int64_t at = l->channels_first ? (n * ch + c) * map + i : (n * map + i) * ch + c;
            store_pixel(s, t, to, at, (uint32_t)c, p[i * ch + from]);
        }
    xg_arena_free(scratch);
    return st;
}

static xg_status fill_pictures(const xg_samples *s, uint64_t set, xg_values *v) {
    uint32_t t = v->graph->input.v[0];
    const xg_tensor *x = xg_tensorp(v->graph, t);
    layout l;
    picture_layout(x, &l);
    void *to = xg_values_get(v, t);
    for (int64_t i = 0; i < l.n; i++) {
        const char *path = s->picture.v[set * (uint64_t)l.n + (uint64_t)i];
        xg_status st = fill_picture(s, path, x, &l, i, to);
        if (st != XG_OK) return st;
    }
    return XG_OK;
}

/* ---- the whole ---- */

static void count_sets(xg_samples *s) {
    for (uint32_t i = 0; i < s->entry.n; i++) {
        s->entry.v[i].first = s->sets;
        s->sets += s->entry.v[i].sets;
    }
}

xg_status xg_samples_open(xg_arena *a, const xg_graph *g, const char *path,
                          const xg_image_options *images, xg_samples **out) {
    xg_samples *s = *out = xg_new(a, xg_samples);
    *s = (xg_samples){.ctx = xg_arena_ctx(a), .arena = a, .g = g};
    if (images) s->images = *images;
    s->random = is_random(path, &s->seed);
    if (s->random) {
        s->sets = 1;
        return XG_OK;
    }
    struct stat info;
    bool folder = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    xg_status st = folder ? add_folder(s, path) : add_file(s, xg_strdup(a, path));
    if (st == XG_OK) count_sets(s);
    return st == XG_OK ? check_pictures(s) : st;
}

uint64_t xg_samples_count(const xg_samples *s) {
    return s->sets;
}

uint64_t xg_samples_images(const xg_samples *s) {
    const xg_tensor *t = s->g->input.n ? xg_tensorp(s->g, s->g->input.v[0]) : NULL;
    return s->sets * (t && t->rank ? (uint64_t)t->dim[0] : 1);
}

static void fill_input(const xg_array *from, uint64_t set, xg_values *v, uint32_t t) {
    const xg_tensor *x = xg_tensorp(v->graph, t);
    int64_t n = xg_tensor_elems(x), first = (int64_t)set * n;
    size_t bytes = xg_dtype_bytes(x->dtype) * (size_t)n;
    void *to = xg_values_get(v, t);
    if (x->dtype == from->dtype) {
        memcpy(to, (const char *)from->data + bytes * set, bytes);
        return;
    }
    for (int64_t k = 0; k < n; k++)
        ((float *)to)[k] = (float)xg_load(from->data, from->dtype, first + k);
}

/* In the ranges of the samples' own graph, whatever v's quantises its inputs to. */
static xg_status fill_random(const xg_samples *s, xg_values *v) {
    xg_arena *scratch = xg_arena_new(s->ctx);
    xg_values own;
    xg_values_init(&own, s->g, scratch);
    xg_status st = xg_values_fill(s->ctx, &own, "random", s->seed);
    for (uint32_t k = 0; k < s->g->input.n && st == XG_OK; k++) {
        const xg_tensor *x = xg_tensorp(s->g, s->g->input.v[k]);
        memcpy(xg_values_get(v, v->graph->input.v[k]), own.v[s->g->input.v[k]],
               (size_t)xg_tensor_elems(x) * xg_dtype_bytes(x->dtype));
    }
    xg_arena_free(scratch);
    return st;
}

xg_status xg_samples_fill(const xg_samples *s, uint64_t i, xg_values *v) {
    if (s->random) return fill_random(s, v);
    if (s->picture.n) return fill_pictures(s, i, v);
    uint32_t e = 0;
    while (e + 1 < s->entry.n && i >= s->entry.v[e].first + s->entry.v[e].sets) e++;
    for (uint32_t k = 0; k < s->g->input.n; k++)
        fill_input(s->entry.v[e].array[k], i - s->entry.v[e].first, v, v->graph->input.v[k]);
    return XG_OK;
}

/* PNG and JPEG through libpng and libjpeg, and the resize. The only file that includes them. */
#include "xgraph/samples.h"

#include <stdio.h> /* jpeglib.h needs FILE */

#include <jpeglib.h>
#include <png.h>
#include <setjmp.h>
#include <string.h>

enum { PIXELS_MAX = 64 << 20, SIDE_MAX = 65535 };

static xg_status check_size(xg_arena *a, const char *path, uint64_t h, uint64_t w) {
    if (h < 1 || w < 1 || h > SIDE_MAX || w > SIDE_MAX || h * w > PIXELS_MAX)
        return xg_error(xg_arena_ctx(a), XG_LIMIT, path,
                        "a picture of %llu x %llu pixels; at most %d in all are read",
                        (unsigned long long)w, (unsigned long long)h, PIXELS_MAX);
    return XG_OK;
}

/* ---- PNG ---- */

static void free_png(void *p) {
    png_image_free(p); /* may be called again */
}

static xg_status read_png(xg_arena *a, const char *path, xg_bytes file, xg_image *out) {
    png_image *p = xg_new(a, png_image);
    xg_arena_defer(a, free_png, p);
    p->version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_memory(p, file.p, file.n))
        return xg_error(xg_arena_ctx(a), XG_INPUT, path, "not a PNG that can be read: %s",
                        p->message);
    bool colour = p->format & PNG_FORMAT_FLAG_COLOR, alpha = p->format & PNG_FORMAT_FLAG_ALPHA;
    p->format = alpha ? PNG_FORMAT_RGBA : colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
    xg_status st = check_size(a, path, p->height, p->width);
    if (st != XG_OK) return st;
    uint8_t *data = xg_alloc(a, PNG_IMAGE_SIZE(*p));
    *out = (xg_image){p->height, p->width, alpha ? 4 : colour ? 3 : 1, data};
    if (png_image_finish_read(p, NULL, data, 0, NULL)) return XG_OK;
    return xg_error(xg_arena_ctx(a), XG_INPUT, path, "the PNG is damaged: %s", p->message);
}

/* ---- JPEG ---- */

typedef struct jpeg {
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr errors;
    jmp_buf jump;
    char text[JMSG_LENGTH_MAX];
} jpeg;

/* d is the first member. */
static void fail_jpeg(j_common_ptr c) {
    jpeg *j = (jpeg *)c;
    c->err->format_message(c, j->text);
    longjmp(j->jump, 1);
}

static void note_jpeg(j_common_ptr c, int level) {
    if (level < 0 && c->err->num_warnings++ == 0) c->err->format_message(c, ((jpeg *)c)->text);
}

static void free_jpeg(void *p) {
    jpeg_destroy_decompress(&((jpeg *)p)->d); /* may be called again */
}

/* The accurate integer transform and plain upsampling: the same bits whatever the host prefers. */
static void start_jpeg(jpeg *j, xg_bytes file) {
    jpeg_mem_src(&j->d, file.p, file.n);
    jpeg_read_header(&j->d, TRUE);
    j->d.out_color_space = j->d.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    j->d.dct_method = JDCT_ISLOW;
    j->d.do_fancy_upsampling = TRUE;
    jpeg_start_decompress(&j->d);
}

/* Under setjmp: nothing here outlives a jump but what is in the arena. */
static xg_status decode_jpeg(xg_arena *a, const char *path, jpeg *j, xg_image *out) {
    struct jpeg_decompress_struct *d = &j->d;
    xg_status st = check_size(a, path, d->output_height, d->output_width);
    if (st != XG_OK) return st;
    if (d->output_components != 1 && d->output_components != 3)
        return xg_error(xg_arena_ctx(a), XG_UNSUPPORTED, path, "a JPEG with %d components",
                        d->output_components);
    size_t row = (size_t)d->output_width * (size_t)d->output_components;
    uint8_t *data = xg_alloc_array(a, d->output_height, row);
    *out = (xg_image){d->output_height, d->output_width, (uint32_t)d->output_components, data};
    while (d->output_scanline < d->output_height) {
        JSAMPROW at = data + row * d->output_scanline;
        jpeg_read_scanlines(d, &at, 1);
    }
    if (j->errors.num_warnings)
        return xg_error(xg_arena_ctx(a), XG_INPUT, path, "the JPEG is damaged: %s", j->text);
    return XG_OK;
}

static xg_status read_jpeg(xg_arena *a, const char *path, xg_bytes file, xg_image *out) {
    jpeg *j = xg_new(a, jpeg);
    j->d.err = jpeg_std_error(&j->errors);
    j->errors.error_exit = fail_jpeg;
    j->errors.emit_message = note_jpeg;
    if (setjmp(j->jump))
        return xg_error(xg_arena_ctx(a), XG_INPUT, path, "not a JPEG that can be read: %s",
                        j->text);
    jpeg_create_decompress(&j->d);
    xg_arena_defer(a, free_jpeg, j);
    start_jpeg(j, file);
    return decode_jpeg(a, path, j, out);
}

xg_status xg_image_read(xg_arena *a, const char *path, xg_image *out) {
    xg_bytes file;
    xg_status st = xg_read_file(a, path, &file);
    if (st != XG_OK) return st;
    if (file.n >= 8 && !memcmp(file.p, "\x89PNG\r\n\x1a\n", 8)) return read_png(a, path, file, out);
    if (file.n >= 3 && !memcmp(file.p, "\xff\xd8\xff", 3)) return read_jpeg(a, path, file, out);
    return xg_error(xg_arena_ctx(a), XG_INPUT, path, "neither PNG nor JPEG");
}

/* ---- resize ---- */

enum { BITS = 11, ONE = 1 << BITS };

/* Where an output pixel samples one axis: two neighbours and the second's weight. */
typedef struct tap {
    int64_t at, next;
    int32_t weight;
} tap;

/* Source of output i: (i + 1/2) in / out - 1/2, in fractions of ONE, rounded down. */
static tap tap_of(int64_t i, int64_t in, int64_t out, int64_t offset) {
    int64_t pos = ((2 * i + 1) * in * ONE / out - ONE) / 2;
    pos = xg_clamp(pos, 0, (in - 1) * ONE);
    tap t = {pos >> BITS, 0, (int32_t)(pos & (ONE - 1))};
    t.next = offset + xg_min(t.at + 1, in - 1);
    t.at += offset;
    return t;
}

static int32_t channel(const xg_image *m, int64_t y, int64_t x, uint32_t c, uint32_t want) {
    const uint8_t *p = m->data + (y * m->w + x) * m->channels;
    if (m->channels == 1) return c == 3 ? 255 : p[0];
    if (want == 1) return (299 * p[0] + 587 * p[1] + 114 * p[2] + 500) / 1000;
    return c < m->channels ? p[c] : 255;
}

xg_status xg_image_resize(xg_arena *a, const xg_image *from, int64_t h, int64_t w,
                          uint32_t channels, bool crop, uint8_t **out) {
    if (h < 1 || w < 1 || h > SIDE_MAX || w > SIDE_MAX || h * w > PIXELS_MAX)
        return xg_error(xg_arena_ctx(a), XG_LIMIT, "", "an input of %lld x %lld pixels",
                        (long long)w, (long long)h);
    int64_t ih = from->h, iw = from->w;
    if (crop && ih * w > iw * h)
        ih = xg_max(1, iw * h / w);
    else if (crop)
        iw = xg_max(1, ih * w / h);
    int64_t top = (from->h - ih) / 2, left = (from->w - iw) / 2;
    uint8_t *to = *out = xg_alloc_array(a, (size_t)(h * w), channels);
    for (int64_t y = 0; y < h; y++) {
        tap ty = tap_of(y, ih, h, top);
        for (int64_t x = 0; x < w; x++) {
            tap tx = tap_of(x, iw, w, left);
            for (uint32_t c = 0; c < channels; c++) {
                int64_t up = (int64_t)channel(from, ty.at, tx.at, c, channels) * (ONE - tx.weight) +
                             (int64_t)channel(from, ty.at, tx.next, c, channels) * tx.weight;
                int64_t down =
                    (int64_t)channel(from, ty.next, tx.at, c, channels) * (ONE - tx.weight) +
                    (int64_t)channel(from, ty.next, tx.next, c, channels) * tx.weight;
                int64_t v = up * (ONE - ty.weight) + down * ty.weight;
                *to++ = (uint8_t)((v + (1 << (2 * BITS - 1))) >> (2 * BITS));
            }
        }
    }
    return XG_OK;
}

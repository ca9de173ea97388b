/* Pictures as example inputs: what is read from PNG and JPEG, and the resize, against formulas
 * written out here. The files are made here, too. */
#include "xgraph/samples.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h> /* jpeglib.h needs FILE */

#include <jpeglib.h>
#include <png.h>

#include "float_net.h"
#include "xg_test.h"

enum { H = 7, W = 9 };

/* ---- files ---- */

typedef struct file {
    char path[40];
} file;

static file write_bytes(xg_test *t, const char *end, const void *p, size_t n) {
    file f;
    snprintf(f.path, sizeof f.path, "test_images_XXXXXX%s", end);
    int fd = mkstemps(f.path, (int)strlen(end));
    assert_true(fd >= 0);
    close(fd);
    assert_ok(t->c, xg_write_file(t->c, f.path, p, n));
    return f;
}

static file write_png(xg_test *t, uint32_t format, const uint8_t *pixels) {
    png_image p = {.version = PNG_IMAGE_VERSION, .width = W, .height = H, .format = format};
    uint8_t out[8192];
    png_alloc_size_t n = sizeof out;
    assert_true(png_image_write_to_memory(&p, out, &n, 0, pixels, 0, NULL));
    return write_bytes(t, ".png", out, n);
}

static file write_jpeg(xg_test *t, int channels, const uint8_t *pixels) {
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char *out = NULL;
    unsigned long n = 0;
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &out, &n);
    c.image_width = W;
    c.image_height = H;
    c.input_components = channels;
    c.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 100, TRUE);
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < H) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + c.next_scanline * W * (unsigned)channels);
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    file f = write_bytes(t, ".jpg", out, n);
    free(out);
    return f;
}

static uint8_t *noise(xg_arena *a, size_t n, uint64_t seed) {
    uint8_t *p = xg_alloc(a, n);
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)xg_random(&seed);
    return p;
}

/* ---- reading ---- */

static void png_is_read_exactly(void **state) {
    xg_test *t = *state;
    static const uint32_t formats[] = {PNG_FORMAT_GRAY, PNG_FORMAT_RGB, PNG_FORMAT_RGBA};
    static const uint32_t channels[] = {1, 3, 4};
    for (size_t i = 0; i < XG_COUNT(formats); i++) {
        const uint8_t *pixels = noise(t->a, H * W * channels[i], i + 1);
        file f = write_png(t, formats[i], pixels);
        xg_image m;
        xg_status st = xg_image_read(t->a, f.path, &m);
        unlink(f.path);
        assert_ok(t->c, st);
        assert_true(m.h == H && m.w == W && m.channels == channels[i]);
        assert_memory_equal(m.data, pixels, H * W * channels[i]);
    }
}

/* Smooth pictures at the best quality: decoders differ by little, and ours is one of them. */
static void jpeg_is_read_nearly(void **state) {
    xg_test *t = *state;
    for (int channels = 1; channels <= 3; channels += 2) {
        uint8_t pixels[H * W * 3];
        for (int i = 0; i < H * W; i++)
            for (int c = 0; c < channels; c++)
                pixels[i * channels + c] = (uint8_t)(60 + i / W * 9 + i % W * 5 + c);
        file f = write_jpeg(t, channels, pixels);
        xg_image m, again;
        xg_status st = xg_image_read(t->a, f.path, &m);
        if (st == XG_OK) st = xg_image_read(t->a, f.path, &again);
        unlink(f.path);
        assert_ok(t->c, st);
        assert_true(m.h == H && m.w == W && m.channels == (uint32_t)channels);
        for (int i = 0; i < H * W * channels; i++) assert_true(abs(m.data[i] - pixels[i]) <= 6);
        assert_memory_equal(m.data, again.data, (size_t)(H * W * channels));
    }
}

static void damaged_files_are_refused(void **state) {
    xg_test *t = *state;
    const uint8_t *pixels = noise(t->a, H * W * 3, 9);
    for (int jpeg = 0; jpeg < 2; jpeg++) {
        file whole = jpeg ? write_jpeg(t, 3, pixels) : write_png(t, PNG_FORMAT_RGB, pixels);
        xg_bytes b;
        assert_ok(t->c, xg_read_file(t->a, whole.path, &b));
        unlink(whole.path);
        uint32_t refused = 0;
        for (size_t n = 0; n < b.n; n += 1 + b.n / 40) {
            file f = write_bytes(t, jpeg ? ".jpg" : ".png", b.p, n);
            xg_image m;
            xg_status st = xg_image_read(t->a, f.path, &m);
            unlink(f.path);
            assert_true(st == XG_OK || st == XG_INPUT);
            refused += st != XG_OK;
        }
        assert_true(refused > 10);
    }
}

/* ---- resizing ---- */

/* Bilinear with aligned pixel centres and clamped edges, in real numbers. */
static double sample(const xg_image *m, double y, double x, uint32_t c) {
    y = fmin(fmax(y, 0), (double)m->h - 1);
    x = fmin(fmax(x, 0), (double)m->w - 1);
    int64_t y0 = (int64_t)y, x0 = (int64_t)x, y1 = xg_min(y0 + 1, m->h - 1),
            x1 = xg_min(x0 + 1, m->w - 1);
    double fy = y - (double)y0, fx = x - (double)x0;
    const uint8_t *p = m->data;
#define AT(yy, xx) p[((yy)*m->w + (xx)) * m->channels + c]
    return (AT(y0, x0) * (1 - fx) + AT(y0, x1) * fx) * (1 - fy) +
           (AT(y1, x0) * (1 - fx) + AT(y1, x1) * fx) * fy;
#undef AT
}

static void resize_is_bilinear(void **state) {
    xg_test *t = *state;
    static const int64_t sizes[][2] = {{H, W}, {14, 18}, {5, 4}, {1, 1}, {20, 3}};
    xg_image m = {H, W, 3, noise(t->a, H * W * 3, 4)};
    for (size_t k = 0; k < XG_COUNT(sizes); k++) {
        uint8_t *out;
        int64_t h = sizes[k][0], w = sizes[k][1];
        assert_ok(t->c, xg_image_resize(t->a, &m, h, w, 3, false, &out));
        for (int64_t i = 0; i < h * w * 3; i++) {
            double y = ((double)(i / 3 / w) + 0.5) * H / (double)h - 0.5;
            double x = ((double)(i / 3 % w) + 0.5) * W / (double)w - 0.5;
            assert_true(fabs(out[i] - sample(&m, y, x, (uint32_t)(i % 3))) <= 0.75);
        }
        if (!k) assert_memory_equal(out, m.data, H * W * 3);
    }
}

static void channels_are_converted(void **state) {
    xg_test *t = *state;
    xg_image grey = {H, W, 1, noise(t->a, H * W, 5)}, colour = {H, W, 3, noise(t->a, H * W * 3, 6)};
    uint8_t *three, *one, *four;
    assert_ok(t->c, xg_image_resize(t->a, &grey, H, W, 3, false, &three));
    assert_ok(t->c, xg_image_resize(t->a, &colour, H, W, 1, false, &one));
    assert_ok(t->c, xg_image_resize(t->a, &colour, H, W, 4, false, &four));
    for (int i = 0; i < H * W; i++) {
        const uint8_t *p = colour.data + 3 * i;
        for (int c = 0; c < 3; c++) {
            assert_int_equal(three[3 * i + c], grey.data[i]);
            assert_int_equal(four[4 * i + c], p[c]);
        }
        assert_int_equal(four[4 * i + 3], 255);
        assert_int_equal(one[i], (299 * p[0] + 587 * p[1] + 114 * p[2] + 500) / 1000);
    }
}

static void crop_takes_the_middle(void **state) {
    xg_test *t = *state;
    xg_image m = {4, 8, 1, noise(t->a, 32, 7)};
    uint8_t *out;
    assert_ok(t->c, xg_image_resize(t->a, &m, 4, 4, 1, true, &out));
    for (int y = 0; y < 4; y++) assert_memory_equal(out + 4 * y, m.data + 8 * y + 2, 4);
}

/* ---- as a model's input ---- */

static void pixels_become_the_numbers_asked_for(void **state) {
    xg_test *t = *state;
    maker m = {t->a, xg_graph_new(t->a, "picture"), 1};
    xg_tensor x = {.name = "x", .dtype = XG_F32, .rank = 4, .dim = {1, 3, H, W}};
    x.producer = XG_NONE;
    uint32_t in = xg_graph_add_tensor(m.g, &x);
    xg_graph_add_input(m.g, in);
    xg_graph_add_output(m.g, add(&m, XG_OP_Neg, "y", in, XG_NONE));
    assert_ok(t->c, xg_graph_infer(t->c, m.g));
    const uint8_t *pixels = noise(t->a, H * W * 3, 8);
    file f = write_png(t, PNG_FORMAT_RGB, pixels);
    for (int k = 0; k < 3; k++) { /* plain; mean and std; and blue first */
        xg_image_options o = {.mean = {10, 20, 30}, .std = {2, 4, 8}, .nmean = 3, .nstd = 3};
        if (!k) o.nmean = o.nstd = 0;
        o.bgr = k == 2;
        xg_samples *s;
        assert_ok(t->c, xg_samples_open(t->a, m.g, f.path, &o, &s));
        assert_int_equal(xg_samples_count(s), 1);
        xg_values v;
        xg_values_init(&v, m.g, t->a);
        assert_ok(t->c, xg_samples_fill(s, 0, &v));
        const float *got = v.v[in];
        for (int i = 0; i < H * W * 3; i++) {
            int c = i / (H * W), from = k == 2 ? 2 - c : c;
            float p = pixels[i % (H * W) * 3 + from];
            assert_true(got[i] == (k ? (p - o.mean[c]) / o.std[c] : p / 255));
        }
    }
    unlink(f.path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(png_is_read_exactly),
        TEST(jpeg_is_read_nearly),
        TEST(damaged_files_are_refused),
        TEST(resize_is_bilinear),
        TEST(channels_are_converted),
        TEST(crop_takes_the_middle),
        TEST(pixels_become_the_numbers_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

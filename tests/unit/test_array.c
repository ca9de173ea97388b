/* Arrays from files: numpy's formats and TensorProto, written here byte by byte; damaged ones are
 * refused in one line. */
#include "xgraph/interp.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "xg_test.h"

#include <math.h>
#include <zlib.h>

typedef struct file {
    uint8_t p[4096];
    size_t n;
} file;

static void put(file *f, const void *p, size_t n) {
    assert_true(f->n + n <= sizeof f->p);
    memcpy(f->p + f->n, p, n);
    f->n += n;
}

static void put_le(file *f, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++) {
        uint8_t b = (uint8_t)(v >> (8 * i));
        put(f, &b, 1);
    }
}

/* Writes the bytes to a file of this name in a folder of the test's own and reads them as an array.
 */
static xg_status read_as(xg_test *t, const char *name, const void *p, size_t n, xg_array **out,
                         uint32_t *count) {
    char dir[] = "xgc-array-XXXXXX";
    assert_non_null(mkdtemp(dir));
    const char *path = xg_strf(t->a, "%s/%s", dir, name);
    FILE *to = fopen(path, "wb");
    assert_non_null(to);
    assert_int_equal(fwrite(p, 1, n, to), n);
    assert_int_equal(fclose(to), 0);
    xg_status st = xg_array_read(t->a, path, out, count);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    return st;
}

static file npy_of(int version, const char *header, const void *data, size_t n) {
    file f = {.n = 0};
    put(&f, "\x93NUMPY", 6);
    put_le(&f, (uint64_t)version, 2);
    put_le(&f, strlen(header), version == 1 ? 2 : 4);
    put(&f, header, strlen(header));
    put(&f, data, n);
    return f;
}

static xg_status read_npy(xg_test *t, int version, const char *header, const void *data, size_t n,
                          xg_array **out) {
    file f = npy_of(version, header, data, n);
    uint32_t count = 0;
    xg_status st = read_as(t, "x.npy", f.p, f.n, out, &count);
    if (!st) assert_int_equal(count, 1);
    return st;
}

static void npy_types(void **state) {
    xg_test *t = *state;
    static const struct {
        const char *descr;
        xg_dtype dtype;
        uint8_t bytes[16]; /* two elements */
        size_t size;
        double want[2];
    } rows[] = {
        {"<f4", XG_F32, {0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0}, 8, {1, -2.5}},
        {"<f8", XG_F32, {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 4, 0xc0}, 16, {1, -2.5}},
        {"|i1", XG_I8, {0xff, 0x7f}, 2, {-1, 127}},
        {"|u1", XG_U8, {0xff, 0x7f}, 2, {255, 127}},
        {"<i2", XG_I16, {0, 0x80, 2, 1}, 4, {-32768, 258}},
        {"<i4", XG_I32, {0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0}, 8, {-1, 65536}},
        {"<i8", XG_I64, {1, 0, 0, 0, 0, 0, 0, 0x80, 7, 0, 0, 0, 1}, 16, {-0x1p63, 0x1p32 + 7}},
        {"|b1", XG_BOOL, {2, 0}, 2, {1, 0}},
    };
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        xg_array *v;
        const char *h = xg_strf(
            t->a, "{'descr': '%s', 'fortran_order': False, 'shape': (2,), }   \n", rows[i].descr);
        assert_ok(t->c, read_npy(t, i % 2 ? 1 : 2, h, rows[i].bytes, rows[i].size, &v));
        assert_int_equal(v->dtype, rows[i].dtype);
        assert_true(v->rank == 1 && v->dim[0] == 2 && !v->name);
        for (int k = 0; k < 2; k++) {
            double got =
                v->dtype == XG_F32   ? (double)((const float *)v->data)[k]
                : v->dtype == XG_I8  ? ((const int8_t *)v->data)[k]
                : v->dtype == XG_I16 ? ((const int16_t *)v->data)[k]
                : v->dtype == XG_I32 ? ((const int32_t *)v->data)[k]
                : v->dtype == XG_I64
                    ? (double)(((const int64_t *)v->data)[k] & ~(int64_t)1) + (rows[i].want[k] > 0)
                    : ((const uint8_t *)v->data)[k];
            assert_true(got == rows[i].want[k]);
        }
    }
}

static void npy_order_and_rank(void **state) {
    xg_test *t = *state;
    xg_array *v;
    const uint8_t bytes[6] = {1, 4, 2, 5, 3, 6}; /* columns of [[1, 2, 3], [4, 5, 6]] */
    assert_ok(t->c,
              read_npy(t, 3, "{\"shape\": (2, 3), \"fortran_order\": True, \"descr\": \"|u1\"}",
                       bytes, 6, &v));
    assert_true(v->rank == 2 && v->dim[0] == 2 && v->dim[1] == 3);
    assert_memory_equal(v->data, ((const uint8_t[]){1, 2, 3, 4, 5, 6}), 6);
    assert_ok(t->c, read_npy(t, 1, "{'descr': '|u1', 'fortran_order': False, 'shape': ()}", bytes,
                             1, &v));
    assert_true(v->rank == 0 && ((const uint8_t *)v->data)[0] == 1);
}

static void npy_refusals(void **state) {
    xg_test *t = *state;
    static const struct {
        const char *header;
        size_t bytes;
        xg_status want;
        const char *said;
    } rows[] = {
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}", 4, XG_UNSUPPORTED, ">f4"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", 8, XG_UNSUPPORTED, "<c8"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", 8, XG_INPUT, "expected 12"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", 8, XG_INPUT, "expected 4"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0,)}", 0, XG_INPUT, "0 elements"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", 4, XG_INPUT, "damaged"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", 4, XG_INPUT,
         "damaged"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (65536, 65536, 65536, 65536)}", 4,
         XG_LIMIT, "more than"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 4, XG_INPUT,
         "damaged"},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}", 4, XG_INPUT, "damaged"},
        {"{'descr': '<f4', 'fortran_order': False}", 4, XG_INPUT, "damaged"},
        {"{'descr': '<f4', 'other': 1, 'fortran_order': False, 'shape': (1,)}", 4, XG_INPUT,
         "damaged"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,", 4, XG_INPUT, "damaged"},
        {"", 4, XG_INPUT, "damaged"},
    };
    const uint8_t data[16] = {0};
    xg_array *v;
    uint32_t n;
    for (size_t i = 0; i < XG_COUNT(rows); i++) {
        assert_status(t->c, read_npy(t, 1, rows[i].header, data, rows[i].bytes, &v), rows[i].want);
        assert_said(t->c, rows[i].said);
    }
    file f = npy_of(1, "{}", data, 0);
    f.p[6] = 4;
    assert_status(t->c, read_as(t, "x.npy", f.p, f.n, &v, &n), XG_UNSUPPORTED);
    f.p[6] = 1;
    f.p[9] = 0xff;
    assert_status(t->c, read_as(t, "x.npy", f.p, f.n, &v, &n), XG_INPUT);
    assert_status(t->c, read_as(t, "x.npy", f.p, 7, &v, &n), XG_INPUT);
    assert_status(t->c, read_as(t, "x.txt", "hello", 5, &v, &n), XG_INPUT);
    assert_said(t->c, "no array file");
    assert_status(t->c, xg_array_read(t->a, "there-is-no-such-file.npy", &v, &n), XG_IO);
}

static void npy_written(void **state) {
    xg_test *t = *state;
    for (int rank = 0; rank <= 4; rank++) {
        for (int type = 0; type < XG_DTYPE_COUNT; type++) {
            xg_array v = {.dtype = (xg_dtype)type, .rank = (uint8_t)rank, .dim = {2, 1, 3, 5}};
            size_t n = xg_dtype_bytes(v.dtype);
            for (int i = 0; i < rank; i++) n *= (size_t)v.dim[i];
            uint8_t data[30 * 8];
            for (size_t i = 0; i < sizeof data; i++)
                data[i] = type == XG_BOOL ? i % 2 : (uint8_t)(i * 37 % 120);
            v.data = data;
            char path[] = "xgc-npy-XXXXXX";
            int fd = mkstemp(path);
            assert_true(fd >= 0);
            close(fd);
            assert_ok(t->c, xg_array_write_npy(t->c, path, &v));
            xg_array *back;
            uint32_t count;
            assert_ok(t->c, xg_array_read(t->a, path, &back, &count));
            unlink(path);
            assert_true(count == 1 && back->dtype == v.dtype && back->rank == v.rank);
            assert_memory_equal(back->dim, v.dim, (size_t)rank * sizeof *v.dim);
            assert_memory_equal(back->data, data, n);
        }
    }
}

/* ---- zip ---- */

typedef struct member {
    const char *name;
    file body;
    bool deflated;
} member;

static size_t squeeze(const file *body, uint8_t *out, size_t room) {
    z_stream z = {
        .next_in = (Bytef *)(uintptr_t)body->p, .avail_in = (uInt)body->n, .next_out = out};
    z.avail_out = (uInt)room;
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static void put_header(file *f, const member *m, uint32_t packed, bool central, uint32_t offset) {
    put(f, central ? "PK\1\2" : "PK\3\4", 4);
    if (central) put_le(f, 20, 2);
    put_le(f, 20, 2);
    put_le(f, 0, 2);
    put_le(f, m->deflated ? 8 : 0, 2);
    put_le(f, 0, 4);
    put_le(f, crc32(0, m->body.p, (uInt)m->body.n), 4);
    put_le(f, packed, 4);
    put_le(f, m->body.n, 4);
    put_le(f, strlen(m->name), 2);
    put_le(f, 0, 2);
    if (central) {
        put_le(f, 0, 8);
        put_le(f, 0, 2);
        put_le(f, offset, 4);
    }
    put(f, m->name, strlen(m->name));
}

static file zip_of(const member *m, uint32_t n, uint32_t *offset) {
    file f = {.n = 0}, directory = {.n = 0};
    for (uint32_t i = 0; i < n; i++) {
        uint8_t packed[2048];
        size_t size = m[i].body.n;
        if (m[i].deflated)
            size = squeeze(&m[i].body, packed, sizeof packed);
        else
            memcpy(packed, m[i].body.p, size);
        put_header(&directory, &m[i], (uint32_t)size, true, (uint32_t)f.n);
        if (offset) offset[i] = (uint32_t)f.n;
        put_header(&f, &m[i], (uint32_t)size, false, 0);
        put(&f, packed, size);
    }
    size_t at = f.n;
    put(&f, directory.p, directory.n);
    put(&f, "PK\5\6", 4);
    put_le(&f, 0, 4);
    put_le(&f, n, 2);
    put_le(&f, n, 2);
    put_le(&f, directory.n, 4);
    put_le(&f, at, 4);
    put_le(&f, 0, 2);
    return f;
}

static file sample_zip(void) {
    static const char h[] = "{'descr': '|u1', 'fortran_order': False, 'shape': (300,)}";
    static const char g[] = "{'descr': '<i2', 'fortran_order': False, 'shape': (2,)}";
    uint8_t ramp[300];
    for (int i = 0; i < 300; i++) ramp[i] = (uint8_t)(i / 3);
    const member m[2] = {{"image.npy", npy_of(1, h, ramp, 300), true},
                         {"scale", npy_of(1, g, (const uint8_t[]){1, 0, 2, 0}, 4), false}};
    return zip_of(m, 2, NULL);
}

static void npz(void **state) {
    xg_test *t = *state;
    file f = sample_zip();
    xg_array *v;
    uint32_t n;
    assert_ok(t->c, read_as(t, "x.npz", f.p, f.n, &v, &n));
    assert_int_equal(n, 2);
    assert_string_equal(v[0].name, "image");
    assert_string_equal(v[1].name, "scale");
    assert_true(v[0].dtype == XG_U8 && v[0].dim[0] == 300 &&
                ((const uint8_t *)v[0].data)[299] == 99);
    assert_true(v[1].dtype == XG_I16 && ((const int16_t *)v[1].data)[1] == 2);
}

/* The last element of the stored member, just before the directory: only the checksum can tell. */
static void npz_checksum(void **state) {
    xg_test *t = *state;
    file f = sample_zip();
    size_t directory = f.p[f.n - 6] + 256u * f.p[f.n - 5];
    xg_array *v;
    uint32_t n;
    f.p[directory - 1] ^= 1;
    assert_status(t->c, read_as(t, "x.npz", f.p, f.n, &v, &n), XG_INPUT);
    assert_said(t->c, "checksum");
}

/* Every single byte changed, every length cut: an error or the same arrays, never a crash
 * (sanitizers watch). */
static void npz_damage(void **state) {
    xg_test *t = *state;
    const file good = sample_zip();
    uint32_t refused = 0;
    for (size_t i = 0; i < good.n; i++)
        for (int bit = 0; bit < 8; bit += 3) {
            file f = good;
            xg_array *v;
            uint32_t n;
            f.p[i] ^= (uint8_t)(1 << bit);
            xg_status st = read_as(t, "x.npz", f.p, f.n, &v, &n);
            refused += st != XG_OK;
            assert_true(st == XG_OK || st == XG_INPUT || st == XG_UNSUPPORTED || st == XG_LIMIT);
        }
    assert_true(refused > good.n); /* more than a third of all */
    for (size_t n = 0; n < good.n; n++) {
        xg_array *v;
        uint32_t count;
        assert_true(read_as(t, "x.npz", good.p, n, &v, &count) != XG_OK);
    }
}

/* One member that many directory entries name: the sum of the packed sizes exceeds the file. */
static void npz_overlap(void **state) {
    xg_test *t = *state;
    file body = npy_of(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (1000,)}",
                       sample_zip().p, 1000);
    member m[12];
    for (int i = 0; i < 12; i++) m[i] = (member){"a", body, false};
    file f = zip_of(m, 1, NULL), all = {.n = 0};
    size_t one = sizeof "a" - 1 + 46, at = f.n - 22 - one;
    put(&all, f.p, at);
    for (int i = 0; i < 12; i++) put(&all, f.p + at, one);
    put(&all, f.p + at + one, 22);
    all.p[all.n - 12] = 12;
    xg_array *v;
    uint32_t n;
    assert_status(t->c, read_as(t, "x.npz", all.p, all.n, &v, &n), XG_INPUT);
    assert_said(t->c, "overlap");
}

/* ---- TensorProto ---- */

static void put_field(file *f, int field, int wire) {
    put_le(f, (uint64_t)(field << 3 | wire), 1);
}

static void put_run(file *f, int field, const void *p, size_t n) {
    put_field(f, field, 2);
    put_le(f, n, 1);
    put(f, p, n);
}

static file proto_of(const char *name, int type, int d0, int d1) {
    file f = {.n = 0};
    put_field(&f, 1, 0);
    put_le(&f, (uint64_t)d0, 1);
    put_field(&f, 1, 0);
    put_le(&f, (uint64_t)d1, 1);
    put_field(&f, 2, 0);
    put_le(&f, (uint64_t)type, 1);
    put_run(&f, 8, name, strlen(name));
    return f;
}

static void tensor_proto(void **state) {
    xg_test *t = *state;
    xg_array *v;
    uint32_t n;
    const float x[2] = {1.5f, -2};
    file f = proto_of("x", 1, 1, 2);
    put_run(&f, 9, x, 8);
    assert_ok(t->c, read_as(t, "x.pb", f.p, f.n, &v, &n));
    assert_true(n == 1 && v->dtype == XG_F32 && v->rank == 2 && v->dim[1] == 2);
    assert_string_equal(v->name, "x");
    assert_memory_equal(v->data, x, 8);
    f = proto_of("f", 1, 2, 1); /* float_data, packed; then dims packed too */
    put_run(&f, 4, x, 8);
    assert_ok(t->c, read_as(t, "x.pb", f.p, f.n, &v, &n));
    assert_memory_equal(v->data, x, 8);
    f = proto_of("h", 10, 1, 3);
    put_run(&f, 9, (const uint8_t[]){0, 0x3c, 1, 0, 0, 0xfc}, 6); /* 1, the least subnormal, -inf */
    assert_ok(t->c, read_as(t, "x.pb", f.p, f.n, &v, &n));
    assert_true(((const float *)v->data)[0] == 1 && ((const float *)v->data)[1] == 0x1p-24f &&
                ((const float *)v->data)[2] == -INFINITY);
    f = proto_of("i", 3, 2, 1); /* int8 in int32_data, negative: ten bytes of varint */
    put_run(&f, 5, (const uint8_t[]){0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 5},
            11);
    assert_ok(t->c, read_as(t, "x.pb", f.p, f.n, &v, &n));
    assert_true(v->dtype == XG_I8 && ((const int8_t *)v->data)[0] == -2 &&
                ((const int8_t *)v->data)[1] == 5);
}

static void tensor_proto_refusals(void **state) {
    xg_test *t = *state;
    xg_array *v;
    uint32_t n;
    file f = proto_of("x", 1, 1, 2);
    put_run(&f, 9, "1234", 4);
    assert_status(t->c, read_as(t, "x.pb", f.p, f.n, &v, &n), XG_INPUT);
    assert_said(t->c, "expected 8");
    f = proto_of("x", 8, 1, 1);
    assert_status(t->c, read_as(t, "x.pb", f.p, f.n, &v, &n), XG_UNSUPPORTED);
    f = proto_of("x", 1, 0, 1);
    assert_status(t->c, read_as(t, "x.pb", f.p, f.n, &v, &n), XG_INPUT);
    f = proto_of("x", 1, 1, 1);
    put_field(&f, 14, 0);
    put_le(&f, 1, 1);
    assert_status(t->c, read_as(t, "x.pb", f.p, f.n, &v, &n), XG_UNSUPPORTED);
    assert_said(t->c, "another file");
    const float x[2] = {1, 2};
    f = proto_of("x", 1, 1, 2);
    put_run(&f, 9, x, 8);
    for (size_t len = 0; len < f.n; len++)
        assert_true(read_as(t, "x.pb", f.p, len, &v, &n) != XG_OK);
    uint64_t seed = 1;
    for (int i = 0; i < 2000; i++) {
        file bad = f;
        bad.p[xg_random(&seed) % bad.n] = (uint8_t)xg_random(&seed);
        xg_status st = read_as(t, "x.pb", bad.p, bad.n, &v, &n);
        assert_true(st == XG_OK || st == XG_INPUT || st == XG_UNSUPPORTED || st == XG_LIMIT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(npy_types),    TEST(npy_order_and_rank),
        TEST(npy_refusals), TEST(npy_written),
        TEST(npz),          TEST(npz_damage),
        TEST(npz_overlap),  TEST(npz_checksum),
        TEST(tensor_proto), TEST(tensor_proto_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}

/* A zip file of .npy members, read through its central directory (PKWARE APPNOTE 4.3: the end
 * record, then one record a member). Stored (0) and deflated (8) members; no encryption, no zip64:
 * sizes come from the directory, whose 32 bits are enough for arrays below 4 GiB. */
#include "xgraph/array.h"

#include <string.h>
#include <zlib.h>

enum { END_BYTES = 22, ENTRY_BYTES = 46, LOCAL_BYTES = 30, MEMBERS_MAX = 4096, RATIO_MAX = 1032 };

typedef struct zip_entry {
    const char *name; /* not terminated */
    uint16_t name_len, method, flags;
    uint32_t crc, packed, size, offset;
} zip_entry;

static bool signature(const uint8_t *p, char third, char fourth) {
    return p[0] == 'P' && p[1] == 'K' && p[2] == (uint8_t)third && p[3] == (uint8_t)fourth;
}

/* The end record: the last one in the file, whose comment reaches to the end. */
static const uint8_t *find_end(xg_bytes f) {
    for (size_t back = END_BYTES; back <= f.n && back <= END_BYTES + 65535; back++) {
        const uint8_t *p = f.p + f.n - back;
        if (signature(p, 5, 6) && xg_le16(p + 20) == back - END_BYTES) return p;
    }
    return NULL;
}

static bool next_entry(xg_bytes f, size_t *at, zip_entry *e) {
    if (f.n - *at < ENTRY_BYTES || !signature(f.p + *at, 1, 2)) return false;
    const uint8_t *p = f.p + *at;
    *e = (zip_entry){.name = (const char *)p + ENTRY_BYTES,
                     .flags = xg_le16(p + 8),
                     .method = xg_le16(p + 10),
                     .crc = xg_le32(p + 16),
                     .packed = xg_le32(p + 20),
                     .size = xg_le32(p + 24),
                     .name_len = xg_le16(p + 28),
                     .offset = xg_le32(p + 42)};
    size_t whole = (size_t)ENTRY_BYTES + e->name_len + xg_le16(p + 30) + xg_le16(p + 32);
    if (whole > f.n - *at) return false;
    *at += whole;
    return true;
}

static bool inflate_all(const uint8_t *src, uint32_t packed, uint8_t *dst, uint32_t size) {
    z_stream z = {
        .next_in = (Bytef *)(uintptr_t)src, .avail_in = packed, .next_out = dst, .avail_out = size};
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK) return false;
    int rc = inflate(&z, Z_FINISH);
    bool whole = rc == Z_STREAM_END && z.total_out == size;
    inflateEnd(&z);
    return whole;
}

static xg_status unpack(xg_arena *a, const char *where, xg_bytes f, const zip_entry *e,
                        xg_bytes *out) {
    xg_ctx *c = xg_arena_ctx(a);
    if (e->flags & 1) return xg_error(c, XG_UNSUPPORTED, where, "the member is encrypted");
    if (e->method != 0 && e->method != 8)
        return xg_error(c, XG_UNSUPPORTED, where,
                        "compression method %u, expected stored or deflated", e->method);
    if (e->packed == UINT32_MAX || e->size == UINT32_MAX || e->offset == UINT32_MAX)
        return xg_error(c, XG_UNSUPPORTED, where, "a zip64 member");
    if (e->offset > f.n || f.n - e->offset < LOCAL_BYTES || !signature(f.p + e->offset, 3, 4))
        return xg_error(c, XG_INPUT, where, "no member at offset %u", e->offset);
    const uint8_t *local = f.p + e->offset;
    size_t at = (size_t)e->offset + LOCAL_BYTES + xg_le16(local + 26) + xg_le16(local + 28);
    if (at > f.n || f.n - at < e->packed)
        return xg_error(c, XG_INPUT, where, "the member is cut off");
    if (e->method == 0 ? e->size != e->packed : e->size / RATIO_MAX > e->packed)
        return xg_error(c, XG_INPUT, where, "%u bytes cannot become %u", e->packed, e->size);
    *out = (xg_bytes){f.p + at, e->size};
    if (e->method == 8) {
        uint8_t *dst = xg_alloc(a, e->size);
        if (!inflate_all(f.p + at, e->packed, dst, e->size))
            return xg_error(c, XG_INPUT, where, "the compressed data is damaged");
        out->p = dst;
    }
    if (crc32(0, out->p, e->size) != e->crc)
        return xg_error(c, XG_INPUT, where, "the checksum is wrong");
    return XG_OK;
}

static xg_status read_member(xg_arena *a, const char *path, xg_bytes f, const zip_entry *e,
                             xg_array *out) {
    char *name = xg_strndup(a, e->name, e->name_len);
    const char *where = xg_strf(a, "%s(%s)", path, name);
    xg_bytes body;
    xg_status st = unpack(a, where, f, e, &body);
    if (st) return st;
    size_t len = strlen(name);
    if (len >= 4 && !strcmp(name + len - 4, ".npy")) name[len - 4] = 0;
    out->name = name;
    return xg_array_parse_npy(a, where, body, out);
}

xg_status xg_array_parse_npz(xg_arena *a, const char *where, xg_bytes f, xg_array **out,
                             uint32_t *n) {
    xg_ctx *c = xg_arena_ctx(a);
    const uint8_t *end = find_end(f);
    if (!end)
        return xg_error(c, XG_INPUT, where,
                        "the zip directory is missing; the file may be cut off");
    uint32_t count = xg_le16(end + 10);
    size_t at = xg_le32(end + 16);
    if (count > MEMBERS_MAX || count == 0)
        return xg_error(c, XG_LIMIT, where, "%u arrays, expected 1 to %d", count, MEMBERS_MAX);
    if (at > f.n) return xg_error(c, XG_INPUT, where, "the zip directory lies outside of the file");
    xg_array *v = xg_newn(a, xg_array, count);
    size_t packed =
        0; /* members that share their bytes would multiply what a small file asks for */
    for (uint32_t i = 0; i < count; i++) {
        zip_entry e;
        if (!next_entry(f, &at, &e))
            return xg_error(c, XG_INPUT, where, "entry %u of the zip directory is damaged", i);
        packed += e.packed;
        if (packed > f.n) return xg_error(c, XG_INPUT, where, "the members overlap");
        xg_status st = read_member(a, where, f, &e, &v[i]);
        if (st) return st;
    }
    *out = v;
    *n = count;
    return XG_OK;
}

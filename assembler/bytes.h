/* Little-endian numbers in and out of bytes. A cursor that runs past its end stays at it, gives
 * zeros and says so. */
#ifndef XG_BYTES_H
#define XG_BYTES_H

#include "base/base.h"

#include <string.h>

static inline void put_u32(xg_buf *b, uint32_t v) {
    const uint8_t p[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    xg_put(b, p, 4);
}

static inline void put_u64(xg_buf *b, uint64_t v) {
    put_u32(b, (uint32_t)v);
    put_u32(b, (uint32_t)(v >> 32));
}

static inline uint32_t load_u32(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

typedef struct cursor {
    const uint8_t *p, *end;
    bool ok;
} cursor;

/* n bytes, or NULL when there are not as many. */
static inline const uint8_t *get_bytes(cursor *c, uint64_t n) {
    if (n > (uint64_t)(c->end - c->p)) {
        c->ok = false;
        c->p = c->end;
        return NULL;
    }
    c->p += n;
    return c->p - n;
}

static inline uint32_t get_u32(cursor *c) {
    const uint8_t *p = get_bytes(c, 4);
    return p ? load_u32(p) : 0;
}

static inline uint64_t get_u64(cursor *c) {
    uint64_t lo = get_u32(c);
    return lo | (uint64_t)get_u32(c) << 32;
}

/* u32 length and as many bytes, without a NUL among them. */
static inline const char *get_text(cursor *c, xg_arena *a) {
    uint32_t n = get_u32(c);
    const uint8_t *p = get_bytes(c, n);
    if (!p || memchr(p, 0, n)) {
        c->ok = false;
        return "";
    }
    return xg_strndup(a, (const char *)p, n);
}

#endif

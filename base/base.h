/* The ground that every stage stands on: status and diagnostics, arenas, vectors, text buffers,
 * files.
 *
 * A context (xg_ctx) collects diagnostics and is the unwinding point for out of memory: allocation
 * functions never return NULL; when memory runs out they longjmp to the innermost xg_ctx_run().
 * Nothing here prints. Nothing here is global. Memory belongs to arenas; an arena is freed whole.
 */
#ifndef XG_BASE_H
#define XG_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One row a status: name, sentence. */
#define XG_STATUS_ROWS(X)                                                                          \
    X(OK, "success")                                                                               \
    X(INPUT, "the input is damaged or contradicts itself")                                         \
    X(UNSUPPORTED, "the input asks for something that is not supported")                           \
    X(LIMIT, "a limit of the machine or of the format is exceeded")                                \
    X(IO, "the operating system refused a file operation")                                         \
    X(MISMATCH, "a comparison found a difference")                                                 \
    X(USAGE, "the command line is wrong")                                                          \
    X(NOMEM, "out of memory")                                                                      \
    X(INTERNAL, "a defect in xgc itself")

typedef enum xg_status {
#define X(name, text) XG_##name,
    XG_STATUS_ROWS(X)
#undef X
        XG_STATUS_COUNT
} xg_status;

#define XG_MUST_USE     __attribute__((warn_unused_result))
#define XG_PRINTF(a, b) __attribute__((format(printf, a, b)))
#define XG_NONE         UINT32_MAX
#define XG_COUNT(a)     (sizeof(a) / sizeof(*(a)))

/* ---- context and diagnostics ----------------------------------------------------------------- */

typedef enum xg_severity { XG_NOTE, XG_WARNING, XG_ERROR } xg_severity;

typedef struct xg_diag {
    xg_severity severity;
    xg_status status;
    const char *where; /* "file:line", "node 'conv1'", "core 0 offset 0x40", or "" */
    const char *text;  /* one line: found, expected, remedy; about 1,000 bytes at most, the middle
                          of longer ones is left out */
} xg_diag;

typedef struct xg_ctx xg_ctx;
typedef struct xg_arena xg_arena;

/* A new context, or NULL when there is no memory for one. */
xg_ctx *xg_ctx_new(void);
void xg_ctx_free(xg_ctx *c);
/* Runs fn(arg); returns its status, or XG_NOMEM when an allocation in it failed (with a
 * diagnostic). Nests. Arenas that fn made stay until they are freed, at the latest with the
 * context. An allocation that fails outside of any run aborts. */
XG_MUST_USE xg_status xg_ctx_run(xg_ctx *c, xg_status (*fn)(void *arg), void *arg);
/* The context's own arena: lives until xg_ctx_free(). */
xg_arena *xg_ctx_arena(xg_ctx *c);
/* Records one diagnostic and returns st, so that `return xg_error(...)` reads well. `where` may be
 * "". */
xg_status xg_error(xg_ctx *c, xg_status st, const char *where, const char *fmt, ...)
    XG_PRINTF(4, 5);
void xg_warn(xg_ctx *c, const char *where, const char *fmt, ...) XG_PRINTF(3, 4);
void xg_note(xg_ctx *c, const char *where, const char *fmt, ...) XG_PRINTF(3, 4);
size_t xg_diag_count(const xg_ctx *c);
const xg_diag *xg_diag_at(const xg_ctx *c, size_t i);
/* Forgets all diagnostics from number n on (used where a failed attempt is not an error). */
void xg_diag_truncate(xg_ctx *c, size_t n);
/* The files that were read in this context (xg_read_file() notes them itself), each once, in order
 * of their first reading; without "-". The path is copied. */
void xg_ctx_note_file(xg_ctx *c, const char *path);
size_t xg_ctx_file_count(const xg_ctx *c);
const char *xg_ctx_file_at(const xg_ctx *c, size_t i); /* NULL beyond the last */
const char *xg_status_name(xg_status s);               /* "INPUT" */
const char *xg_status_text(xg_status s);

/* Test hook: the n-th allocation from now on fails (0 = never). */
void xg_ctx_fail_alloc(xg_ctx *c, uint64_t n);

/* ---- arenas ---------------------------------------------------------------------------------- */

/* A new arena of this context. Freed by xg_arena_free() or, at the latest, with the context. */
xg_arena *xg_arena_new(xg_ctx *c);
void xg_arena_free(xg_arena *a); /* NULL is allowed */
/* All that lies in `from` belongs to `a` from now on; `from` is gone. */
void xg_arena_adopt(xg_arena *a, xg_arena *from);
xg_ctx *xg_arena_ctx(const xg_arena *a);
/* Takes a block out of its arena, for a caller who frees it with xg_taken_free() whenever he wants,
 * also after the context. p: n bytes from xg_alloc(a, n); invalid from now on. */
void *xg_arena_take(xg_arena *a, void *p, size_t n);
void xg_taken_free(void *p); /* NULL is allowed */
/* n bytes, zeroed, aligned to 16 (to 64 from 4 KiB on); n = 0 gives a valid unique pointer. Never
 * NULL. */
void *xg_alloc(xg_arena *a, size_t n);
/* count * size with overflow check (overflow counts as out of memory). */
void *xg_alloc_array(xg_arena *a, size_t count, size_t size);
/* fn(obj) runs when the arena is freed, latest registered first: for foreign objects. */
void xg_arena_defer(xg_arena *a, void (*fn)(void *), void *obj);
char *xg_strdup(xg_arena *a, const char *s);
char *xg_strndup(xg_arena *a, const char *s, size_t n);
/* Formatted text; always in the C locale, whatever the program around the library has set. */
char *xg_strf(xg_arena *a, const char *fmt, ...) XG_PRINTF(2, 3);
char *xg_vstrf(xg_arena *a, const char *fmt, va_list ap) XG_PRINTF(2, 0);
void *xg_memdup(xg_arena *a, const void *p, size_t n);

#define xg_new(a, T)     ((T *)xg_alloc((a), sizeof(T)))
#define xg_newn(a, T, n) ((T *)xg_alloc_array((a), (n), sizeof(T)))

/* ---- vectors: XG_VEC(int) v = {0}; xg_push(arena, &v, 3); v.v[0]; v.n ------------------------ */

#define XG_VEC(T)                                                                                  \
    struct {                                                                                       \
        T *v;                                                                                      \
        uint32_t n, cap;                                                                           \
    }
/* Grows *v (element size given) to hold at least want elements; memory comes from the arena. More
 * than INT32_MAX elements count as out of memory. New elements are zero. */
void xg_vec_grow(xg_arena *a, void **v, uint32_t *cap, uint32_t n, uint32_t want, size_t size);
#define xg_reserve(a, vec, want)                                                                   \
    ((want) > (vec)->cap                                                                           \
         ? xg_vec_grow((a), (void **)&(vec)->v, &(vec)->cap, (vec)->n, (want), sizeof(*(vec)->v))  \
         : (void)0)
/* For vectors of millions: the outgrown memory is given back. All of it must be from this arena,
 * and nobody else may hold it. */
void xg_vec_grow_own(xg_arena *a, void **v, uint32_t *cap, uint32_t n, uint32_t want, size_t size);
void xg_vec_drop_own(xg_arena *a, void *v, uint32_t cap, size_t size);
#define xg_drop_own(a, vec) xg_vec_drop_own((a), (vec)->v, (vec)->cap, sizeof(*(vec)->v))
#define xg_push_own(a, vec, ...)                                                                   \
    (((vec)->n < (vec)->cap ? (void)0                                                              \
                            : xg_vec_grow_own((a), (void **)&(vec)->v, &(vec)->cap, (vec)->n,      \
                                              (vec)->n + 1, sizeof(*(vec)->v))),                   \
     (vec)->v[(vec)->n++] = (__VA_ARGS__))
#define xg_push(a, vec, ...)                                                                       \
    (xg_reserve((a), (vec), (vec)->n + 1), (vec)->v[(vec)->n++] = (__VA_ARGS__))

/* ---- text buffers ---------------------------------------------------------------------------- */

/* Growable bytes in an arena; always followed by a NUL. Zero-initialise with its arena set. */
typedef struct xg_buf {
    xg_arena *arena;
    char *p;
    size_t n, cap;
} xg_buf;
void xg_put(xg_buf *b, const void *p, size_t n);
/* Appends n bytes for the caller to fill in: valid until more is appended. */
void *xg_put_room(xg_buf *b, size_t n);
void xg_puts(xg_buf *b, const char *s);
void xg_putf(xg_buf *b, const char *fmt, ...) XG_PRINTF(2, 3);
/* s in double quotes with \" \\ \n \t \xHH escapes; JSON-compatible when json is true (\u00HH). */
void xg_put_quoted(xg_buf *b, const char *s, bool json);
/* s as text or attribute of XML 1.0 in UTF-8; what that cannot hold (control characters, bytes that
 * are not UTF-8) becomes '?'. */
void xg_put_xml(xg_buf *b, const char *s);
/* A float32 as hexadecimal text that reads back to the same bits ("0x1.8p-3", "nan", "inf",
 * "-inf"). */
void xg_put_f32(xg_buf *b, float f);

/* ---- files ----------------------------------------------------------------------------------- */

typedef struct xg_bytes {
    const uint8_t *p;
    size_t n;
} xg_bytes;
/* The whole file, read-only (mapped where possible; "-" reads standard input), valid while the
 * arena lives. Followed by no NUL. Errors: IO with path and reason; LIMIT above 16 GiB. */
XG_MUST_USE xg_status xg_read_file(xg_arena *a, const char *path, xg_bytes *out);
/* Writes beside path, syncs, renames over it: an interruption leaves the old file whole. "-" =
 * stdout. */
XG_MUST_USE xg_status xg_write_file(xg_ctx *c, const char *path, const void *p, size_t n);
/* SHA-256 as 64 hexadecimal digits + NUL. */
void xg_sha256_hex(const void *p, size_t n, char out[65]);

/* ---- checked arithmetic ---------------------------------------------------------------------- */

static inline bool xg_mul_ok(uint64_t a, uint64_t b, uint64_t *r) {
    return !__builtin_mul_overflow(a, b, r);
}
static inline int64_t xg_ceil_div(int64_t a, int64_t b) { /* a >= 0, b > 0 */
    return (a + b - 1) / b;
}
static inline int64_t xg_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t xg_max(int64_t a, int64_t b) {
    return a > b ? a : b;
}
static inline int64_t xg_clamp(int64_t v, int64_t lo, int64_t hi) {
    return v < lo ? lo : v > hi ? hi : v;
}
/* A deterministic generator for tests and seeded data (splitmix64). */
static inline uint64_t xg_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
/* FNV-1a over a string, for hash tables whose order is never visible. */
uint64_t xg_hash(const void *p, size_t n);
/* String -> uint32 map in an arena; iteration is not offered on purpose. Keys are copied.
 * Zero-initialise with its arena set. */
typedef struct xg_map {
    xg_arena *arena;
    struct xg_map_slot *slot;
    uint32_t n, cap;
    uint64_t secret; /* of the hash: names from outside cannot be made to collide */
} xg_map;
uint32_t xg_map_get(const xg_map *m, const char *key); /* XG_NONE when absent */
void xg_map_set(xg_map *m, const char *key, uint32_t value);

#endif

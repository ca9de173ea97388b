#include "base/internal.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct frame {
    jmp_buf env;
    struct frame *up;
} frame;

struct xg_ctx {
    xg_arena *arenas; /* all arenas of this context, the newest first */
    xg_arena *own;    /* lives as long as the context */
    frame *top;       /* innermost xg_ctx_run() */
    uint64_t fail_in; /* 0 = never, 1 = the next allocation fails */
    xg_diag *diag;    /* one slot beyond ndiag is always free, for "out of memory" */
    size_t ndiag, cap;
    XG_VEC(const char *) file;
};

#define FIRST_DIAGS 16u

xg_ctx *xg_ctx_new(void) {
    xg_ctx *c = calloc(1, sizeof(*c));
    if (!c) return NULL;
    c->own = xg_arena_try(c, &c->arenas);
    c->diag = calloc(FIRST_DIAGS, sizeof(*c->diag));
    c->cap = FIRST_DIAGS;
    if (!c->own || !c->diag) {
        xg_ctx_free(c);
        return NULL;
    }
    return c;
}

void xg_ctx_free(xg_ctx *c) {
    if (!c) return;
    while (c->arenas) xg_arena_free(c->arenas);
    free(c->diag);
    free(c);
}

xg_arena *xg_ctx_arena(xg_ctx *c) {
    return c->own;
}

xg_arena **xg_ctx_arenas(xg_ctx *c) {
    return &c->arenas;
}

xg_status xg_ctx_run(xg_ctx *c, xg_status (*fn)(void *arg), void *arg) {
    frame f;
    f.up = c->top;
    c->top = &f;
    volatile xg_status st = XG_NOMEM;
    if (setjmp(f.env) == 0) st = fn(arg);
    c->top = f.up;
    return st;
}

bool xg_ctx_may_alloc(xg_ctx *c) {
    return c->fail_in == 0 || --c->fail_in != 0;
}

void xg_ctx_fail_alloc(xg_ctx *c, uint64_t n) {
    c->fail_in = n;
}

void xg_ctx_no_memory(xg_ctx *c) {
    if (!c->top) abort();
    if (c->ndiag < c->cap) {
        c->diag[c->ndiag++] = (xg_diag){
            XG_ERROR, XG_NOMEM, "", "out of memory: use a smaller model or a machine with more"};
    }
    longjmp(c->top->env, 1);
}

/* Names of an input may be as long as the input: a line keeps both ends, where the meaning is. */
static void shorten(char *s, size_t front, size_t back) {
    static const char gap[] = " ... ";
    size_t n = strlen(s);
    if (n <= front + sizeof gap - 1 + back) return;
    size_t from = n - back;
    while (front > 0 && (s[front] & 0xc0) == 0x80) front--; /* whole UTF-8 characters */
    while (from < n && (s[from] & 0xc0) == 0x80) from++;
    memcpy(s + front, gap, sizeof gap - 1);
    memmove(s + front + sizeof gap - 1, s + from, n - from + 1);
}

static void add_diag(xg_ctx *c, xg_severity sev, xg_status st, const char *where, const char *fmt,
                     va_list ap) {
    char *at = xg_strdup(c->own, where ? where : ""), *text = xg_vstrf(c->own, fmt, ap);
    shorten(at, 500, 200);
    shorten(text, 700, 300);
    for (char *p = text; *p; p++) {
        /* One line whatever name of the input stands in it, and nothing that a terminal would obey.
         */
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = ' ';
    }
    if (c->ndiag + 2 > c->cap) {
        xg_diag *more = xg_ctx_may_alloc(c) ? realloc(c->diag, c->cap * 2 * sizeof(*more)) : NULL;
        if (!more) xg_ctx_no_memory(c);
        c->diag = more;
        c->cap *= 2;
    }
    c->diag[c->ndiag++] = (xg_diag){sev, st, at, text};
}

xg_status xg_error(xg_ctx *c, xg_status st, const char *where, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add_diag(c, XG_ERROR, st, where, fmt, ap);
    va_end(ap);
    return st;
}

void xg_warn(xg_ctx *c, const char *where, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add_diag(c, XG_WARNING, XG_OK, where, fmt, ap);
    va_end(ap);
}

void xg_note(xg_ctx *c, const char *where, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add_diag(c, XG_NOTE, XG_OK, where, fmt, ap);
    va_end(ap);
}

size_t xg_diag_count(const xg_ctx *c) {
    return c->ndiag;
}

const xg_diag *xg_diag_at(const xg_ctx *c, size_t i) {
    return i < c->ndiag ? &c->diag[i] : NULL;
}

void xg_diag_truncate(xg_ctx *c, size_t n) {
    if (n < c->ndiag) c->ndiag = n;
}

void xg_ctx_note_file(xg_ctx *c, const char *path) {
    for (uint32_t i = 0; i < c->file.n; i++)
        if (!strcmp(c->file.v[i], path)) return;
    xg_push(c->own, &c->file, xg_strdup(c->own, path));
}

size_t xg_ctx_file_count(const xg_ctx *c) {
    return c->file.n;
}

const char *xg_ctx_file_at(const xg_ctx *c, size_t i) {
    return i < c->file.n ? c->file.v[i] : NULL;
}

const char *xg_status_name(xg_status s) {
    static const char *const names[] = {
#define X(name, text) #name,
        XG_STATUS_ROWS(X)
#undef X
    };
    return (unsigned)s < XG_STATUS_COUNT ? names[s] : "?";
}

const char *xg_status_text(xg_status s) {
    static const char *const texts[] = {
#define X(name, text) text,
        XG_STATUS_ROWS(X)
#undef X
    };
    return (unsigned)s < XG_STATUS_COUNT ? texts[s] : "?";
}

#include "base/internal.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

/* vsnprintf in the C locale: the program that links the library may have chosen another decimal
 * point. */
static int format_c(char *p, size_t n, const char *fmt, va_list ap) {
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t old = c ? uselocale(c) : (locale_t)0;
    int len = vsnprintf(p, n, fmt, ap);
    if (c) {
        uselocale(old);
        freelocale(c);
    }
    return len < 0 ? 0 : len;
}

char *xg_vstrf(xg_arena *a, const char *fmt, va_list ap) {
    char small[256];
    va_list again;
    va_copy(again, ap);
    int n = format_c(small, sizeof(small), fmt, ap);
    char *s = NULL;
    if ((size_t)n < sizeof(small)) {
        s = xg_strndup(a, small, (size_t)n);
    } else {
        s = xg_alloc(a, (size_t)n + 1);
        format_c(s, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    return s;
}

char *xg_strf(xg_arena *a, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *s = xg_vstrf(a, fmt, ap);
    va_end(ap);
    return s;
}

/* Room for n more bytes and the NUL. */
static void reserve(xg_buf *b, size_t n) {
    if (n > SIZE_MAX / 4 - b->n) xg_ctx_no_memory(xg_arena_ctx(b->arena));
    size_t want = b->n + n + 1;
    if (want <= b->cap) return;
    size_t cap = b->cap ? b->cap * 2 : 128;
    if (cap < want) cap = want;
    char *fresh = xg_alloc(b->arena, cap);
    if (b->n) memcpy(fresh, b->p, b->n);
    b->p = fresh;
    b->cap = cap;
}

void *xg_put_room(xg_buf *b, size_t n) {
    reserve(b, n);
    char *room = b->p + b->n;
    b->n += n;
    b->p[b->n] = '\0';
    return room;
}

void xg_put(xg_buf *b, const void *p, size_t n) {
    reserve(b, n);
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = '\0';
}

void xg_puts(xg_buf *b, const char *s) {
    xg_put(b, s, strlen(s));
}

void xg_putf(xg_buf *b, const char *fmt, ...) {
    reserve(b, 63);
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    size_t room = b->cap - b->n;
    size_t n = (size_t)format_c(b->p + b->n, room, fmt, ap);
    if (n >= room) {
        reserve(b, n);
        format_c(b->p + b->n, n + 1, fmt, again);
    }
    va_end(again);
    va_end(ap);
    b->n += n;
    b->p[b->n] = '\0';
}

/* Length of the valid UTF-8 sequence at s (RFC 3629: shortest form, no surrogates), 0 when there is
 * none. */
static size_t utf8_len(const unsigned char *s) {
    if (s[0] < 0x80) return 1;
    size_t n = s[0] >= 0xf5 ? 0 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0; /* also stops at the NUL */
    }
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)) return 0;
    if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) return 0;
    return n;
}

void xg_put_quoted(xg_buf *b, const char *s, bool json) {
    xg_put(b, "\"", 1);
    for (const unsigned char *p = (const unsigned char *)s; *p;) {
        size_t n =
            json ? utf8_len(p) : 1; /* JSON must be UTF-8: stray bytes are written as Latin-1 */
        if (*p == '"' || *p == '\\') {
            xg_put(b, (char[]){'\\', (char)*p}, 2);
        } else if (*p == '\n') {
            xg_put(b, "\\n", 2);
        } else if (*p == '\t') {
            xg_put(b, "\\t", 2);
        } else if (*p < 0x20 || *p == 0x7f || n == 0) {
            xg_putf(b, json ? "\\u00%02x" : "\\x%02x", *p);
            n = 1;
        } else {
            xg_put(b, p, n);
        }
        p += n;
    }
    xg_put(b, "\"", 1);
}

void xg_put_xml(xg_buf *b, const char *s) {
    for (const unsigned char *p = (const unsigned char *)s; *p;) {
        size_t n = utf8_len(p);
        const char *named = *p == '<'   ? "&lt;"
                            : *p == '>' ? "&gt;"
                            : *p == '&' ? "&amp;"
                            : *p == '"' ? "&quot;"
                                        : NULL;
        bool beyond = n == 3 && p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe; /* U+FFFE, U+FFFF */
        if (named)
            xg_puts(b, named);
        else if (n == 0 || beyond || (*p < 0x20 && *p != '\n' && *p != '\t'))
            xg_put(b, "?", 1);
        else
            xg_put(b, p, n);
        p += n ? n : 1;
    }
}

void xg_put_f32(xg_buf *b, float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof(bits));
    uint32_t frac = bits & 0x7fffff;
    int exp = (int)(bits >> 23 & 0xff);
    if (exp == 0xff && frac) {
        xg_puts(b, "nan"); /* one NaN: sign and payload have no meaning here */
        return;
    }
    if (bits >> 31) xg_put(b, "-", 1);
    if (exp == 0xff) {
        xg_puts(b, "inf");
        return;
    }
    if (exp == 0 && frac == 0) {
        xg_puts(b, "0x0p+0");
        return;
    }
    if (exp == 0) { /* subnormal: shift until the leading one is the hidden bit */
        exp = 1;
        for (; !(frac & 0x800000); exp--) frac <<= 1;
        frac &= 0x7fffff;
    }
    frac <<= 1; /* 23 bits to six digits */
    int digits = 6;
    for (; digits > 0 && !(frac & 0xf); digits--) frac >>= 4;
    if (digits)
        xg_putf(b, "0x1.%0*xp%+d", digits, frac, exp - 127);
    else
        xg_putf(b, "0x1p%+d", exp - 127);
}

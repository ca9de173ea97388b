#include "assembler/xgb.h"

#include "assembler/bytes.h"

#include <inttypes.h>
#include <string.h>

/* An ELF note: namesz, descsz, type, name padded to 4, description padded to 4. */
enum { NOTE_HEAD = 12, NOTE_NAME = 4 };

void xg_xgb_note_put(const xg_xgb_note *k, xg_buf *out) {
    xg_buf d = {.arena = out->arena};
    put_u32(&d, k->version);
    put_u32(&d, k->ncore);
    put_u32(&d, k->nsegment);
    for (int r = 0; r < XG_REGIONS; r++) put_u64(&d, k->region_bytes[r]);
#define X(member)                                                                                  \
    put_u32(&d, (uint32_t)strlen(k->member));                                                      \
    xg_puts(&d, k->member);
    XG_XGB_NOTE_STRINGS(X)
#undef X
    while (d.n % 4) xg_put(&d, "", 1);
    put_u32(out, NOTE_NAME);
    put_u32(out, (uint32_t)d.n);
    put_u32(out, XG_XGB_NOTE_TYPE);
    xg_put(out, "xgc", NOTE_NAME);
    xg_put(out, d.p, d.n);
}

xg_status xg_xgb_note_get(xg_arena *a, const char *path, const uint8_t *p, uint64_t n,
                          xg_xgb_note *out) {
    xg_ctx *c = xg_arena_ctx(a);
    cursor k = {p, p + n, true};
    uint32_t namesz = get_u32(&k), descsz = get_u32(&k), type = get_u32(&k);
    const uint8_t *name = get_bytes(&k, NOTE_NAME);
    if (!k.ok || namesz != NOTE_NAME || type != XG_XGB_NOTE_TYPE ||
        memcmp(name, "xgc", NOTE_NAME) || descsz != n - NOTE_HEAD - NOTE_NAME)
        return xg_error(c, XG_INPUT, path, "damaged: .note.xgc is no note of xgc");
    *out = (xg_xgb_note){.version = get_u32(&k)};
    if (!k.ok || out->version != XG_XGB_VERSION)
        return xg_error(c, XG_INPUT, path, "format version %" PRIu32 ", this xgc reads version %d",
                        out->version, XG_XGB_VERSION);
    out->ncore = get_u32(&k);
    out->nsegment = get_u32(&k);
    for (int r = 0; r < XG_REGIONS; r++) out->region_bytes[r] = get_u64(&k);
#define X(member) out->member = get_text(&k, a);
    XG_XGB_NOTE_STRINGS(X)
#undef X
    if (!k.ok) return xg_error(c, XG_INPUT, path, "damaged: .note.xgc ends early");
    return XG_OK;
}

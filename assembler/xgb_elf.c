#include "assembler/xgb.h"

#include <gelf.h>
#include <inttypes.h>
#include <libelf.h>
#include <string.h>

/* File order: ELF header, sections, section names, section table, digest. The digest comes last so
 * that it covers every byte before it. */

static const struct {
    uint32_t type;
    uint64_t flags, align;
} kinds[] = {
    [XG_SEC_NOTE] = {SHT_NOTE, 0, 4},
    [XG_SEC_TEXT] = {SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 16},
    [XG_SEC_DATA] = {SHT_PROGBITS, SHF_ALLOC, 64},
    [XG_SEC_INFO] = {SHT_PROGBITS, 0, 8},
    [XG_SEC_STRINGS] = {SHT_STRTAB, 0, 1},
};

static uint64_t align_up(uint64_t v, uint64_t to) {
    return (v + to - 1) / to * to;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* libelf itself writes to a file descriptor only, from where the bytes would be copied once more:
 * what stands where is found here, and libelf gives the headers their form in the file. */
typedef struct layout {
    Elf64_Shdr *header; /* [n + 3]: none, the sections, their names, the digest */
    uint32_t n;         /* used */
    uint64_t end;       /* of what has its place */
} layout;

static void place(layout *l, xg_sec_kind kind, uint64_t name, uint64_t size) {
    uint64_t at = align_up(l->end, kinds[kind].align);
    l->header[l->n++] = (Elf64_Shdr){.sh_name = (Elf64_Word)name,
                                     .sh_type = kinds[kind].type,
                                     .sh_flags = kinds[kind].flags,
                                     .sh_offset = at,
                                     .sh_size = size,
                                     .sh_addralign = kinds[kind].align};
    l->end = at + size;
}

static bool put_header(uint8_t *to, Elf_Type type, const void *from, size_t n) {
    const Elf_Data src = {
        .d_buf = (void *)(uintptr_t)from, .d_type = type, .d_version = EV_CURRENT, .d_size = n};
    Elf_Data dst = {.d_buf = to, .d_type = ELF_T_BYTE, .d_version = EV_CURRENT, .d_size = n};
    return elf64_xlatetof(&dst, &src, ELFDATA2LSB) != NULL;
}

static bool put_headers(uint8_t *file, const layout *l, uint64_t shoff) {
    Elf64_Ehdr e = {.e_type = ET_NONE,
                    .e_machine = EM_NONE,
                    .e_version = EV_CURRENT,
                    .e_shoff = shoff,
                    .e_ehsize = sizeof e,
                    .e_shentsize = sizeof(Elf64_Shdr),
                    .e_shnum = (Elf64_Half)l->n,
                    .e_shstrndx = (Elf64_Half)(l->n - 2)};
    memcpy(e.e_ident, ELFMAG, SELFMAG);
    e.e_ident[EI_CLASS] = ELFCLASS64;
    e.e_ident[EI_DATA] = ELFDATA2LSB;
    e.e_ident[EI_VERSION] = EV_CURRENT;
    return put_header(file, ELF_T_EHDR, &e, sizeof e) &&
           put_header(file + shoff, ELF_T_SHDR, l->header, l->n * sizeof *l->header);
}

/* Zeros up to the section's place, and its bytes; returns its end. */
static uint8_t *put_section(uint8_t *file, uint8_t *at, const Elf64_Shdr *h, const void *p) {
    uint8_t *to = file + h->sh_offset;
    memset(at, 0, (size_t)(to - at));
    if (h->sh_size) memcpy(to, p, h->sh_size);
    return to + h->sh_size;
}

/* Appends the file, without its digest's value. */
static bool build(xg_arena *a, const xg_secs *s, const xg_buf *names, xg_buf *out) {
    layout l = {xg_newn(a, Elf64_Shdr, s->n + 3), 1, sizeof(Elf64_Ehdr)};
    uint64_t name = 1;
    for (uint32_t i = 0; i < s->n; i++) {
        place(&l, s->v[i].kind, name, s->v[i].n);
        name += strlen(s->v[i].name) + 1;
    }
    place(&l, XG_SEC_STRINGS, name, names->n);
    uint64_t shoff = align_up(l.end, 8);
    l.end = shoff + (s->n + 3) * sizeof(Elf64_Shdr);
    place(&l, XG_SEC_INFO, name + sizeof ".shstrtab", XG_XGB_DIGEST_BYTES);
    uint8_t *file = xg_put_room(out, l.end), *at = file + sizeof(Elf64_Ehdr);
    for (uint32_t i = 0; i < s->n; i++) at = put_section(file, at, &l.header[i + 1], s->v[i].p);
    at = put_section(file, at, &l.header[s->n + 1], names->p);
    memset(at, 0, (size_t)(file + shoff - at));
    return elf_version(EV_CURRENT) != EV_NONE && put_headers(file, &l, shoff);
}

xg_status xg_elf_build(xg_ctx *c, const xg_secs *s, xg_buf *out) {
    if (s->n > XG_XGB_SECTIONS_MAX)
        return xg_error(c, XG_LIMIT, "", "%" PRIu32 " sections, an .xgb file holds %d", s->n,
                        XG_XGB_SECTIONS_MAX);
    xg_arena *a = xg_arena_new(c);
    xg_buf names = {.arena = a};
    xg_put(&names, "", 1);
    for (uint32_t i = 0; i < s->n; i++) xg_put(&names, s->v[i].name, strlen(s->v[i].name) + 1);
    static const char own[] = ".shstrtab\0.xgc.digest";
    xg_put(&names, own, sizeof own);
    size_t base = out->n;
    xg_status st = XG_OK;
    if (build(a, s, &names, out)) {
        size_t body = out->n - base - XG_XGB_DIGEST_BYTES;
        char hex[65];
        xg_sha256_hex(out->p + base, body, hex);
        memcpy(out->p + base + body, hex, XG_XGB_DIGEST_BYTES);
    } else {
        st = xg_error(c, XG_IO, "", "libelf cannot write: %s", elf_errmsg(-1));
    }
    xg_arena_free(a);
    return st;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Closed with the arena, also when memory runs out in the middle. */
static void end_elf(void *p) {
    Elf **elf = p;
    if (*elf) elf_end(*elf);
    *elf = NULL;
}

static xg_status damaged(xg_arena *a, const char *path, const char *what) {
    return xg_error(xg_arena_ctx(a), XG_INPUT, path, "not an .xgb file, or damaged: %s", what);
}

static bool kind_of(const GElf_Shdr *h, xg_sec_kind *out) {
    for (size_t k = 0; k < XG_COUNT(kinds); k++)
        if (kinds[k].type == h->sh_type && kinds[k].flags == h->sh_flags &&
            kinds[k].align == h->sh_addralign) {
            *out = (xg_sec_kind)k;
            return true;
        }
    return false;
}

static xg_status get_section(xg_arena *a, const char *path, Elf *elf, size_t i, size_t shstrndx,
                             const uint8_t *data, size_t n, xg_sec *out) {
    Elf_Scn *scn = elf_getscn(elf, i);
    GElf_Shdr h;
    if (!scn || !gelf_getshdr(scn, &h)) return damaged(a, path, "a section header cannot be read");
    const char *name = elf_strptr(elf, shstrndx, h.sh_name);
    if (!name) return damaged(a, path, "a section's name lies outside the names");
    if (h.sh_offset > n || h.sh_size > n - h.sh_offset)
        return damaged(a, path,
                       xg_strf(a,
                               "section %.40s: offset %" PRIu64 " + size %" PRIu64
                               " exceeds the file's %zu bytes",
                               name, h.sh_offset, h.sh_size, n));
    *out = (xg_sec){.name = xg_strdup(a, name), .p = data + h.sh_offset, .n = h.sh_size};
    if (!kind_of(&h, &out->kind))
        return damaged(
            a, path, xg_strf(a, "section %.40s has an unexpected type, flags or alignment", name));
    return XG_OK;
}

static xg_status get_all(xg_arena *a, const char *path, Elf *elf, const uint8_t *data, size_t n,
                         xg_secs *out) {
    GElf_Ehdr e;
    size_t count, shstrndx;
    if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &e))
        return damaged(a, path, "no ELF header");
    if (e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_ident[EI_DATA] != ELFDATA2LSB ||
        e.e_machine != EM_NONE || e.e_type != ET_NONE)
        return damaged(a, path, "the ELF header is another program's");
    if (elf_getshdrnum(elf, &count) || elf_getshdrstrndx(elf, &shstrndx) || count < 3)
        return damaged(a, path, "the section table cannot be read");
    if (count > n / sizeof(Elf64_Shdr))
        return damaged(a, path, "more sections than the file has room for");
    xg_reserve(a, out, (uint32_t)count);
    for (size_t i = 1; i < count; i++) {
        xg_sec s;
        xg_status st = get_section(a, path, elf, i, shstrndx, data, n, &s);
        if (st) return st;
        xg_push(a, out, s);
    }
    const xg_sec *digest = &out->v[out->n - 1], *names = &out->v[out->n - 2];
    if (strcmp(digest->name, ".xgc.digest") || digest->n != XG_XGB_DIGEST_BYTES ||
        digest->p != data + n - XG_XGB_DIGEST_BYTES || strcmp(names->name, ".shstrtab"))
        return damaged(a, path, "no digest at its end");
    out->n -= 2;
    return XG_OK;
}

xg_status xg_elf_parse(xg_arena *a, const char *path, const uint8_t *data, size_t n, xg_secs *out) {
    if (n < sizeof(Elf64_Ehdr) + XG_XGB_DIGEST_BYTES) return damaged(a, path, "too short");
    if (elf_version(EV_CURRENT) == EV_NONE) return damaged(a, path, "libelf is too old");
    Elf **elf = xg_new(a, Elf *);
    xg_arena_defer(a, end_elf, elf);
    *elf = elf_memory((char *)(uintptr_t)data, n);
    if (!*elf) return damaged(a, path, elf_errmsg(-1));
    xg_status st = get_all(a, path, *elf, data, n, out);
    end_elf(elf);
    return st;
}

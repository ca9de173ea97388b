#include "assembler/xgb.h"

#include <errno.h>
#include <gelf.h>
#include <inttypes.h>
#include <libelf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* File order: ELF header, sections, section names, section table, digest. The digest comes last so
 * that it covers every byte before it. */

/* What a build or a parse holds open; closed with the arena, also when memory runs out in the
 * middle. */
typedef struct handle {
    Elf *elf;
    int fd;
    void *map;
    size_t map_n;
} handle;

static void handle_free(void *p) {
    handle *h = p;
    if (h->elf) elf_end(h->elf);
    if (h->map) munmap(h->map, h->map_n);
    if (h->fd >= 0) close(h->fd);
    *h = (handle){.fd = -1};
}

static handle *handle_new(xg_arena *a) {
    handle *h = xg_new(a, handle);
    h->fd = -1;
    xg_arena_defer(a, handle_free, h);
    return h;
}

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

/* Appends one section at *offset and moves it on. Returns its index, 0 on failure. */
static size_t add_section(Elf *elf, const xg_sec *s, uint64_t name, uint64_t *offset) {
    Elf_Scn *scn = elf_newscn(elf);
    Elf_Data *d = scn ? elf_newdata(scn) : NULL;
    GElf_Shdr h;
    if (!d || !gelf_getshdr(scn, &h)) return 0;
    *offset = align_up(*offset, kinds[s->kind].align);
    d->d_buf = (void *)(uintptr_t)s->p;
    d->d_size = s->n;
    d->d_type = ELF_T_BYTE;
    d->d_align = 1;
    d->d_version = EV_CURRENT;
    h.sh_name = (Elf64_Word)name;
    h.sh_type = kinds[s->kind].type;
    h.sh_flags = kinds[s->kind].flags;
    h.sh_addralign = kinds[s->kind].align;
    h.sh_offset = *offset;
    h.sh_size = s->n;
    *offset += s->n;
    return gelf_update_shdr(scn, &h) ? elf_ndxscn(scn) : 0;
}

static bool add_all(Elf *elf, const xg_secs *s, const xg_buf *names, const uint8_t *digest,
                    uint64_t *size) {
    GElf_Ehdr e;
    if (!gelf_newehdr(elf, ELFCLASS64) || !gelf_getehdr(elf, &e)) return false;
    elf_flagelf(elf, ELF_C_SET, ELF_F_LAYOUT);
    uint64_t offset = sizeof(Elf64_Ehdr), name = 1;
    for (uint32_t i = 0; i < s->n; i++) {
        if (!add_section(elf, &s->v[i], name, &offset)) return false;
        name += strlen(s->v[i].name) + 1;
    }
    const xg_sec table = {"", XG_SEC_STRINGS, (const uint8_t *)names->p, names->n};
    size_t shstrndx = add_section(elf, &table, name, &offset);
    uint64_t shoff = align_up(offset, 8);
    offset = shoff + (s->n + 3) * sizeof(Elf64_Shdr);
    const xg_sec last = {"", XG_SEC_INFO, digest, XG_XGB_DIGEST_BYTES};
    if (!shstrndx || !add_section(elf, &last, name + sizeof ".shstrtab", &offset)) return false;
    e.e_ident[EI_DATA] = ELFDATA2LSB;
    e.e_type = ET_NONE;
    e.e_machine = EM_NONE;
    e.e_version = EV_CURRENT;
    e.e_shoff = shoff;
    e.e_shstrndx = (Elf64_Half)shstrndx;
    *size = offset;
    return gelf_update_ehdr(elf, &e) && elf_update(elf, ELF_C_WRITE) == (int64_t)offset;
}

/* libelf writes to a file descriptor only: an anonymous memory file takes it. */
static bool build(handle *h, const xg_secs *s, const xg_buf *names, const uint8_t *digest) {
    uint64_t size;
    if (elf_version(EV_CURRENT) == EV_NONE) return false;
    h->fd = memfd_create("xgb", MFD_CLOEXEC);
    if (h->fd < 0) return false;
    h->elf = elf_begin(h->fd, ELF_C_WRITE, NULL);
    if (!h->elf || !add_all(h->elf, s, names, digest, &size)) return false;
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, h->fd, 0);
    if (map == MAP_FAILED) return false;
    h->map = map;
    h->map_n = size;
    return true;
}

xg_status xg_elf_build(xg_ctx *c, const xg_secs *s, xg_buf *out) {
    if (s->n > XG_XGB_SECTIONS_MAX)
        return xg_error(c, XG_LIMIT, "", "%" PRIu32 " sections, an .xgb file holds %d", s->n,
                        XG_XGB_SECTIONS_MAX);
    xg_arena *a = xg_arena_new(c);
    handle *h = handle_new(a);
    xg_buf names = {.arena = a};
    xg_put(&names, "", 1);
    for (uint32_t i = 0; i < s->n; i++) xg_put(&names, s->v[i].name, strlen(s->v[i].name) + 1);
    static const char own[] = ".shstrtab\0.xgc.digest";
    xg_put(&names, own, sizeof own);
    uint8_t *digest = xg_alloc(a, XG_XGB_DIGEST_BYTES);
    if (!build(h, s, &names, digest)) {
        int code = elf_errno();
        xg_status st = xg_error(c, XG_IO, "", "libelf cannot write: %s",
                                code ? elf_errmsg(code) : strerror(errno));
        xg_arena_free(a);
        return st;
    }
    size_t base = out->n;
    char hex[65];
    xg_put(out, h->map, h->map_n);
    size_t body = h->map_n - XG_XGB_DIGEST_BYTES;
    xg_sha256_hex(out->p + base, body, hex);
    memcpy(out->p + base + body, hex, XG_XGB_DIGEST_BYTES);
    xg_arena_free(a);
    return XG_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

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
    handle *h = handle_new(a);
    h->elf = elf_memory((char *)(uintptr_t)data, n);
    if (!h->elf) return damaged(a, path, elf_errmsg(-1));
    xg_status st = get_all(a, path, h->elf, data, n, out);
    handle_free(h);
    return st;
}

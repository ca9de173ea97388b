/* The parts of an .xgb file (XGB.md), between its writer and its reader. Internal to assembler/.
 *
 * A file is a list of named sections in a fixed order and a digest. xgb_elf.c turns such a list
 * into an ELF file and back; xgb_write.c and xgb_read.c turn a program into the list and back. All
 * numbers are little-endian.
 */
#ifndef XG_XGB_H
#define XG_XGB_H

#include "assembler/program.h"

enum {
    XG_XGB_VERSION = 2,
    XG_XGB_NOTE_TYPE = 1,
    XG_XGB_PLACE_BYTES = 36,
    XG_XGB_TENSOR_BYTES = 20 + 32 + XG_XGB_PLACE_BYTES,
    XG_XGB_MAP_BYTES = 68 + XG_XGB_PLACE_BYTES,
    XG_XGB_DIGEST_BYTES = 64,
    XG_XGB_SECTIONS_MAX = 60000,
};

typedef enum xg_sec_kind {
    XG_SEC_NOTE,
    XG_SEC_TEXT,
    XG_SEC_DATA,
    XG_SEC_INFO,
    XG_SEC_STRINGS
} xg_sec_kind;
typedef struct xg_sec {
    const char *name;
    xg_sec_kind kind;
    const uint8_t *p;
    uint64_t n;
} xg_sec;
typedef XG_VEC(xg_sec) xg_secs;

/* The ELF file with these sections, the section names, the section table and the digest, appended
 * to out. */
XG_MUST_USE xg_status xg_elf_build(xg_ctx *c, const xg_secs *s, xg_buf *out);
/* The sections of a file, without null section, section names and digest; every offset is checked.
 * The contents point into data. The digest is not compared. */
XG_MUST_USE xg_status xg_elf_parse(xg_arena *a, const char *path, const uint8_t *data, size_t n,
                                   xg_secs *out);

/* What .note.xgc holds. */
typedef struct xg_xgb_note {
    uint32_t version, ncore, nsegment;
    uint64_t region_bytes[XG_REGIONS];
    const char *tool_version, *input_digest, *options, *machine_name, *machine_digest,
        *encoding_digest, *record_text, *strategy, *solver_note;
} xg_xgb_note;
/* The note's strings in their order in the file: X(member). */
#define XG_XGB_NOTE_STRINGS(X)                                                                     \
    X(tool_version)                                                                                \
    X(input_digest)                                                                                \
    X(options)                                                                                     \
    X(machine_name)                                                                                \
    X(machine_digest)                                                                              \
    X(encoding_digest)                                                                             \
    X(record_text)                                                                                 \
    X(strategy)                                                                                    \
    X(solver_note)
void xg_xgb_note_put(const xg_xgb_note *k, xg_buf *out);
XG_MUST_USE xg_status xg_xgb_note_get(xg_arena *a, const char *path, const uint8_t *p, uint64_t n,
                                      xg_xgb_note *out);

/* What must hold in any program before it is written and after it is read or parsed: indices inside
 * their tables, slices inside their tensors, places inside their memories. `where` names the file.
 */
XG_MUST_USE xg_status xg_program_verify(xg_arena *a, const char *where, const xg_machine *m,
                                        const xg_program *p);

#endif

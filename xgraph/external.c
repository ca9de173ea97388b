#include "xgraph/external.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct mapping {
    void *p;
    size_t n;
} mapping;

static void unmap(void *arg) {
    mapping *m = arg;
    munmap(m->p, m->n);
}

static const char *bad_name(const char *s) {
    if (!*s) return "is empty";
    if (*s == '/') return "is an absolute path";
    if (strchr(s, '\\')) return "contains a backslash";
    if (strlen(s) > 4096) return "is too long";
    for (const char *p = s; p;) {
        size_t n = strcspn(p, "/");
        if (n == 0) return "has an empty component";
        if (n == 2 && p[0] == '.' && p[1] == '.') return "leaves the model's folder";
        p = p[n] ? p + n + 1 : NULL;
    }
    return NULL;
}

static int open_folder(xg_arena *a, const char *model_path) {
    const char *slash = strrchr(model_path, '/');
    const char *dir = !slash ? "."
                      : slash == model_path
                          ? "/"
                          : xg_strndup(a, model_path, (size_t)(slash - model_path));
    return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Walks the components below fd (which it closes); returns the file's descriptor or -1 with errno.
 */
static int open_below(xg_arena *a, int fd, const char *location) {
    for (const char *p = location; fd >= 0;) {
        size_t n = strcspn(p, "/");
        bool last = !p[n];
        int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (last ? O_NONBLOCK : O_DIRECTORY);
        int next = openat(fd, xg_strndup(a, p, n), flags);
        int e = errno;
        close(fd);
        errno = e;
        if (last) return next;
        fd = next;
        p += n + 1;
    }
    return -1;
}

static xg_status map_range(xg_arena *a, const char *where, const char *location, int fd,
                           int64_t offset, int64_t length, xg_bytes *out) {
    xg_ctx *c = xg_arena_ctx(a);
    struct stat s;
    if (fstat(fd, &s) != 0)
        return xg_error(c, XG_IO, where, "external data '%s': %s", location, strerror(errno));
    if (!S_ISREG(s.st_mode))
        return xg_error(c, XG_INPUT, where, "external data '%s' is not a regular file", location);
    if (offset < 0 || offset > s.st_size || (length >= 0 && length > s.st_size - offset))
        return xg_error(c, XG_INPUT, where,
                        "external data '%s' has %lld bytes, but bytes %lld to %lld are asked for",
                        location, (long long)s.st_size, (long long)offset,
                        (long long)(offset > INT64_MAX - xg_max(length, 0)
                                        ? INT64_MAX
                                        : offset + xg_max(length, 0)));
    size_t n = (size_t)(length < 0 ? s.st_size - offset : length);
    out->n = n;
    out->p = xg_alloc(a, 0);
    if (n == 0) return XG_OK;
    size_t skip = (size_t)(offset % sysconf(_SC_PAGESIZE));
    mapping *m = xg_new(a, mapping);
    m->n = n + skip;
    m->p = mmap(NULL, m->n, PROT_READ, MAP_PRIVATE, fd, offset - (off_t)skip);
    if (m->p == MAP_FAILED)
        return xg_error(c, XG_IO, where, "external data '%s': %s", location, strerror(errno));
    xg_arena_defer(a, unmap, m);
    out->p = (const uint8_t *)m->p + skip;
    return XG_OK;
}

xg_status xg_external_map(xg_arena *a, const char *model_path, const char *where,
                          const char *location, int64_t offset, int64_t length, xg_bytes *out) {
    xg_ctx *c = xg_arena_ctx(a);
    const char *bad = bad_name(location);
    if (bad)
        return xg_error(c, XG_INPUT, where, "external data name '%s' %s; refused", location, bad);
    int fd = open_below(a, open_folder(a, model_path), location);
    if (fd < 0)
        return xg_error(c, XG_IO, where, "external data '%s': %s%s", location, strerror(errno),
                        errno == ELOOP ? " (links are refused)" : "");
    xg_status st = map_range(a, where, location, fd, offset, length, out);
    close(fd);
    const char *slash = strrchr(model_path, '/');
    int folder = slash ? (int)(slash - model_path) + 1 : 0;
    if (st == XG_OK) xg_ctx_note_file(c, xg_strf(a, "%.*s%s", folder, model_path, location));
    return st;
}

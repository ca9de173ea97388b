#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES ((uint64_t)16 << 30)

static bool is_std(const char *path) {
    return strcmp(path, "-") == 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Registered with the arena before anything is opened, so that unwinding closes and unmaps. */
typedef struct source {
    int fd; /* -1 = none of ours */
    void *map;
    size_t map_bytes;
} source;

static void source_close(source *s) {
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
}

static void source_release(void *obj) {
    source *s = obj;
    source_close(s);
    if (s->map) munmap(s->map, s->map_bytes);
}

static xg_status too_long(xg_ctx *c, const char *path) {
    return xg_error(c, XG_LIMIT, path, "longer than 16 GiB, the limit for one file");
}

/* For pipes and files without a size. */
static xg_status read_stream(xg_arena *a, const char *path, int fd, xg_bytes *out) {
    xg_ctx *c = xg_arena_ctx(a);
    size_t n = 0, cap = 1u << 16;
    uint8_t *p = xg_alloc(a, cap);
    for (;;) {
        if (n == cap) {
            if (n >= FILE_MAX_BYTES) return too_long(c, path);
            uint8_t *more = xg_alloc(a, cap * 2);
            memcpy(more, p, n);
            p = more;
            cap *= 2;
        }
        ssize_t got = read(fd, p + n, cap - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return xg_error(c, XG_IO, path, "cannot read: %s", strerror(errno));
        if (got == 0) break;
        n += (size_t)got;
    }
    *out = (xg_bytes){p, n};
    return XG_OK;
}

xg_status xg_read_file(xg_arena *a, const char *path, xg_bytes *out) {
    xg_ctx *c = xg_arena_ctx(a);
    *out = (xg_bytes){NULL, 0};
    if (is_std(path)) return read_stream(a, "standard input", STDIN_FILENO, out);
    source *s = xg_new(a, source);
    s->fd = -1;
    xg_arena_defer(a, source_release, s);
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (s->fd < 0 || fstat(s->fd, &st) != 0) {
        return xg_error(c, XG_IO, path, "cannot open: %s", strerror(errno));
    }
    if (S_ISDIR(st.st_mode)) return xg_error(c, XG_IO, path, "cannot read: is a directory");
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > FILE_MAX_BYTES) return too_long(c, path);
    xg_status r = XG_OK;
    void *map = MAP_FAILED;
    if (S_ISREG(st.st_mode) && st.st_size > 0) {
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, s->fd, 0);
    }
    if (map != MAP_FAILED) {
        s->map = map;
        s->map_bytes = (size_t)st.st_size;
        *out = (xg_bytes){map, s->map_bytes};
    } else {
        r = read_stream(a, path, s->fd, out);
    }
    source_close(s);
    if (r == XG_OK) xg_ctx_note_file(c, path);
    return r;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* All functions from here on return 0 or an errno value and allocate nothing: nothing can leak a
 * descriptor or leave a temporary file behind. */

static int write_all(int fd, const uint8_t *p, size_t n) {
    while (n) {
        ssize_t put = write(fd, p, n < ((size_t)1 << 30) ? n : (size_t)1 << 30);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return errno;
        p += put;
        n -= (size_t)put;
    }
    return 0;
}

static int write_direct(const char *path, const void *p, size_t n) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return errno;
    int err = write_all(fd, p, n);
    if (close(fd) != 0 && !err) err = errno;
    return err;
}

/* Makes the renamed entry durable. Not every file system can sync a folder; that is no error. */
static int sync_folder(const char *path) {
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int len = !slash ? 1 : slash == path ? 1 : (int)(slash - path);
    snprintf(dir, sizeof(dir), "%.*s", len, slash ? path : ".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return 0;
    int err = fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP ? 0 : errno;
    close(fd);
    return err;
}

/* A new file in path's folder. The name is short whatever path's is; O_EXCL makes it unique. */
static int open_temp(const char *path, char temp[PATH_MAX], int *fd) {
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0;
    for (int k = 0; k < 1000; k++) {
        int n = snprintf(temp, PATH_MAX, "%.*s.xgc-%ld-%d", folder, path, (long)getpid(), k);
        if (n >= PATH_MAX) return ENAMETOOLONG;
        *fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (*fd >= 0) return 0;
        if (errno != EEXIST) return errno;
    }
    return EEXIST;
}

/* old: the file that path names now, or NULL. */
static int write_beside(const char *path, const struct stat *old, const void *p, size_t n) {
    char temp[PATH_MAX];
    int fd = -1;
    int err = open_temp(path, temp, &fd);
    if (err) return err;
    err = write_all(fd, p, n);
    if (!err && old && fchmod(fd, old->st_mode & 0777) != 0) err = errno;
    if (!err && fsync(fd) != 0) err = errno;
    if (close(fd) != 0 && !err) err = errno;
    if (!err && rename(temp, path) != 0) err = errno;
    if (err) {
        unlink(temp);
        return err;
    }
    return sync_folder(path);
}

xg_status xg_write_file(xg_ctx *c, const char *path, const void *p, size_t n) {
    struct stat st;
    char real[PATH_MAX];
    int err = 0;
    if (is_std(path)) {
        err = write_all(STDOUT_FILENO, p, n);
    } else if (stat(path, &st) != 0) {
        err = errno == ENOENT ? write_beside(path, NULL, p, n) : errno;
    } else if (!S_ISREG(st.st_mode)) {
        err = write_direct(path, p, n);
    } else if (!realpath(path, real)) { /* through links: the link stays, its target is replaced */
        err = errno;
    } else {
        err = write_beside(real, &st, p, n);
    }
    if (!err) return XG_OK;
    return xg_error(c, XG_IO, is_std(path) ? "standard output" : path, "cannot write: %s",
                    strerror(err));
}

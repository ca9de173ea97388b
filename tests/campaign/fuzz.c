/* fuzz SEEDS COUNT [FIRST [KIND]]   runs commands on damaged files
 * fuzz --images FOLDER              writes a PNG and a JPEG picture as seeds
 *
 * SEEDS has a folder of files for each kind in `kinds` below, and a folder `good` with what
 * commands need beside the damaged file; fuzz.sh makes it. Case number FIRST + i picks a kind, a
 * file, some mutations and a command, all from its number; so a case can be run again alone. The
 * command runs in a child process with a limit of 10 s of processor time. A finding is
 *
 *   - a signal, a sanitizer's report, more than 10 s (60 s when sanitizers slow the program down)
 *   - an exit status other than 0, 1, 2, or a status of 1 without a line on standard error or
 * output
 *   - a line on standard error that is no "xgc: error|warning|note: " line, or longer than 2,000
 * bytes
 *   - a failure that leaves the output file, or any temporary file
 *
 * The damaged file and its command go to SEEDS/findings. Exit status 1 when there are findings. */
int xgc_main(int argc, char **argv);
#define main xgc_main
#include "../../driver/main.c"
#undef main

#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jpeglib.h>
#include <png.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
enum { SECONDS = 60, SANITIZED = 1 };
#else
enum { SECONDS = 10, SANITIZED = 0 };
#endif

const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "exitcode=99:hard_rss_limit_mb=3000:allocator_may_return_null=1:max_allocation_size_mb="
           "8000";
}
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) {
    return "exitcode=99:print_stacktrace=1";
}

/* What is damaged, whether it is text, and the commands that read it. %f the damaged file, %o the
 * output, %g the folder of good files. */
typedef struct kind {
    const char *name;
    bool text;
    const char *command[9];
} kind;

static const kind kinds[] = {
    {"onnx",
     false,
     {"compile %f -m nano --calib random -o %o", "import %f --calib random -o %o",
      "import %f --calib random --text -o %o", "quantize %f --calib random -o %o",
      "check %f -m nano --calib random --functional", "report %f -m zu2 --calib random --json",
      "patterns %f -m nano --calib random",
      "compile %f -m zu9 --calib random -o %o --strategy layer", NULL}},
    {"xg",
     false,
     {"compile %f -m nano -o %o", "import %f --text -o %o", "check %f -m nano --functional",
      "report %f -m nano", NULL}},
    {"xgtext",
     true,
     {"compile %f -m nano -o %o", "import %f -o %o", "check %f -m zu9", "report %f -m nano --csv",
      NULL}},
    {"xgb",
     false,
     {"run %f --fill random", "disasm %f -o %o", "check %g/small.xg %f", "diff %f %g/small.xgb",
      "report %f --json", "run %f --fill max --cycles", "run %f --shuffle 3", NULL}},
    {"xs", true, {"asm %f -m nano -o %o", "asm %f -m nano -o %o", NULL}},
    {"sel",
     true,
     {"compile %g/small.xg -m nano --sel %f -o %o", "check %g/small.xg -m nano --sel %f", NULL}},
    {"machine",
     true,
     {"machines -m %f", "isa -m %f -o %o", "isa -m %f --form h -o %o",
      "compile %g/small.xg -m %f -o %o", "check %g/small.xg -m %f --functional",
      "report %g/small.xg -m %f", NULL}},
    {"encoding",
     true,
     {"isa -m nano --encoding %f -o %o", "isa -m nano --encoding %f --form sv -o %o",
      "compile %g/small.xg -m nano --encoding %f -o %o",
      "check %g/small.xg -m nano --encoding %f --functional", NULL}},
    {"patterns",
     true,
     {"patterns --patterns %f", "patterns %g/small.xg -m nano --patterns %f",
      "compile %g/small.xg -m nano --patterns %f -o %o", NULL}},
    {"input",
     false,
     {"run %g/small.xgb --input %f", "check %g/small.xg %g/small.xgb --input %f --functional",
      "report %g/small.xgb --input %f --labels %g/labels.npy",
      "report %g/small.xgb --input %g/x.npy --labels %f", NULL}},
    {"picture",
     false,
     {"quantize %g/pixels.onnx --calib %f -o %o", "import %g/pixels.onnx --calib %f -o %o --crop",
      NULL}},
    {"ranges",
     true,
     {"compile %g/pixels.onnx -m nano --calib-table %f -o %o",
      "import %g/pixels.onnx --calib-table %f -o %o", NULL}},
};

static const char *seeds;
static uint64_t state;

static uint64_t below(uint64_t n) {
    return n ? xg_random(&state) % n : 0;
}

/* ---- files ----------------------------------------------------------------------------------- */

typedef struct bytes {
    uint8_t *p;
    size_t n;
} bytes;

enum { MOST = 1 << 20 }; /* longest damaged file */

static bytes load(const char *path) {
    bytes b = {malloc(MOST), 0};
    FILE *f = fopen(path, "rb");
    if (!f || !b.p) abort();
    b.n = fread(b.p, 1, MOST / 2, f);
    fclose(f);
    return b;
}

static void save(const char *path, bytes b) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(b.p, 1, b.n, f) != b.n || fclose(f) != 0) abort();
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The files of a folder, sorted: readdir's order is not the same everywhere. */
static size_t list(const char *folder, char *name[], size_t most) {
    DIR *d = opendir(folder);
    size_t n = 0;
    for (struct dirent *e; d && (e = readdir(d)) && n < most;)
        if (e->d_name[0] != '.') name[n++] = strdup(e->d_name);
    if (d) closedir(d);
    qsort(name, n, sizeof *name, compare_names);
    return n;
}

static void random_seed(const kind *k, char *path, size_t size) {
    static char *name[sizeof kinds / sizeof *kinds][4096];
    static size_t count[sizeof kinds / sizeof *kinds];
    size_t i = (size_t)(k - kinds);
    char folder[512];
    snprintf(folder, sizeof folder, "%s/%s", seeds, k->name);
    if (!count[i]) count[i] = list(folder, name[i], 4096);
    if (!count[i]) {
        fprintf(stderr, "fuzz: no file in %s\n", folder);
        exit(2);
    }
    snprintf(path, size, "%s/%s", folder, name[i][below(count[i])]);
}

/* ---- mutations ------------------------------------------------------------------------------- */

static void replace(bytes *b, size_t at, size_t old, const void *with, size_t n) {
    if (at > b->n || old > b->n - at || b->n - old + n > MOST) return;
    uint8_t *copy = malloc(n + 1);
    if (!copy) abort();
    if (n) memcpy(copy, with, n); /* `with` may lie in the file */
    memmove(b->p + at + n, b->p + at + old, b->n - at - old);
    memcpy(b->p + at, copy, n);
    b->n = b->n - old + n;
    free(copy);
}

static void damage_bytes(bytes *b) {
    static const uint64_t odd[] = {0,
                                   1,
                                   0x7f,
                                   0x80,
                                   0xff,
                                   0x7fff,
                                   0xffff,
                                   0x7fffffff,
                                   0x80000000,
                                   0xffffffff,
                                   0x7fc00000,
                                   0x7f800000,
                                   0x7fffffffffffffff,
                                   0xffffffffffffffff};
    size_t at = below(b->n), len = 1 + below(below(8) ? 8 : 200);
    if (b->n == 0) return;
    if (len > b->n - at) len = b->n - at;
    uint64_t v = odd[below(XG_COUNT(odd))];
    uint8_t noise[8];
    for (int i = 0; i < 8; i++) noise[i] = (uint8_t)xg_random(&state);
    switch (below(9)) {
    case 0:
    case 1:
        b->p[at] ^= (uint8_t)(1 << below(8));
        break;
    case 2:
        b->p[at] = noise[0];
        break;
    case 3:
        b->p[at] = (uint8_t)v;
        break;
    case 4: /* a number of 2, 4 or 8 bytes */
        memcpy(b->p + at, &v, xg_min(b->n - at, (size_t)2 << below(3)));
        break;
    case 5:
        replace(b, at, len, NULL, 0);
        break;
    case 6:
        replace(b, below(b->n), 0, b->p + at, len);
        break;
    case 7:
        replace(b, at, 0, noise, 1 + below(8));
        break;
    case 8:
        if (below(6) == 0) b->n = at;
        break;
    }
}

static bool is_word(uint8_t c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '.' || c == '-' || c == '+';
}

/* A word of the text, from somewhere. */
static void word_at(const bytes *b, size_t *at, size_t *len) {
    size_t i = below(b->n);
    while (i < b->n && !is_word(b->p[i])) i++;
    while (i > 0 && is_word(b->p[i - 1])) i--;
    *at = i;
    for (*len = 0; i < b->n && is_word(b->p[i]); i++) ++*len;
}

static void line_at(const bytes *b, size_t *at, size_t *len) {
    size_t i = below(b->n);
    while (i > 0 && b->p[i - 1] != '\n') i--;
    *at = i;
    for (*len = 0; i < b->n; i++) {
        ++*len;
        if (b->p[i] == '\n') break;
    }
}

static void damage_text(bytes *b) {
    static const char *const words[] = {"0",
                                        "-1",
                                        "1",
                                        "2",
                                        "3",
                                        "7",
                                        "64",
                                        "255",
                                        "65536",
                                        "2147483647",
                                        "2147483648",
                                        "4294967295",
                                        "4294967296",
                                        "9223372036854775807",
                                        "18446744073709551616",
                                        "-9223372036854775809",
                                        "1e308",
                                        "1e-308",
                                        "nan",
                                        "inf",
                                        "-inf",
                                        "-0.0",
                                        "0x1p-149",
                                        "0x1.fffffep127",
                                        "",
                                        "~",
                                        "null",
                                        "[]",
                                        "{}",
                                        "[",
                                        "{",
                                        "]",
                                        "\"",
                                        "&a",
                                        "*a",
                                        "<<: *a",
                                        "- -",
                                        ": ",
                                        "\t",
                                        "#",
                                        "%s%n",
                                        "\xff\xfe",
                                        "\xc3",
                                        "true",
                                        "a",
                                        "\r\n",
                                        "!!binary",
                                        "|",
                                        "---",
                                        "'"};
    size_t at, len, at2, len2;
    if (b->n == 0) return;
    switch (below(8)) {
    case 0:
    case 1:
    case 2: {
        const char *w = words[below(XG_COUNT(words))];
        word_at(b, &at, &len);
        replace(b, at, len, w, strlen(w));
        break;
    }
    case 3:
        word_at(b, &at, &len);
        word_at(b, &at2, &len2);
        replace(b, at, len, b->p + at2, len2);
        break;
    case 4:
        line_at(b, &at, &len);
        replace(b, at, len, NULL, 0);
        break;
    case 5:
        line_at(b, &at, &len);
        line_at(b, &at2, &len2);
        replace(b, at2, 0, b->p + at, len);
        break;
    case 6: {
        char deep[3000];
        size_t n = 1 + below(sizeof deep);
        memset(deep, "[{(- \"a0"[below(8)], n);
        word_at(b, &at, &len);
        replace(b, at, len, deep, n);
        break;
    }
    case 7:
        damage_bytes(b);
        break;
    }
}

/* A piece of another file of the kind. */
static void insert_piece(const kind *k, bytes *b) {
    char path[1024];
    random_seed(k, path, sizeof path);
    bytes other = load(path);
    size_t from = below(other.n), n = below(other.n - from + 1), at = below(b->n + 1);
    replace(b, at, below(b->n - at + 1), other.p + from, n);
    free(other.p);
}

/* Binaries carry a digest of their bytes: repaired, so that what is behind it is reached. */
static void repair_digest(bytes *b) {
    if (b->n < 64) return;
    char hex[65];
    xg_sha256_hex(b->p, b->n - 64, hex);
    memcpy(b->p + b->n - 64, hex, 64);
}

static void damage(const kind *k, bytes *b) {
    static const uint64_t most[] = {1, 1, 1, 2, 3, 20};
    for (uint64_t i = 1 + below(most[below(XG_COUNT(most))]); i > 0; i--) {
        if (below(40) == 0)
            insert_piece(k, b);
        else if (k->text && below(8))
            damage_text(b);
        else
            damage_bytes(b);
    }
    if (!strcmp(k->name, "xgb") && below(8)) repair_digest(b);
}

/* ---- one case -------------------------------------------------------------------------------- */

typedef struct run_result {
    int status; /* of waitpid */
    const char *fault;
    char first[300]; /* first line on standard error */
} run_result;

static void child(char **argv, int argc) {
    struct rlimit cpu = {SECONDS, SECONDS + 2}, core = {0, 0}, size = {1 << 28, 1 << 28};
    setrlimit(RLIMIT_CPU, &cpu);
    setrlimit(RLIMIT_CORE, &core);
    setrlimit(RLIMIT_FSIZE, &size);
    if (!SANITIZED) setrlimit(RLIMIT_AS, &(struct rlimit){3ul << 30, 3ul << 30});
    int out = open("out", O_WRONLY | O_CREAT | O_TRUNC, 0666),
        err = open("err", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (out < 0 || err < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(98);
    exit(xgc_main(argc, argv));
}

static const char *judge_text(run_result *r, int code) {
    bytes err = load("err"), out = load("out");
    const char *fault = NULL;
    size_t line = 0;
    for (size_t i = 0; i < err.n; i++) {
        if (err.p[i] != '\n') continue;
        const char *p = (const char *)err.p + line;
        size_t n = i - line;
        if (line == 0) snprintf(r->first, sizeof r->first, "%.*s", (int)xg_min(n, (size_t)290), p);
        if (strncmp(p, "xgc: ", 5) != 0) fault = "a line that is no diagnostic";
        if (n > 2000) fault = "a very long line";
        line = i + 1;
    }
    if (line != err.n) fault = "a line without an end";
    if (code == 1 && err.n == 0 && out.n == 0) fault = "exit status 1 without a word";
    if (code == 2) fault = "exit status 2";
    free(err.p);
    free(out.p);
    return fault;
}

/* A failure leaves no output; nothing leaves a temporary file. */
static const char *judge_files(int code) {
    DIR *d = opendir(".");
    const char *fault = NULL;
    for (struct dirent *e; d && (e = readdir(d));)
        if (!strncmp(e->d_name, ".xgc-", 5)) fault = "a temporary file is left";
    if (d) closedir(d);
    if (code != 0 && access("result", F_OK) == 0) fault = "a failure left its output";
    return fault;
}

static void judge(run_result *r) {
    r->fault = NULL;
    r->first[0] = 0;
    if (WIFSIGNALED(r->status)) {
        r->fault = WTERMSIG(r->status) == SIGXCPU || WTERMSIG(r->status) == SIGKILL ? "too slow"
                                                                                    : "a signal";
        return;
    }
    int code = WEXITSTATUS(r->status);
    const char *text = judge_text(r, code), *files = judge_files(code);
    r->fault = code > 2 ? "a sanitizer's report or an odd status" : text ? text : files;
}

/* Words of a template, with its %f, %o and %g filled in. */
static int command_words(const char *template, const char *file, char words[24][600], char **argv) {
    int argc = 0;
    argv[argc++] = (char *)"xgc";
    for (const char *p = template; *p && argc < 23;) {
        char *to = words[argc];
        size_t n = 0;
        for (; *p && *p != ' '; p++) {
            if (*p != '%') {
                to[n++] = *p;
                continue;
            }
            p++;
            const char *with = *p == 'f' ? file : *p == 'o' ? "result" : "good";
            n += (size_t)snprintf(to + n, 600 - n, "%s", with);
        }
        to[n] = 0;
        argv[argc++] = to;
        while (*p == ' ') p++;
    }
    argv[argc] = NULL;
    return argc;
}

static void keep(const kind *k, uint64_t number, const char *file, char **argv,
                 const run_result *r) {
    char path[700];
    mkdir("../findings", 0777);
    snprintf(path, sizeof path, "../findings/%llu-%s", (unsigned long long)number, file);
    bytes b = load(file);
    save(path, b);
    free(b.p);
    printf("case %llu (%s): %s:", (unsigned long long)number, k->name, r->fault);
    for (char **a = argv; *a; a++) printf(" %s", *a);
    printf("\n  %s\n", r->first);
    fflush(stdout);
}

/* Returns whether it is a finding. */
static bool one_case(const kind *only, uint64_t number, uint64_t statuses[3]) {
    state = number * 0x9e3779b97f4a7c15u + 1;
    for (int i = 0; i < 4; i++) (void)xg_random(&state);
    const kind *k = only ? only : &kinds[below(XG_COUNT(kinds))];
    char seed[1024], file[300], words[24][600], *argv[25];
    random_seed(k, seed, sizeof seed);
    bytes b = load(seed);
    damage(k, &b);
    const char *dot = strrchr(seed, '.');
    snprintf(file, sizeof file, "damaged%s", dot && !strchr(dot, '/') ? dot : "");
    save(file, b);
    free(b.p);
    size_t n = 0;
    while (k->command[n]) n++;
    int argc = command_words(k->command[below(n)], file, words, argv);
    unlink("result");
    run_result r;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) child(argv, argc);
    if (pid < 0 || waitpid(pid, &r.status, 0) != pid) abort();
    judge(&r);
    if (WIFEXITED(r.status) && WEXITSTATUS(r.status) < 3) statuses[WEXITSTATUS(r.status)]++;
    if (r.fault) keep(k, number, file, argv, &r);
    unlink(file);
    return r.fault != NULL;
}

/* ---- pictures -------------------------------------------------------------------------------- */

static int write_pictures(const char *folder) {
    enum { SIDE = 8 };
    uint8_t pixel[SIDE * SIDE * 3];
    char path[600];
    for (size_t i = 0; i < sizeof pixel; i++) pixel[i] = (uint8_t)(i * 37);
    png_image png = {
        .version = PNG_IMAGE_VERSION, .width = SIDE, .height = SIDE, .format = PNG_FORMAT_RGB};
    snprintf(path, sizeof path, "%s/a.png", folder);
    if (!png_image_write_to_file(&png, path, 0, pixel, 0, NULL)) return 1;
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr e;
    j.err = jpeg_std_error(&e);
    jpeg_create_compress(&j);
    snprintf(path, sizeof path, "%s/a.jpg", folder);
    FILE *f = fopen(path, "wb");
    if (!f) return 1;
    jpeg_stdio_dest(&j, f);
    j.image_width = j.image_height = SIDE;
    j.input_components = 3;
    j.in_color_space = JCS_RGB;
    jpeg_set_defaults(&j);
    jpeg_start_compress(&j, TRUE);
    for (int y = 0; y < SIDE; y++) {
        JSAMPROW row = pixel + y * SIDE * 3;
        jpeg_write_scanlines(&j, &row, 1);
    }
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    return fclose(f) != 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "--images")) return write_pictures(argv[2]);
    if (argc < 3)
        return fputs("usage: fuzz SEEDS COUNT [FIRST [KIND]] | fuzz --images FOLDER\n", stderr), 2;
    uint64_t count = strtoull(argv[2], NULL, 0), first = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
    const kind *only = NULL;
    for (size_t i = 0; argc > 4 && i < XG_COUNT(kinds); i++)
        if (!strcmp(kinds[i].name, argv[4])) only = &kinds[i];
    if (argc > 4 && !only) return fprintf(stderr, "fuzz: no kind %s\n", argv[4]), 2;
    char full[4096], work[64];
    if (!realpath(argv[1], full) || chdir(full) != 0) return perror(argv[1]), 2;
    seeds = full;
    snprintf(work, sizeof work, "work-%ld", (long)getpid());
    if (mkdir(work, 0777) != 0 || chdir(work) != 0 || symlink("../good", "good") != 0)
        return perror(work), 2;
    uint64_t statuses[3] = {0}, findings = 0;
    for (uint64_t i = 0; i < count; i++) findings += one_case(only, first + i, statuses);
    printf("%llu cases from %llu: %llu accepted, %llu refused; %llu findings\n",
           (unsigned long long)count, (unsigned long long)first, (unsigned long long)statuses[0],
           (unsigned long long)statuses[1], (unsigned long long)findings);
    return findings != 0;
}

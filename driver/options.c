#include "driver/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { FLAG, TEXT, LIST, NUMBER } option_kind;

typedef struct {
    const char *name;
    char letter;
    option_kind kind;
    const char *arg, *help;
    size_t offset;
} option_row;

static const option_row rows[] = {
#define OPTION(member, name, letter, kind, arg, help)                                              \
    {name, letter, kind, arg, help, offsetof(struct options, member)},
#include "driver/options.def"
};
enum { NROWS = sizeof rows / sizeof *rows, HELP = 1000 };

const command commands[] = {
#define COMMAND(name, operands, least, most, options, summary, details, examples)                  \
    {#name, operands, least, most, options, summary, details, examples, cmd_##name},
#include "driver/commands.def"
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL},
};

/* Whether a command takes an option: its name is a word of the command's list. */
static bool takes(const command *k, const char *name) {
    if (!strcmp(name, "verbose") || !strcmp(name, "quiet")) return true;
    size_t n = strlen(name);
    for (const char *p = k->options; (p = strstr(p, name)); p += n)
        if ((p == k->options || p[-1] == ' ') && (p[n] == ' ' || p[n] == 0)) return true;
    return false;
}

int usage_error(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fputs("xgc: error: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return EXIT_USAGE;
}

static int store(const option_row *r, struct options *o, const char *arg) {
    void *at = (char *)o + r->offset;
    option_list *list = at;
    char *end;
    switch (r->kind) {
    case FLAG:
        *(bool *)at = true;
        break;
    case TEXT:
        *(const char **)at = arg;
        break;
    case LIST:
        if (list->n == OPTION_LIST_MAX)
            return usage_error("--%s is given more than %d times", r->name, OPTION_LIST_MAX);
        list->v[list->n++] = arg;
        break;
    case NUMBER:
        errno = 0;
        *(uint64_t *)at = strtoull(arg, &end, 0);
        if (errno || end == arg || *end || *arg == '-' || *(uint64_t *)at == 0)
            return usage_error("--%s needs a number from 1 on, found '%s'", r->name, arg);
        break;
    }
    return EXIT_GOOD;
}

/* getopt's tables for one command. Codes of long options are row numbers + 256. */
static void getopt_tables(const command *k, struct option *longs, char *shorts) {
    size_t n = 0;
    *shorts++ = ':'; /* a missing argument comes back as ':' */
    for (size_t i = 0; i < NROWS; i++) {
        if (!takes(k, rows[i].name)) continue;
        longs[n++] = (struct option){rows[i].name, rows[i].arg ? required_argument : no_argument,
                                     NULL, (int)i + 256};
        if (!rows[i].letter) continue;
        *shorts++ = rows[i].letter;
        if (rows[i].arg) *shorts++ = ':';
    }
    longs[n++] = (struct option){"help", no_argument, NULL, HELP};
    longs[n] = (struct option){NULL, 0, NULL, 0};
    *shorts++ = 'h';
    *shorts = 0;
}

static const option_row *row_of(int code) {
    if (code >= 256 && code - 256 < NROWS) return &rows[code - 256];
    for (size_t i = 0; i < NROWS; i++)
        if (rows[i].letter && rows[i].letter == code) return &rows[i];
    return NULL;
}

int options_parse(const command *k, int argc, char **argv, struct options *o) {
    struct option longs[NROWS + 2];
    char shorts[2 * NROWS + 4];
    getopt_tables(k, longs, shorts);
    memset(o, 0, sizeof *o);
    opterr = 0;
    optind = 1;
    for (;;) {
        int code = getopt_long(argc, argv, shorts, longs, NULL);
        if (code == -1) break;
        if (code == HELP || code == 'h') {
            print_command_help(k);
            return EXIT_HELP;
        }
        if (code == ':') return usage_error("%s: %s needs an argument", k->name, argv[optind - 1]);
        const option_row *r = code == '?' ? NULL : row_of(code);
        if (!r)
            return usage_error("%s: there is no option %s; `xgc %s --help` lists them", k->name,
                               argv[optind - 1], k->name);
        int status = store(r, o, optarg);
        if (status != EXIT_GOOD) return status;
    }
    o->noperand = argc - optind;
    o->operand = argv + optind;
    if (o->noperand < k->least)
        return usage_error("%s: %s is missing; `xgc %s --help` shows how", k->name, k->operands,
                           k->name);
    if (o->noperand > k->most)
        return usage_error("%s: '%s' is one operand too many", k->name, o->operand[k->most]);
    return EXIT_GOOD;
}

/* ---- help
 * ----------------------------------------------------------------------------------------------------
 */

/* Wraps text at words, to 96 columns behind an indentation. */
static void put_wrapped(const char *s, size_t length, int indent) {
    int column = indent;
    for (const char *p = s, *end = s + length; p < end; p += p < end && *p == ' ') {
        size_t n = strcspn(p, " \n");
        if (column > indent && column + 1 + (int)n > 96) {
            printf("\n%*s", indent, "");
            column = indent;
        }
        printf("%s%.*s", column > indent ? " " : "", (int)n, p);
        column += (int)n + (column > indent);
        p += n;
    }
    putchar('\n');
}

static void put_paragraphs(const char *s) {
    while (*s) {
        size_t n = strcspn(s, "\n");
        put_wrapped(s, n, 0);
        s += n + (s[n] == '\n');
    }
}

static void put_indented_lines(const char *s) {
    while (*s) {
        size_t n = strcspn(s, "\n");
        printf("  %.*s\n", (int)n, s);
        s += n + (s[n] == '\n');
    }
}

void print_command_help(const command *k) {
    printf("Usage: xgc %s [OPTION]...%s%s\n", k->name, *k->operands ? " " : "", k->operands);
    printf("%c%s.\n", k->summary[0] - ('a' - 'A'), k->summary + 1);
    put_paragraphs(k->details);
    puts("\nOptions:");
    for (size_t i = 0; i < NROWS; i++) {
        if (!takes(k, rows[i].name)) continue;
        char left[64];
        snprintf(left, sizeof left, "%s%c%s--%s%s%s", rows[i].letter ? "-" : "",
                 rows[i].letter ? rows[i].letter : ' ', rows[i].letter ? ", " : "   ", rows[i].name,
                 rows[i].arg ? "=" : "", rows[i].arg ? rows[i].arg : "");
        printf("  %-28s ", left);
        if (strlen(left) > 28) printf("\n%31s", "");
        put_wrapped(rows[i].help, strlen(rows[i].help), 31);
    }
    printf("  %-28s this text\n", "-h, --help");
    puts("\nExamples:");
    put_indented_lines(k->examples);
}

void print_usage(void) {
    puts("Usage: xgc COMMAND [OPTION]... [FILE]...\n"
         "Compile neural networks for accelerators with their own instruction set, and prove the "
         "binaries right.\n"
         "\nCommands:");
    for (const command *k = commands; k->name; k++) printf("  %-10s %s\n", k->name, k->summary);
    puts("\n`xgc COMMAND --help` explains one, with examples. `xgc --version` prints the version.\n"
         "\nTo begin:\n"
         "  xgc compile model.onnx -m zu9 -o model.xgb\n"
         "  xgc check model.onnx model.xgb\n"
         "  xgc report model.onnx -m zu9");
}

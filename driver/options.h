/* The command line: rows of options.def and commands.def -> parsed options, help texts. For driver/
 * only. */
#ifndef XGC_OPTIONS_H
#define XGC_OPTIONS_H

#include "driver/xgc.h"

enum { OPTION_LIST_MAX = 512 };

typedef struct option_list {
    const char *v[OPTION_LIST_MAX];
    size_t n;
} option_list;

typedef bool option_FLAG;
typedef const char *option_TEXT;
typedef option_list option_LIST;
typedef uint64_t option_NUMBER; /* 0 = not given */

struct options {
#define OPTION(member, name, letter, kind, arg, help) option_##kind member;
#include "driver/options.def"
    int noperand;
    char **operand;
};

/* What a command is given: the library's context, its options, and a progress bar to hand on. */
typedef struct cli {
    xgc *x;
    struct options o;
    double started; /* seconds; for the progress bar */
    bool bar_shown;
} cli;

typedef struct command {
    const char *name, *operands;
    int least, most;
    const char *options, *summary, *details, *examples;
    int (*run)(cli *c); /* exit status */
} command;

extern const command commands[]; /* ends with a NULL name */

#define COMMAND(name, ...) int cmd_##name(cli *c);
#include "driver/commands.def"

enum { EXIT_GOOD = 0, EXIT_FAULT = 1, EXIT_USAGE = 2, EXIT_HELP = 3 };
/* Parses argv[1..) of a command (argv[0] is its name). EXIT_GOOD, EXIT_HELP when --help was
 * printed, or EXIT_USAGE after one line on standard error. */
int options_parse(const command *k, int argc, char **argv, struct options *o);
void print_command_help(const command *k);
void print_usage(void);

/* ---- helpers of the commands (cli.c)
 * -------------------------------------------------------------------------- */

bool ends_with(const char *s, const char *end);
/* The exit status for a library status. */
int exit_of(xgc_status s);
/* One line on standard error, as a diagnostic; returns EXIT_USAGE. */
int usage_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Prints the context's messages from number `from` on. */
void print_messages(const cli *c, size_t from);
/* For option structs of the library. */
void show_progress(void *arg, const char *what, double share);
void end_progress(cli *c);

/* The machine that the options name; fallback NULL: --machine is required. */
xgc_status load_machine(cli *c, const char *fallback, xgc_machine **out);
/* The options for importing and quantising, as the library wants them. */
xgc_model_options model_options(const cli *c);
/* The model, with the options for importing. recorded: of a binary, or NULL. difference: when that
 * is measured, unless the options say. */
xgc_status load_model(cli *c, const char *path, const xgc_machine *m, const char *recorded,
                      const char *difference, xgc_model **out);
xgc_status compile_model(cli *c, const xgc_model *g, xgc_binary **out);

typedef xgc_status (*printer)(xgc *x, const void *what, const char *form, xgc_blob *out);
/* Wrappers with that signature. */
xgc_status print_model(xgc *x, const void *what, const char *form, xgc_blob *out);
xgc_status print_binary(xgc *x, const void *what, const char *form, xgc_blob *out);
xgc_status print_result(xgc *x, const void *what, const char *form, xgc_blob *out);
/* Prints in a form to a file ("-" or NULL: standard output). */
xgc_status emit(cli *c, printer p, const void *what, const char *form, const char *path);

/* Files to write, all or none: first everything is printed into memory, then all are written. */
enum { OUTPUTS_MAX = 16 };
typedef struct outputs {
    struct {
        xgc_blob blob;
        char *path;
    } v[OUTPUTS_MAX];
    size_t n;
} outputs;
/* Adds one; path NULL: nothing. dir not NULL: the path is dir/path. */
xgc_status outputs_add(cli *c, outputs *o, printer p, const void *what, const char *form,
                       const char *dir, const char *path);
xgc_status outputs_write(cli *c, outputs *o);
void outputs_free(outputs *o);
/* Makes a folder that may be there already. */
xgc_status make_dir(cli *c, const char *path);

#endif

/* The command: a thin client of the library. */
#include "driver/options.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

static const command *find(const char *name) {
    for (const command *k = commands; k->name; k++)
        if (!strcmp(k->name, name)) return k;
    return NULL;
}

static int run(const command *k, int argc, char **argv) {
    cli c = {0};
    int status = options_parse(k, argc, argv, &c.o);
    if (status == EXIT_HELP) return EXIT_GOOD;
    if (status != EXIT_GOOD) return status;
    c.x = xgc_new();
    if (!c.x) {
        fputs("xgc: error: out of memory, or this host's floating point does not round as IEEE 754 "
              "says\n",
              stderr);
        return EXIT_FAULT;
    }
    status = k->run(&c);
    end_progress(&c);
    print_messages(&c, 0);
    xgc_free(c.x);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fputs("xgc: error: standard output: the write failed\n", stderr);
        return EXIT_FAULT;
    }
    return status;
}

/* Plans are built and dropped by the dozen: their memory is kept for the next one instead of being
 * given back and faulted in again page by page, a tenth of compiling ResNet-50. */
static void keep_memory(void) {
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    mallopt(M_TOP_PAD, 1 << 20);
}

int main(int argc, char **argv) {
    keep_memory();
    if (argc < 2) {
        fputs("xgc: error: no command; `xgc --help` lists them\n", stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (!strcmp(name, "--version")) {
        printf("xgc %s\n", xgc_version());
        return EXIT_GOOD;
    }
    bool help = !strcmp(name, "help");
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || (help && argc == 2)) {
        print_usage();
        return EXIT_GOOD;
    }
    const command *k = find(help ? argv[2] : name);
    if (!k)
        return usage_error("there is no command '%s'; `xgc --help` lists them",
                           help ? argv[2] : name);
    if (help) {
        print_command_help(k);
        return EXIT_GOOD;
    }
    return run(k, argc - 1, argv + 1);
}

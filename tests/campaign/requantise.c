/* requantise CASES [SEED]   compares the forms of requantisation on all boundary cases, then on
 * CASES random ones (tests/unit/requantise_cases.h). Prints counts; exit status 1 when anything
 * differs. */
#include "../unit/requantise_cases.h"

static int print_count(const char *what, const rq_count *n) {
    printf(
        "%s: %llu cases (%llu with accumulators beyond 32 bits), vector forms: %llu interpreter, "
        "%llu simulators; %llu differences%s%s\n",
        what, (unsigned long long)n->cases, (unsigned long long)n->wide,
        (unsigned long long)n->interpreter, (unsigned long long)n->simulator,
        (unsigned long long)n->differences, n->differences ? "; first: " : "", n->first);
    fflush(stdout);
    return n->differences != 0;
}

int main(int argc, char **argv) {
    if (argc < 2) return fputs("usage: requantise CASES [SEED]\n", stderr), 2;
    xg_ctx *c = xg_ctx_new();
    if (!c) return 1;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    rq_count boundary = {0}, random = {0};
    printf("vector forms: %s\n", xg_cpu_name(xg_cpu_level()));
    rq_boundary(c, 1, &boundary);
    int bad = print_count("boundaries", &boundary);
    rq_random(c, &seed, strtoull(argv[1], NULL, 0), &random);
    bad |= print_count("random", &random);
    xg_ctx_free(c);
    return bad;
}

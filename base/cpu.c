#include "base/cpu.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[XG_CPU_COUNT] = {"portable", "avx2", "vnni"};

static xg_cpu host_level(void) {
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return XG_CPU_PORTABLE;
    bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return wide && __builtin_cpu_supports("avx512vnni") ? XG_CPU_VNNI : XG_CPU_AVX2;
#else
    return XG_CPU_PORTABLE;
#endif
}

xg_cpu xg_cpu_level(void) {
    xg_cpu host = host_level();
    const char *want = getenv("XGC_ISA");
    for (int i = 0; want && i < (int)host; i++)
        if (!strcmp(want, names[i])) return (xg_cpu)i;
    return host;
}

const char *xg_cpu_name(xg_cpu level) {
    return names[level];
}

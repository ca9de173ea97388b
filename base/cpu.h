/* Which vector instructions fast kernels may use on this host. */
#ifndef XG_CPU_H
#define XG_CPU_H

/* Each level includes those before it. VNNI: AVX-512 F, BW, DQ, VL and VNNI. */
typedef enum xg_cpu { XG_CPU_PORTABLE, XG_CPU_AVX2, XG_CPU_VNNI, XG_CPU_COUNT } xg_cpu;

/* The highest level of this host; lower when environment variable XGC_ISA names a lower one
 * (portable, avx2, vnni), so that tests can reach all of them. Results never depend on it. */
xg_cpu xg_cpu_level(void);
const char *xg_cpu_name(xg_cpu level); /* "avx2" */

#endif

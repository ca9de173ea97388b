#include "driver/options.h"

#include <stdio.h>

static xgc_status print_machine(xgc *x, const void *what, const char *form, xgc_blob *out) {
    return xgc_machine_print(x, what, form, out);
}

int cmd_isa(cli *c) {
    xgc_machine *m;
    xgc_status st = load_machine(c, NULL, &m);
    if (st == XGC_OK) st = emit(c, print_machine, m, c->o.form ? c->o.form : "md", c->o.output);
    return exit_of(st);
}

int cmd_ops(cli *c) {
    xgc_machine *m;
    xgc_blob b;
    xgc_status st;
    if (c->o.machine) {
        st = load_machine(c, NULL, &m);
        if (st == XGC_OK) st = emit(c, print_machine, m, c->o.json ? "ops-json" : "ops", NULL);
        return exit_of(st);
    }
    st = xgc_operators(c->x, c->o.json ? "json" : "text", &b);
    if (st == XGC_OK) st = xgc_write_file(c->x, "-", b.data, b.size);
    xgc_blob_free(&b);
    return exit_of(st);
}

static void put_json_text(const char *s) {
    putchar('"');
    for (; *s; s++)
        if (*s == '"' || *s == '\\')
            printf("\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            printf("\\u%04x", (unsigned char)*s);
        else
            putchar(*s);
    putchar('"');
}

static void put_row(const xgc_machine_info *i) {
    printf("%-8s %5u  %7.4g  %7.0f  %8.4g  %10.0f  %8.4g  %-8s  %s\n", i->name, i->cores,
           i->clock_hz / 1e6, i->peak_ops / 1e9, (double)i->on_chip_bytes * i->cores / 1024,
           (double)i->ddr_bytes / 1048576, i->ddr_bytes_per_s / 1e9, i->profile, i->description);
}

static void put_json(const xgc_machine_info *i, bool first) {
    printf("%s  {\"name\": ", first ? "" : ",\n");
    put_json_text(i->name);
    printf(", \"family\": ");
    put_json_text(i->family);
    printf(", \"cores\": %u, \"clock_hz\": %.0f, \"peak_ops_per_s\": %.0f, "
           "\"on_chip_bytes_per_core\": %llu, "
           "\"ddr_bytes\": %llu, \"ddr_bytes_per_s\": %.0f, \"profile\": ",
           i->cores, i->clock_hz, i->peak_ops, (unsigned long long)i->on_chip_bytes,
           (unsigned long long)i->ddr_bytes, i->ddr_bytes_per_s);
    put_json_text(i->profile);
    printf(", \"digest\": ");
    put_json_text(i->digest);
    printf(", \"description\": ");
    put_json_text(i->description);
    putchar('}');
}

int cmd_machines(cli *c) {
    const char *one[] = {c->o.machine, NULL};
    const char *const *name = c->o.machine ? one : xgc_machine_names();
    if (c->o.json)
        puts("[");
    else
        printf("%-8s %5s  %7s  %7s  %8s  %10s  %8s  %-8s  %s\n", "name", "cores", "MHz", "GOP/s",
               "KiB chip", "MiB of DDR", "GB/s DDR", "numbers", "description");
    xgc_status st = XGC_OK;
    for (bool first = true; *name && st == XGC_OK; name++, first = false) {
        xgc_machine *m;
        st = xgc_machine_load(c->x, *name, c->o.encoding, &m);
        if (st != XGC_OK) break;
        xgc_machine_info i = xgc_machine_describe(m);
        if (c->o.json)
            put_json(&i, first);
        else
            put_row(&i);
        xgc_machine_free(m);
    }
    if (c->o.json) puts("\n]");
    return exit_of(st);
}

#include "validate/report.h"

#include <inttypes.h>

enum { LEFT = 110, TOP = 46, ROW = 22, GAP = 8, BOTTOM = 40 };

/* One engine's row: neighbouring bins of the same shade become one rectangle; ten shades. */
static void put_row(const float *bin, int y, const char *colour, xg_buf *out) {
    for (int b = 0; b < XG_TIMELINE_BINS;) {
        int shade = (int)(bin[b] * 10.0f + 0.5f), e = b + 1;
        while (e < XG_TIMELINE_BINS && (int)(bin[e] * 10.0f + 0.5f) == shade) e++;
        if (shade > 0)
            xg_putf(out,
                    "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\" "
                    "fill-opacity=\"%.1f\"/>\n",
                    LEFT + b, y, e - b, ROW - 6, colour, shade > 10 ? 1.0 : shade / 10.0);
        b = e;
    }
}

/* Bands of the layers above the engines, in the order of finishing; wide ones carry their names. */
static void put_layers(const xg_report *r, int height, xg_buf *out) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < r->layer.n; i++) {
        double x0 = LEFT + (double)at / (double)r->cycles * XG_TIMELINE_BINS;
        at += r->layer.v[i].cycles;
        double x1 = LEFT + (double)at / (double)r->cycles * XG_TIMELINE_BINS;
        if (x1 - x0 < 0.25) continue;
        xg_putf(out,
                "<rect x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%d\" fill=\"#000\" "
                "fill-opacity=\"%s\">"
                "<title>",
                x0, TOP - 16, x1 - x0, height, i % 2 ? "0.03" : "0.09");
        xg_put_xml(out, r->layer.v[i].node);
        xg_putf(out, ": %" PRIu64 " cycles</title></rect>\n", r->layer.v[i].cycles);
        if (x1 - x0 < 60) continue;
        xg_putf(out, "<text x=\"%.2f\" y=\"%d\" font-size=\"9\">", x0 + 3, TOP - 6);
        xg_put_xml(out, xg_strndup(out->arena, r->layer.v[i].node, (size_t)((x1 - x0) / 6)));
        xg_puts(out, "</text>\n");
    }
}

void xg_report_print_svg(const xg_report *r, xg_buf *out) {
    static const char *const colour[] = {"#1f77b4", "#2ca02c", "#d62728", "#9467bd",
                                         "#ff7f0e", "#8c564b", "#e377c2", "#7f7f7f"};
    int rows = (int)(r->ncore * r->nengine);
    int engines = rows * ROW + (int)r->ncore * GAP, height = TOP + engines + BOTTOM;
    xg_putf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"8\" y=\"18\" "
            "font-size=\"14\">",
            LEFT + XG_TIMELINE_BINS + 20, height);
    xg_put_xml(out,
               xg_strf(out->arena, "%s on %s: %" PRIu64 " cycles, %.4g ms, %.1f %% of the peak",
                       r->model, r->machine->name, r->cycles, r->ms,
                       r->peak_tops > 0 ? 100.0 * r->tops / r->peak_tops : 0));
    xg_puts(out, "</text>\n");
    if (r->cycles) put_layers(r, engines + 16, out);
    for (int i = 0; i < rows; i++) {
        int core = i / (int)r->nengine, engine = i % (int)r->nengine,
            y = TOP + i * ROW + core * GAP;
        xg_putf(out, "<text x=\"8\" y=\"%d\">core %d %s</text>\n", y + 13, core,
                r->machine->family->engine_names[engine]);
        put_row(&r->timeline[(size_t)i * XG_TIMELINE_BINS], y, colour[engine % 8], out);
    }
    for (int i = 0; i <= 10; i++)
        xg_putf(
            out,
            "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"#999\" stroke-width=\"0.5\"/>"
            "<text x=\"%d\" y=\"%d\" font-size=\"10\" text-anchor=\"middle\">%.3g ms</text>\n",
            LEFT + i * XG_TIMELINE_BINS / 10, TOP - 16, LEFT + i * XG_TIMELINE_BINS / 10,
            TOP + engines + 4, LEFT + i * XG_TIMELINE_BINS / 10, TOP + engines + 18,
            r->ms * i / 10.0);
    xg_puts(out, "</svg>\n");
}

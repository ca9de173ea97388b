/* The public options of importing and quantising -> xgraph's. */
#include "driver/api.h"

#include <stdlib.h>
#include <string.h>

static xg_status bad(xg_ctx *c, const char *what, const char *found, const char *known) {
    return xg_error(c, XG_USAGE, "", "%s is '%.60s', expected %s", what, found, known);
}

static xg_status parse_switch(xg_ctx *c, const char *what, const char *s, xg_switch *out) {
    *out = XG_AUTO;
    if (!s) return XG_OK;
    if (!strcmp(s, "on"))
        *out = XG_ON;
    else if (!strcmp(s, "off"))
        *out = XG_OFF;
    else
        return bad(c, what, s, "on or off");
    return XG_OK;
}

/* "mse", "percentile:99.9" .. */
static xg_status parse_method(xg_ctx *c, const char *s, xg_quant_options *q) {
    static const char *const known = "minmax, percentile[:P], entropy or mse";
    if (!s) return XG_OK;
    char name[16] = "";
    const char *colon = strchr(s, ':');
    size_t n = colon ? (size_t)(colon - s) : strlen(s);
    if (n >= sizeof name) return bad(c, "the calibration method", s, known);
    memcpy(name, s, n);
    if (!xg_calib_method_parse(name, &q->method)) return bad(c, "the calibration method", s, known);
    if (!colon) return XG_OK;
    char *end;
    q->percentile = strtod(colon + 1, &end);
    if (q->method != XG_CALIB_PERCENTILE || end == colon + 1 || *end ||
        !(q->percentile > 50 && q->percentile <= 100))
        return bad(c, "the calibration method", s, "percentile:P with P above 50 and up to 100");
    return XG_OK;
}

/* One number, or as many as there are channels, divided by commas. */
static xg_status parse_numbers(xg_ctx *c, const char *what, const char *s, float out[4],
                               uint32_t *n) {
    *n = 0;
    for (const char *p = s; p && *p;) {
        char *end;
        float v = strtof(p, &end);
        if (end == p || (*end && *end != ',') || *n == 4)
            return bad(c, what, s, "up to four numbers divided by commas");
        out[(*n)++] = v;
        p = *end ? end + 1 : end;
    }
    return XG_OK;
}

xg_status xgc_front_options(xg_ctx *c, const xgc_model_options *o, const xgc_machine *m,
                            xg_image_options *images, xg_front_options *f) {
    *f = (xg_front_options){
        .import = {.shape = o->shape,
                   .nshape = (uint32_t)o->nshape,
                   .cut = o->cut,
                   .ncut = (uint32_t)o->ncut,
                   .batch = o->batch,
                   .external_data = !o->no_external_data},
        .calibration_path = o->calibration_table,
        .calib_inputs = o->calibration,
        .weights_random = o->random_weights,
        .images = images,
        .kernel_max = m ? m->m->tile.kernel_max : 0,
        .stride_max = m ? m->m->tile.stride_max : 0,
        .input_type = o->input_type,
        .ninput_type = (uint32_t)o->ninput_type,
    };
    *images = (xg_image_options){.crop = o->image_crop, .bgr = o->image_bgr};
    f->quant.keep_float = o->keep_float;
    f->quant.nkeep_float = (uint32_t)o->nkeep_float;
    f->quant.keep_int16 = o->keep_int16;
    f->quant.nkeep_int16 = (uint32_t)o->nkeep_int16;
    bool many = o->nshape > UINT32_MAX || o->ncut > UINT32_MAX || o->ninput_type > UINT32_MAX ||
                o->nkeep_float > UINT32_MAX;
    if (many || o->nkeep_int16 > UINT32_MAX || o->batch < 0)
        return xg_error(c, XG_USAGE, "", "the batch must be 1 or more, found %lld",
                        (long long)o->batch);
    xg_status st = parse_method(c, o->calibration_method, &f->quant);
    if (st == XG_OK) st = parse_switch(c, "equalisation", o->equalise, &f->quant.equalise);
    if (st == XG_OK)
        st = parse_switch(c, "bias correction", o->bias_correction, &f->quant.bias_correction);
    if (st == XG_OK) st = parse_numbers(c, "the mean", o->image_mean, images->mean, &images->nmean);
    if (st == XG_OK)
        st = parse_numbers(c, "the standard deviation", o->image_std, images->std, &images->nstd);
    return st;
}

/* The tile family's instructions, one row each: INST(name, mnemonic, engine, is_init, doc) followed
 * by its operands OPER(inst, name, signed, doc). Include with INST and OPER defined.
 *
 * A view is a feature-map tensor tile on chip. Row r, pixel x, channel word k of a view lies at
 *     h    = row0 + r;  if (ring) h %= ring
 *     bank = (h / il) % PP
 *     word = addr + (h / (il*PP) * il + h % il) * row + x * pix + k
 * il (interleave) is the vertical stride of the consumer: it keeps the rows that are read together
 * in different banks. row and pix are in words. Channel c lies in byte (lane + c) % ICP of channel
 * word (lane + c) / ICP. An instruction's output must not overlap what it reads; LUT and ELEW may
 * work exactly in place. One parameter record per output channel: i32 bias, and with chan = 1 also
 * i32 mult, i32 shift (12 bytes, else 4).
 */
/* clang-format off */
#ifndef INST
#define INST(name, mnemonic, engine, init, doc)
#endif
#ifndef OPER
#define OPER(inst, name, sign, doc)
#endif

INST(LOAD, "load", LOAD, 0, "Copies rows x cols pixels of ch bytes from DDR into a view.")
OPER(LOAD, reg, 0, "DDR region: 0 constants, 1 workspace, 2 inputs, 3 outputs")
OPER(LOAD, ddr, 0, "byte address of the first pixel in the region")
OPER(LOAD, rows, 0, "rows") OPER(LOAD, cols, 0, "pixels in a row") OPER(LOAD, ch, 0, "bytes (channels) in a pixel")
OPER(LOAD, ddr_row, 0, "bytes from row to row in DDR") OPER(LOAD, ddr_pix, 0, "bytes from pixel to pixel in DDR")
OPER(LOAD, addr, 0, "view: first word") OPER(LOAD, row0, 0, "view: first row") OPER(LOAD, ring, 0, "view: rows of the ring, 0 = none")
OPER(LOAD, il, 0, "view: row interleave, 1 or more") OPER(LOAD, row, 0, "view: words from row slot to row slot")
OPER(LOAD, pix, 0, "view: words from pixel to pixel") OPER(LOAD, lane, 0, "view: byte of channel 0 in its word")
OPER(LOAD, fold, 0, "columns gathered into one pixel (channel augmentation), 1 = none: pixel x takes columns x*fold_s - fold_pad + j, j < fold, at channels j*ch")
OPER(LOAD, fold_s, 0, "column step from pixel to pixel when fold > 1") OPER(LOAD, fold_pad, 0, "columns of padding on the left when fold > 1")
OPER(LOAD, fold_in, 0, "columns that exist in DDR when fold > 1; others read as fill") OPER(LOAD, fill, 1, "value of columns outside")

INST(LOADW, "loadw", LOAD, 0, "Fills `words` words of each of `banks` weight banks from addr on; DDR holds bank after bank.")
OPER(LOADW, reg, 0, "DDR region") OPER(LOADW, ddr, 0, "byte address") OPER(LOADW, addr, 0, "first word in every bank")
OPER(LOADW, words, 0, "words for each bank") OPER(LOADW, banks, 0, "banks filled, from bank 0")

INST(LOADP, "loadp", LOAD, 0, "Copies bytes from DDR into the parameter memory.")
OPER(LOADP, reg, 0, "DDR region") OPER(LOADP, ddr, 0, "byte address") OPER(LOADP, addr, 0, "byte address in the parameter memory")
OPER(LOADP, bytes, 0, "bytes")

INST(AWAIT, "await", LOAD, 0, "Waits until every core has executed `count` SIGNALs in this segment.")
OPER(AWAIT, count, 0, "signals of each core")

INST(SAVE, "save", SAVE, 0, "Copies rows x cols pixels of ch bytes from a view into DDR.")
OPER(SAVE, reg, 0, "DDR region") OPER(SAVE, ddr, 0, "byte address of the first pixel")
OPER(SAVE, rows, 0, "rows") OPER(SAVE, cols, 0, "pixels in a row") OPER(SAVE, ch, 0, "bytes in a pixel")
OPER(SAVE, ddr_row, 0, "bytes from row to row in DDR") OPER(SAVE, ddr_pix, 0, "bytes from pixel to pixel in DDR")
OPER(SAVE, addr, 0, "view: first word") OPER(SAVE, row0, 0, "view: first row") OPER(SAVE, ring, 0, "view: rows of the ring, 0 = none")
OPER(SAVE, il, 0, "view: row interleave") OPER(SAVE, row, 0, "view: words from row slot to row slot")
OPER(SAVE, pix, 0, "view: words from pixel to pixel") OPER(SAVE, lane, 0, "view: byte of channel 0 in its word")

INST(SIGNAL, "signal", SAVE, 0, "Counts one arrival of this core, after all earlier SAVEs are in DDR.")

INST(CONVINIT, "convinit", CONV, 1, "Sets what does not change inside a tile of CONVs.")
OPER(CONVINIT, kh, 0, "kernel height") OPER(CONVINIT, kw, 0, "kernel width") OPER(CONVINIT, sh, 0, "vertical stride")
OPER(CONVINIT, sw, 0, "horizontal stride") OPER(CONVINIT, dh, 0, "vertical dilation") OPER(CONVINIT, dw, 0, "horizontal dilation")
OPER(CONVINIT, zp_in, 1, "zero point of the input") OPER(CONVINIT, zp_w, 1, "zero point of the weights") OPER(CONVINIT, zp_out, 1, "zero point of the output")
OPER(CONVINIT, lo, 1, "lowest output value") OPER(CONVINIT, hi, 1, "highest output value")
OPER(CONVINIT, chan, 0, "1: mult and shift come with each channel's parameter record") OPER(CONVINIT, mult, 1, "multiplier, or binary32 bits") OPER(CONVINIT, shift, 1, "right shift")
OPER(CONVINIT, in_ring, 0, "input view: ring") OPER(CONVINIT, in_il, 0, "input view: interleave") OPER(CONVINIT, in_row, 0, "input view: row words") OPER(CONVINIT, in_pix, 0, "input view: pixel words")
OPER(CONVINIT, out_ring, 0, "output view: ring") OPER(CONVINIT, out_il, 0, "output view: interleave") OPER(CONVINIT, out_row, 0, "output view: row words") OPER(CONVINIT, out_pix, 0, "output view: pixel words")

INST(CONV, "conv", CONV, 0, "rows (<= PP) x cols x oc (<= OCP) outputs over all kernel taps and icw channel words: out = requantise(bias + sum (x - zp_in)(w - zp_w)); taps outside the input contribute nothing.")
OPER(CONV, in_addr, 0, "input view: first word") OPER(CONV, in_row0, 0, "input view: row of the first existing input row")
OPER(CONV, pad_top, 0, "rows missing above the first existing row for the first output row") OPER(CONV, in_rows, 0, "existing input rows")
OPER(CONV, pad_left, 0, "columns missing on the left") OPER(CONV, in_cols, 0, "existing input columns")
OPER(CONV, icw, 0, "input channel words") OPER(CONV, w_addr, 0, "first word in the weight banks: [kh][kw][icw]")
OPER(CONV, p_addr, 0, "parameter byte address of the first channel's record")
OPER(CONV, out_addr, 0, "output view: first word") OPER(CONV, out_row0, 0, "output view: first row") OPER(CONV, out_lane, 0, "output view: byte of channel 0")
OPER(CONV, rows, 0, "output rows, at most PP") OPER(CONV, cols, 0, "output pixels in a row") OPER(CONV, oc, 0, "output channels, at most OCP")
OPER(CONV, acc_in, 0, "1: start from partial sums instead of the bias") OPER(CONV, acc_out, 0, "1: write partial sums instead of results")
OPER(CONV, psum, 0, "word address of the partial sums: row r in bank r, pixel x at psum + x*ceil(4*OCP/ICP), little-endian i32 for each channel")

INST(DWINIT, "dwinit", MISC, 1, "Sets what does not change inside a tile of DWCONVs.")
OPER(DWINIT, kh, 0, "kernel height") OPER(DWINIT, kw, 0, "kernel width") OPER(DWINIT, sh, 0, "vertical stride")
OPER(DWINIT, sw, 0, "horizontal stride") OPER(DWINIT, dh, 0, "vertical dilation") OPER(DWINIT, dw, 0, "horizontal dilation")
OPER(DWINIT, zp_in, 1, "zero point of the input") OPER(DWINIT, zp_w, 1, "zero point of the weights") OPER(DWINIT, zp_out, 1, "zero point of the output")
OPER(DWINIT, lo, 1, "lowest output value") OPER(DWINIT, hi, 1, "highest output value")
OPER(DWINIT, chan, 0, "1: mult and shift come with each channel's parameter record") OPER(DWINIT, mult, 1, "multiplier, or binary32 bits") OPER(DWINIT, shift, 1, "right shift")
OPER(DWINIT, in_ring, 0, "input view: ring") OPER(DWINIT, in_il, 0, "input view: interleave") OPER(DWINIT, in_row, 0, "input view: row words") OPER(DWINIT, in_pix, 0, "input view: pixel words")
OPER(DWINIT, out_ring, 0, "output view: ring") OPER(DWINIT, out_il, 0, "output view: interleave") OPER(DWINIT, out_row, 0, "output view: row words") OPER(DWINIT, out_pix, 0, "output view: pixel words")

INST(DWCONV, "dwconv", MISC, 0, "Depthwise convolution: output channel c reads input channel c only. Weights lie in the parameter memory as [kh][kw][ceil(ch/ICP)*ICP] bytes.")
OPER(DWCONV, in_addr, 0, "input view: first word") OPER(DWCONV, in_row0, 0, "input view: row of the first existing input row")
OPER(DWCONV, pad_top, 0, "rows missing above") OPER(DWCONV, in_rows, 0, "existing input rows")
OPER(DWCONV, pad_left, 0, "columns missing on the left") OPER(DWCONV, in_cols, 0, "existing input columns")
OPER(DWCONV, w_addr, 0, "parameter byte address of the weights") OPER(DWCONV, p_addr, 0, "parameter byte address of the first channel's record")
OPER(DWCONV, out_addr, 0, "output view: first word") OPER(DWCONV, out_row0, 0, "output view: first row")
OPER(DWCONV, rows, 0, "output rows") OPER(DWCONV, cols, 0, "output pixels in a row") OPER(DWCONV, ch, 0, "channels")

INST(POOLINIT, "poolinit", MISC, 1, "Sets what does not change inside a tile of POOLs.")
OPER(POOLINIT, kind, 0, "0 maximum, 1 average of a window, 2 average of the whole map")
OPER(POOLINIT, kh, 0, "kernel height") OPER(POOLINIT, kw, 0, "kernel width") OPER(POOLINIT, sh, 0, "vertical stride")
OPER(POOLINIT, sw, 0, "horizontal stride") OPER(POOLINIT, dh, 0, "vertical dilation") OPER(POOLINIT, dw, 0, "horizontal dilation")
OPER(POOLINIT, zp_in, 1, "zero point of the input") OPER(POOLINIT, zp_out, 1, "zero point of the output")
OPER(POOLINIT, lo, 1, "lowest output value") OPER(POOLINIT, hi, 1, "highest output value")
OPER(POOLINIT, count, 0, "divisor n of an average") OPER(POOLINIT, mult, 1, "multiplier, or binary32 bits") OPER(POOLINIT, shift, 1, "right shift") OPER(POOLINIT, mult2, 1, "binary32 bits of the output scale (window average in F32)")
OPER(POOLINIT, in_ring, 0, "input view: ring") OPER(POOLINIT, in_il, 0, "input view: interleave") OPER(POOLINIT, in_row, 0, "input view: row words") OPER(POOLINIT, in_pix, 0, "input view: pixel words")
OPER(POOLINIT, out_ring, 0, "output view: ring") OPER(POOLINIT, out_il, 0, "output view: interleave") OPER(POOLINIT, out_row, 0, "output view: row words") OPER(POOLINIT, out_pix, 0, "output view: pixel words")

INST(POOL, "pool", MISC, 0, "Pools each channel; taps outside the input are ignored (maximum) or add nothing (average).")
OPER(POOL, in_addr, 0, "input view: first word") OPER(POOL, in_row0, 0, "input view: row of the first existing input row")
OPER(POOL, pad_top, 0, "rows missing above") OPER(POOL, in_rows, 0, "existing input rows")
OPER(POOL, pad_left, 0, "columns missing on the left") OPER(POOL, in_cols, 0, "existing input columns")
OPER(POOL, out_addr, 0, "output view: first word") OPER(POOL, out_row0, 0, "output view: first row")
OPER(POOL, rows, 0, "output rows") OPER(POOL, cols, 0, "output pixels in a row") OPER(POOL, ch, 0, "channels")

INST(ELEWINIT, "elewinit", MISC, 1, "Sets what does not change inside a tile of ELEWs. Multipliers and shifts as the machine's record asks.")
OPER(ELEWINIT, kind, 0, "0 add, 1 multiply")
OPER(ELEWINIT, zp_a, 1, "zero point of a") OPER(ELEWINIT, zp_b, 1, "zero point of b") OPER(ELEWINIT, zp_out, 1, "zero point of the output")
OPER(ELEWINIT, lo, 1, "lowest output value") OPER(ELEWINIT, hi, 1, "highest output value")
OPER(ELEWINIT, mult_a, 1, "multiplier of a, or binary32 bits") OPER(ELEWINIT, shift_a, 1, "shift of a")
OPER(ELEWINIT, mult_b, 1, "multiplier of b, or binary32 bits") OPER(ELEWINIT, shift_b, 1, "shift of b")
OPER(ELEWINIT, mult_o, 1, "multiplier of the sum or product, or binary32 bits") OPER(ELEWINIT, shift_o, 1, "shift of the sum or product")
OPER(ELEWINIT, a_ring, 0, "view a: ring") OPER(ELEWINIT, a_il, 0, "view a: interleave") OPER(ELEWINIT, a_row, 0, "view a: row words") OPER(ELEWINIT, a_pix, 0, "view a: pixel words (0: one pixel for all)")
OPER(ELEWINIT, b_ring, 0, "view b: ring (1: one row for all)") OPER(ELEWINIT, b_il, 0, "view b: interleave") OPER(ELEWINIT, b_row, 0, "view b: row words") OPER(ELEWINIT, b_pix, 0, "view b: pixel words (0: one pixel for all)")
OPER(ELEWINIT, out_ring, 0, "output view: ring") OPER(ELEWINIT, out_il, 0, "output view: interleave") OPER(ELEWINIT, out_row, 0, "output view: row words") OPER(ELEWINIT, out_pix, 0, "output view: pixel words")

INST(ELEW, "elew", MISC, 0, "out = a + b or a * b, element by element, requantised.")
OPER(ELEW, a_addr, 0, "view a: first word") OPER(ELEW, a_row0, 0, "view a: first row") OPER(ELEW, b_addr, 0, "view b: first word") OPER(ELEW, b_row0, 0, "view b: first row")
OPER(ELEW, out_addr, 0, "output view: first word") OPER(ELEW, out_row0, 0, "output view: first row")
OPER(ELEW, rows, 0, "rows") OPER(ELEW, cols, 0, "pixels in a row") OPER(ELEW, ch, 0, "channels")

INST(LUT, "lut", MISC, 0, "out = table[x + 128] for every element; the table's 256 bytes lie in the parameter memory.")
OPER(LUT, in_addr, 0, "input view: first word") OPER(LUT, in_row0, 0, "input view: first row") OPER(LUT, in_ring, 0, "input view: ring") OPER(LUT, in_il, 0, "input view: interleave") OPER(LUT, in_row, 0, "input view: row words") OPER(LUT, in_pix, 0, "input view: pixel words")
OPER(LUT, out_addr, 0, "output view: first word") OPER(LUT, out_row0, 0, "output view: first row") OPER(LUT, out_ring, 0, "output view: ring") OPER(LUT, out_il, 0, "output view: interleave") OPER(LUT, out_row, 0, "output view: row words") OPER(LUT, out_pix, 0, "output view: pixel words")
OPER(LUT, table, 0, "parameter byte address of the table") OPER(LUT, rows, 0, "rows") OPER(LUT, cols, 0, "pixels in a row") OPER(LUT, ch, 0, "channels")

INST(END, "end", SAVE, 0, "The core's program of this segment is finished when every engine has drained.")
/* clang-format on */
#undef INST
#undef OPER

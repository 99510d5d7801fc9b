/* Colours. Categories: Okabe & Ito (2008), told apart by colour-blind readers. Ordered quantities (width, N, C): viridis
 * (van der Walt & Smith 2015) without its last, too light eighth. */
#ifndef PLOTS_COLOUR_H
#define PLOTS_COLOUR_H

enum {
    INK_BLACK = 0x000000, INK_GREY = 0x777777, INK_PALE = 0xbbbbbb,
    INK_BLUE = 0x0072B2,   /* the law and what it predicts */
    INK_RED = 0xD55E00,    /* what was measured on the held-out run */
    INK_GREEN = 0x009E73, INK_PURPLE = 0xCC79A7, INK_ORANGE = 0xE69F00
};

unsigned colour_sequence(double t);       /* 0..1 -> 0xRRGGBB */
const char *colour_palette(void);         /* the same as gnuplot's `defined (...)` */
#endif

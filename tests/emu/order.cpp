/* In which order threads and blocks run. */
#include <stdlib.h>
#include <string.h>
#include <utility>

#include "tests/emu/internal.h"

namespace emu {
static bool parse(order_rule *out, const char *s)
{
    if (!strcmp(s, "ascending")) *out = {order_rule::ascending, 0};
    else if (!strcmp(s, "descending")) *out = {order_rule::descending, 0};
    else if (!strcmp(s, "mixed")) *out = {order_rule::mixed, 0};
    else if (!strncmp(s, "shuffled:", 9)) *out = {order_rule::shuffled, strtoull(s + 9, nullptr, 10)};
    else return false;
    return true;
}

static order_rule &rule()
{
    static order_rule r = [] {
        order_rule first = {order_rule::mixed, 0};
        const char *s = getenv("EMU_ORDER");
        if (s && *s && !parse(&first, s)) die("EMU_ORDER=%s: want ascending, descending, shuffled:SEED or mixed", s);
        return first;
    }();
    return r;
}
order_rule order_now() { return rule(); }

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

void order_fill(unsigned *index, unsigned n, order_rule r, uint64_t turn)
{
    auto kind = r.kind;
    if (kind == order_rule::mixed)
        kind = turn % 3 == 0 ? order_rule::ascending : turn % 3 == 1 ? order_rule::descending : order_rule::shuffled;
    for (unsigned i = 0; i < n; i++) index[i] = kind == order_rule::descending ? n - 1 - i : i;
    if (kind != order_rule::shuffled) return;
    uint64_t s = mix(r.seed) ^ mix(turn);
    for (unsigned i = n; i > 1; i--) {
        s = mix(s);
        std::swap(index[i - 1], index[s % i]);
    }
}
} // namespace emu

extern "C" void emu_order(const char *order)
{
    if (!emu::parse(&emu::rule(), order)) emu::die("emu_order(\"%s\"): unknown", order);
}

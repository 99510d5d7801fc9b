/* The watch over races: a sound kernel passes, each unsound one is caught, in whatever order its threads run. */
#include "tests/emu/died.h"
#include "tests/emu/test_races.h"

static float *out, *x;
static int *count;
static void setup(void)
{
    cr_assert_eq(cudaMalloc(&out, 320 * sizeof(float)), cudaSuccess);
    cr_assert_eq(cudaMalloc(&x, 64 * sizeof(float)), cudaSuccess);
    cr_assert_eq(cudaMalloc(&count, sizeof(int)), cudaSuccess);
    cr_assert_eq(cudaMemset(x, 0, 64 * sizeof(float)), cudaSuccess);
    cr_assert_eq(cudaMemset(count, 0, sizeof(int)), cudaSuccess);
}
static void teardown(void)
{
    cudaFree(out);
    cudaFree(x);
    cudaFree(count);
}
TestSuite(races, .init = setup, .fini = teardown);

static const char *const orders[] = {"ascending", "descending", "shuffled:3", "mixed"};

Test(races, sound)
{
    for (auto o : orders) {
        emu_order(o);
        for (int i = 0; i < 3; i++) launch_race(SOUND, out, x, count);
    }
    int n = 0;
    cr_assert_eq(cudaMemcpy(&n, count, sizeof n, cudaMemcpyDeviceToHost), cudaSuccess);
    cr_expect_eq(n, 4 * 3 * 5 * 64);
}

Test(races, unsound)
{
    struct { races which; std::initializer_list<const char *> words; } table[] = {
        {READS_EARLY, {"race", "static shared memory", "no barrier between", "kernel reads_early", "test_races.cu"}},
        {WRITES_EARLY, {"race: this thread", "static shared memory", "kernel writes_early"}},
        {SHUFFLE_IS_NO_BARRIER, {"race", "static shared memory"}},
        {ONE_VARIABLE, {"race", "static shared memory", "kernel one_variable"}},
        {DYNAMIC, {"race", "dynamic shared memory"}},
        {BLOCKS_SHARE, {"race", "an earlier block wrote", "an allocation of the device"}},
        {BLOCKS_READ, {"race", "an earlier block", "byte 0"}},
        {NEIGHBOURS_LOCAL, {"a local variable of another"}},
    };
    for (auto o : orders)
        for (auto &t : table) {
            emu_order(o);
            dies([&] { launch_race(t.which, out, x, count); }, t.words);
        }
}

Test(races, the_hosts_memory)
{
    launch_race(FOLLOWS, out, x, count);
    float local[32] = {0}, *heap = new float[32](), *pinned;
    cr_assert_eq(cudaMallocHost(&pinned, 128), cudaSuccess);
    for (const float *p : {(const float *)local, (const float *)heap, (const float *)pinned})
        dies([&] { launch_race(FOLLOWS, out, p, count); }, {"a kernel reads the host's memory", "kernel follows"});
    delete[] heap;
    cudaFreeHost(pinned);
}

/* For tests whose subject ends the process: f() runs in a child, which must die by abort; what it said is returned. */
#ifndef TESTS_EMU_DIED_H
#define TESTS_EMU_DIED_H
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <string>

template <class F> static std::string last_words(F f, int *how)
{
    int p[2];
    cr_assert(pipe(p) == 0);
    fflush(nullptr);
    pid_t child = fork();
    cr_assert(child >= 0);
    if (!child) {
        rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        dup2(p[1], 2);
        close(p[0]);
        close(p[1]);
        f();
        _exit(0);
    }
    close(p[1]);
    std::string said;
    char b[4096];
    for (ssize_t n; (n = read(p[0], b, sizeof b)) > 0;) said.append(b, (size_t)n);
    close(p[0]);
    waitpid(child, how, 0);
    return said;
}

/* `f` dies by abort and says every one of `words`. */
template <class F> static void dies(F f, std::initializer_list<const char *> words)
{
    int how = 0;
    std::string said = last_words(f, &how);
    cr_expect(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT, "did not abort (status %x); said: %s", how, said.c_str());
    for (const char *w : words) cr_expect(said.find(w) != std::string::npos, "says not '%s' but: %s", w, said.c_str());
}
#endif

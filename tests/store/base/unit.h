#ifndef WEIR_TESTS_STORE_BASE_UNIT_H
#define WEIR_TESTS_STORE_BASE_UNIT_H

/* What every test of this folder begins with: cmocka wants its own includes first. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Does `act` end its process by SIGABRT? In a child, with its last words thrown away. */
static inline void
assert_aborts (void (*act) (void))
{
    int status = 0;
    pid_t child = fork ();
    assert_true (child >= 0);
    if (child == 0) {
        struct rlimit none = { 0, 0 };
        (void) setrlimit (RLIMIT_CORE, &none);
        (void) signal (SIGABRT, SIG_DFL);
        (void) close (STDERR_FILENO);
        act ();
        _exit (0);
    }
    assert_int_equal (waitpid (child, &status, 0), child);
    assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGABRT);
}

#endif

#ifndef WEIR_STORE_BASE_STATUS_H
#define WEIR_STORE_BASE_STATUS_H

/* Outcomes. A function that can fail because of input or the environment returns
 * enum weir_status; results come by out-parameter and are written only on WEIR_OK. Bugs assert
 * (weir_assert is never compiled out), and no assert depends on a byte from outside. */

#include <stdbool.h>

enum weir_status {
#define STATUS(name, code, exit, hint) WEIR_##name,
#include "store/base/status.def"
#undef STATUS
    WEIR_STATUS_COUNT
};

#define WEIR_MUST __attribute__ ((warn_unused_result))
/* Says that an outcome does not matter here; a bare (void) does not silence WEIR_MUST. */
#define weir_ignore(status) ((void) !(status))
#define WEIR_PRINTF(f, a) __attribute__ ((format (printf, f, a)))

/* The stable word, e.g. "not_found"; "failed" for a number that is not in the table. */
const char *weir_status_code (enum weir_status status);
/* The general hint, "" when there is none. */
const char *weir_status_hint (enum weir_status status);
/* The process exit code. */
int weir_status_exit (enum weir_status status);
/* A number off the wire as a status; WEIR_FAILED when it is not in the table. */
enum weir_status weir_status_from_number (unsigned number);

/* A failure told to people: what failed, on which object, why, and what to do. Fixed size, no
 * ownership; zero-initialised means "no error". */
struct weir_error {
    enum weir_status status;
    char what[320]; /* one sentence, no full stop, UTF-8 */
    char hint[160]; /* "" = the status's general hint */
};

/* Fills *e (may be NULL) and returns `status`, so that `return weir_error_set (...)` reads well.
 * `hint` may be NULL. Control characters in what comes out are replaced by '?'. */
enum weir_status weir_error_set (struct weir_error *e, enum weir_status status, const char *hint,
                                 const char *format, ...) WEIR_PRINTF (4, 5);
const char *weir_error_hint (const struct weir_error *e);

/* Ends the process at once with file, line and text on stderr: for bugs only. */
_Noreturn void weir_bug (const char *file, int line, const char *text);
#define weir_assert(x) ((x) ? (void) 0 : weir_bug (__FILE__, __LINE__, #x))

#endif

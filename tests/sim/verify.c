/* Signatures in the simulator. All nodes live in one process, so each signature would be verified
 * once for every node: half the time of a history. Whether a signature fits its key and message
 * never changes, so what was found good once, in this process, by the real function, is good. The
 * linker puts this in its place (--wrap in the Makefile, in this program only); nothing is taken
 * for good that was not verified, and what was refused is verified again. */

#include "store/crypto/hash.h"
#include "store/crypto/sign.h"

#include <string.h>

#define KEPT 65536u

enum weir_status __real_weir_verify (const struct weir_id *device, enum weir_sign_use use,
                                     struct weir_bytes message,
                                     const struct weir_signature *signature);
enum weir_status __wrap_weir_verify (const struct weir_id *device, enum weir_sign_use use,
                                     struct weir_bytes message,
                                     const struct weir_signature *signature);

enum weir_status
__wrap_weir_verify (const struct weir_id *device, enum weir_sign_use use, struct weir_bytes message,
                    const struct weir_signature *signature)
{
    static struct weir_id good[KEPT]; /* by their hash: the last that fell there */
    struct weir_hash h;
    uint8_t byte = (uint8_t) use;
    weir_hash_init (&h, WEIR_DOMAIN_CHECK);
    weir_hash_add (&h, weir_id_bytes (device));
    weir_hash_add (&h, weir_bytes (&byte, 1));
    weir_hash_add (&h, weir_bytes (signature->b, sizeof signature->b));
    weir_hash_add (&h, message);
    struct weir_id id = weir_hash_end (&h);
    struct weir_id *at = &good[weir_load_u32 (id.b) % KEPT];
    if (weir_id_equal (at, &id)) {
        return WEIR_OK;
    }
    enum weir_status status = __real_weir_verify (device, use, message, signature);
    if (status == WEIR_OK) {
        *at = id;
    }
    return status;
}

#ifndef WEIR_STORE_KV_CRC32C_H
#define WEIR_STORE_KV_CRC32C_H

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4): against accidents on disk, not against people. */

#include "store/base/bytes.h"

/* Continues `crc`, 0 at the start. */
uint32_t weir_crc32c (uint32_t crc, struct weir_bytes data);

#endif

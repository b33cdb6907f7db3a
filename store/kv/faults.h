#ifndef WEIR_STORE_KV_FAULTS_H
#define WEIR_STORE_KV_FAULTS_H

/* What went wrong on disk, as a status. */

#include "store/base/status.h"

/* WEIR_DISK_FULL, WEIR_READ_ONLY, else WEIR_IO_ERROR. */
enum weir_status weir_faults_errno (int number);
/* From LevelDB's sentence: also WEIR_CORRUPT and WEIR_ALREADY_RUNNING. */
enum weir_status weir_faults_words (const char *words);

#endif

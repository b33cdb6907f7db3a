#ifndef WEIR_PROTOS_VERSION_H
#define WEIR_PROTOS_VERSION_H

/* The one place that says which weir this is. */
#define WEIR_VERSION "0.1.0"

#endif

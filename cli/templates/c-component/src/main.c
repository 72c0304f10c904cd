/* The component `hello`: implements the world of `wit/hello.wit`. Every build makes `hello.h` from `wit/`. */

#include "hello.h"

/* The number that follows. */
int32_t exports_hello_greet(int32_t number) {
    return (int32_t)((uint32_t)number + 1);
}

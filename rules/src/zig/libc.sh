# Makes the C library, which Zig has as source only, and compiler-rt. Run as `sh -c THIS libc ZIG`; leaves .run/libc.
set -eu
zig=$1
mkdir -p .run/libc
cd .run/libc
export ZIG_GLOBAL_CACHE_DIR=cache ZIG_LOCAL_CACHE_DIR=cache
echo 'int main(void) { return 0; }' > nothing.c
"$zig" cc -target wasm32-wasi -Oz -g0 nothing.c -o nothing.wasm
"$zig" cc -target wasm32-wasi -mexec-model=reactor -Wl,--no-entry -Oz -g0 nothing.c -o nothing.wasm
mv cache/o/*/crt1-command.o cache/o/*/crt1-reactor.o cache/o/*/libc.a cache/o/*/libzigc.a cache/o/*/libcompiler_rt.a .
rm -rf cache nothing.*

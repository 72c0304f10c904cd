# Makes the C library, which Zig has as source only, and compiler-rt. Run as `sh -c THIS libc ZIG`; leaves .run/libc.
set -eu
zig=$1
mkdir -p .run/libc
cd .run/libc
export ZIG_GLOBAL_CACHE_DIR=cache ZIG_LOCAL_CACHE_DIR=cache
echo 'int main(void) { return 0; }' > nothing.c
"$zig" cc -target wasm32-wasi -Oz -g0 nothing.c -o nothing.wasm
"$zig" cc -target wasm32-wasi -mexec-model=reactor -Wl,--no-entry -Oz -g0 nothing.c -o nothing.wasm
# Some are there twice, under two names of the same settings.
for file in crt1-command.o crt1-reactor.o libc.a libzigc.a libcompiler_rt.a; do
    find cache/o -name "$file" -exec cp {} . \;
done
# Members are named after places in the cache, which depend on where this runs.
LC_ALL=C sed -i -E 's#cache/o/[0-9a-f]{32}/#cache/o/00000000000000000000000000000000/#' *.a
rm -rf cache nothing.*

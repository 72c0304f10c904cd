# Makes what a Zig program needs and no edit changes: compiler-rt, and Zig's standard library as Zig parses it, which takes
# most of the time that a small program would. Run as `sh -c THIS std ZIG TARGET`; leaves .run/std.
set -eu
zig=$1 target=$2
mkdir -p .run/std
cd .run/std
export ZIG_GLOBAL_CACHE_DIR=cache ZIG_LOCAL_CACHE_DIR=cache
echo 'export fn nothing() void {}' > nothing.zig
"$zig" build-exe nothing.zig -target "$target" -O ReleaseSmall -fstrip -fno-entry -rdynamic -femit-bin=nothing.wasm
mv cache/o/*/libcompiler_rt.a .
# Parsed files are in `z`; all else is of this program.
mv cache/z .
rm -rf cache nothing.*
mkdir cache
mv z cache
# As one file, because it is copied for every compilation.
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -cf cache.tar cache
rm -rf cache

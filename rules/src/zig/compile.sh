# Calls Zig in a way that an edit costs little. Run as `sh -c THIS compile ZIG ARGUMENTS…`. It writes to its caches even
# where they hold all it asks for, so it gets a copy of what `std` left.
set -eu
zig=$1
shift
mkdir -p .run/out
tar -xf .run/std/cache.tar -C .run/out
export ZIG_GLOBAL_CACHE_DIR=.run/out/cache ZIG_LOCAL_CACHE_DIR=.run/out/cache
exec "$zig" "$@"

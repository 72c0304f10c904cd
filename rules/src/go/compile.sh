# Compiles a module to a core module, all of it at once. Run as `sh -c THIS compile DIRECTORY PACKAGE LDFLAGS` in the input root.
set -eu
here=$PWD
mkdir -p .run/out
begin cache
enter "$1"
"$GOROOT/bin/go" build -trimpath -buildvcs=false -buildmode=c-shared -pgo=off -ldflags="$3" -o "$here/.run/out/module.wasm" "$2" 2> "$here/.run/said" || {
    tell "$1" < "$here/.run/said"
    exit 1
}
cat "$here/.run/said" >&2

# Compiles a module to a core module, all of it at once. Run as `sh -c THIS compile DIRECTORY PACKAGE BUILDMODE LDFLAGS` in the input root.
set -eu
here=$PWD
mkdir -p .run/out
begin cache
enter "$1"
"$GOROOT/bin/go" build -trimpath -buildvcs=false -buildmode="$3" -ldflags="$4" -o "$here/.run/out/module.wasm" "$2" 2> "$here/.run/said" || {
    tell "$1" < "$here/.run/said"
    exit 1
}

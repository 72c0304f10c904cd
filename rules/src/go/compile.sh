# Compiles a module to a core module. Run as `sh -c THIS compile DIRECTORY PACKAGE BUILDMODE LDFLAGS` in the input root.
set -eu
here=$PWD
mkdir -p .run/out
begin cache
enter "$1"
"$GOROOT/bin/go" build -trimpath -buildvcs=false -buildmode="$3" -ldflags="$4" -o "$here/.run/out/module.wasm" "$2"

# Compiles a module to a core module with TinyGo. Run as `sh -c THIS compile DIRECTORY PACKAGE BUILDMODE OPTIMISATION` in the
# input root. It caches for itself, in a home that ends with the action.
set -eu
here=$PWD
mkdir -p .run/out
begin cache
enter "$1"
mode=default
if [ "$3" = c-shared ]; then mode=c-shared; fi
tinygo build -target=wasip1 -buildmode="$mode" -no-debug -opt="$4" -o "$here/.run/out/module.wasm" "$2"
